"""Prints backtests as tables and terminal charts, and writes them as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from mailshot import safe_files, spreadsheet
from mailshot.cli import output, terminal_charts
from mailshot.cli.terminal_charts import Bar, IntervalBar
from mailshot.insight import backtest as stage
from mailshot.insight.backtest import Backtest, Point
from mailshot.insight.past_response import PastCampaign, PastResponse
from mailshot.stats import proportions
from mailshot.stats.proportions import Estimate

INSIDE, OUTSIDE = "blue", "yellow"
MAX_WIDTH = 120


def print_backtest(result: Backtest | PastResponse, currency: str) -> None:
    """Print a backtest as text."""
    if isinstance(result, Backtest):
        _show_backtest(result, currency)
    else:
        _show_past_response(result)
    for note in result.notes:
        output.print_text(f"[dim]- {output.printable(note)}[/dim]")


def save_csv(path: Path, result: Backtest | PastResponse) -> None:
    """Write a backtest's numbers as CSV: one row per date or past campaign."""
    rows = list(_rows(result))
    with StringIO(newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), restval=0)
        writer.writeheader()
        writer.writerows({name: spreadsheet.harmless(value) for name, value in row.items()} for row in rows)
        safe_files.write_output(path, file.getvalue().encode())


def series(backtest: Backtest) -> dict[str, list[int]]:
    """Return counts by date: kept and entered customers; for a campaign, mails by content and reasons for none."""
    looks = backtest.looks
    if backtest.kind == "audience":
        return {
            "kept": [look.kept or 0 for look in looks],
            "entered": [look.size - (look.kept or 0) for look in looks],
        }
    contents = dict.fromkeys(name for look in looks for name in look.contents)
    reasons = dict.fromkeys(name for look in looks for name in look.left_out)
    mailed = {f"mail: {name}": [look.contents.get(name, 0) for look in looks] for name in contents}
    return mailed | {f"no mail: {name}": [look.left_out.get(name, 0) for look in looks] for name in reasons}


def format_share(estimate: Estimate) -> str:
    """Format a share with its interval: '34% 31-37'."""
    return (
        f"{estimate.value * 100:.0f}% {estimate.low * 100:.0f}-{estimate.high * 100:.0f}"
        if estimate.enough
        else proportions.TOO_FEW
    )


def _show_backtest(backtest: Backtest, currency: str) -> None:
    output.print_text(
        f"[bold]{output.printable(backtest.name)}[/bold] ({backtest.kind}), backtest as of {_dates(backtest.looks)}"
    )
    _show_sizes(backtest)
    _show_goal_shares(backtest, currency)
    if len(backtest.looks) > 1:
        output.print_text()
        _show_charts(backtest)


def _dates(looks: Sequence[Point]) -> str:
    first, last = looks[0].as_of, looks[-1].as_of
    return f"{first:%Y-%m-%d} to {last:%Y-%m-%d}" if len(looks) > 1 else f"{first:%Y-%m-%d}"


def format_date(looks: Sequence[Point] | Sequence[PastCampaign], point: Point | PastCampaign) -> str:
    """Format a date, with the time if any date of the series has one."""
    timed = any(look.as_of.hour or look.as_of.minute for look in looks)
    return f"{point.as_of:%Y-%m-%d %H:%M}" if timed else f"{point.as_of:%Y-%m-%d}"


def _show_sizes(backtest: Backtest) -> None:
    looks, campaign = backtest.looks, backtest.kind == "campaign"
    columns = ("as of", "audience", "kept", "entered", "left") + (("mails", "left out") if campaign else ())
    rows = [
        (format_date(looks, look), look.size, *(_number_or_dash(n) for n in (look.kept, look.entered, look.left)))
        + ((look.mails, look.size - look.mails) if campaign else ())
        for look in looks
    ]
    output.print_table("Audience size", columns, rows, right=range(1, len(columns)))
    if campaign:
        _show_outcomes(backtest)


def _show_outcomes(backtest: Backtest) -> None:
    """Print mails and reasons by date; if the table is too wide for the terminal, a summary of each column."""
    parts = series(backtest)
    headings = [name.replace(" ", "\n") for name in parts]
    width = 10 + sum(2 + max(map(len, [*name.split(), f"{max(numbers):,}"])) for name, numbers in parts.items())
    output.print_text()
    if width <= output.out.width:
        looks = backtest.looks
        rows = [(format_date(looks, look), *(n[i] for n in parts.values())) for i, look in enumerate(looks)]
        output.print_table("Mails, and reasons for none", ("as of", *headings), rows, right=range(1, len(parts) + 1))
        return
    lines = [(name, n[0], n[-1], min(n), max(n), round(sum(n) / len(n))) for name, n in parts.items()]
    title = "Mails, and reasons for none (for each date: --csv or --json)"
    output.print_table(title, ("", "first", "last", "min", "max", "mean"), lines, right=range(1, 6))


def _number_or_dash(number: int | None) -> object:
    return "-" if number is None else number


def _show_goal_shares(backtest: Backtest, currency: str) -> None:
    looks = backtest.looks
    amounts = (f"{currency} per customer\ninside", f"{currency} per customer\noutside")
    columns = ("as of", "share\ninside", "share\noutside", "difference\n(points)", *amounts)
    rows = [
        (
            format_date(looks, look) + ("" if look.complete else " *"),
            format_share(stage.buyer_share(look.inside)),
            format_share(stage.buyer_share(look.outside)),
            format_difference(look.difference),
            format_mean(stage.spent(look.inside)),
            format_mean(stage.spent(look.outside)),
        )
        for look in looks
    ]
    output.print_text()
    output.print_table(f"Who {backtest.aim.words()}, inside and outside the audience (95 % intervals)", columns, rows)
    if not all(look.complete for look in looks):
        output.print_text("[dim]* the data ends before the goal window does[/dim]")


def format_difference(difference: Estimate) -> str:
    """Format a difference in percentage points with its interval: '+14 11..17'."""
    if not difference.enough:
        return proportions.TOO_FEW
    return f"{difference.value * 100:+.0f} {difference.low * 100:+.0f}..{difference.high * 100:+.0f}"


def format_mean(mean: Estimate) -> str:
    return f"{mean.value:,.2f} ±{mean.high - mean.value:,.2f}" if mean.enough else proportions.TOO_FEW


def _show_charts(backtest: Backtest) -> None:
    width = min(output.out.width, MAX_WIDTH)
    looks, parts = backtest.looks, series(backtest)
    lines = [Bar(format_date(looks, look), [n[i] for n in parts.values()]) for i, look in enumerate(looks)]
    output.out.print(terminal_charts.bars("Audience (customers)", list(parts), lines, width), soft_wrap=True)
    reaches = []
    for look in looks:
        for label, group, style in (("inside ", look.inside, INSIDE), ("outside", look.outside, OUTSIDE)):
            name = format_date(looks, look) if label == "inside " else ""
            reaches.append(_interval_bar(f"{name:<10} {label}", stage.buyer_share(group), group.customers, style))
    title = f"Share who {backtest.aim.words()} (├──●──┤ 95 %; ○ {proportions.TOO_FEW})"
    output.out.print(terminal_charts.interval_bars(title, reaches, width), soft_wrap=True)


def _interval_bar(label: str, share: Estimate, customers: int, style: str) -> IntervalBar:
    span = (share.low, share.value, share.high) if customers else None
    return IntervalBar(label, span, share.enough, style)


def _show_past_response(response: PastResponse) -> None:
    name = output.printable(response.name)
    output.print_text(
        f"[bold]{name}[/bold]: would it have selected the customers who responded to past campaigns, "
        "as of each campaign's start?"
    )
    columns = (
        "campaign",
        "as of",
        "recipients",
        "responded\ninside",
        "responded\noutside",
        "difference\nin points",
    )
    rows: list[Sequence[object]] = [
        (past.campaign, format_date(response.pasts, past), past.recipients,
         format_response_rate(past.inside), format_response_rate(past.outside),
         format_difference(past.difference))
        for past in response.pasts
    ]  # fmt: skip
    inside, outside = response.total()
    together = (
        inside[0] + outside[0],
        format_response_rate(inside),
        format_response_rate(outside),
        format_difference(response.pooled),
    )
    output.print_table("", columns, [*rows, ("total", "", *together)], right=(2,))
    output.print_text(_summary(response))


def format_response_rate(counted: tuple[int, int]) -> str:
    """Format a response rate: '41/202 20%'."""
    size, hits = counted
    return f"{hits:,}/{size:,} {hits / size * 100:.0f}%" if size else "-"


def _summary(response: PastResponse) -> str:
    (inside, hits), (outside, others) = response.total()
    if not hits + others:
        return "No customer responded."
    mailed, reached = inside / (inside + outside) * 100, hits / (hits + others) * 100
    difference = response.pooled
    value, low, high = (number * 100 for number in (difference.value, difference.low, difference.high))
    chance = " (could be chance)" if difference.could_be_chance else ""
    verdict = f"{value:+.1f} points, 95 % between {low:+.1f} and {high:+.1f}{chance}"
    return (
        f"Mailing only the audience would have sent {mailed:.0f}% of the mails and got {reached:.0f}% of the "
        f"responses. Within the same campaign the response rates differ by "
        f"{verdict if difference.enough else proportions.TOO_FEW}."
    )


def _rows(result: Backtest | PastResponse) -> Iterator[dict[str, Any]]:
    if isinstance(result, PastResponse):
        for past in result.pasts:
            yield {
                "campaign": past.campaign, "as_of": past.as_of.isoformat(), **_count_columns("inside", past.inside),
                **_count_columns("outside", past.outside),
                **_estimate_columns("difference", past.difference), "over": past.over,
            }  # fmt: skip
        return
    parts = series(result) if result.kind == "campaign" else {}
    for number, look in enumerate(result.looks):
        yield {
            "as_of": look.as_of.isoformat(), "audience": look.size,
            "kept": look.kept, "entered": look.entered, "left": look.left,
            **{name: numbers[number] for name, numbers in parts.items()},
            "inside customers": look.inside.customers, "inside buyers": look.inside.buyers,
            **_estimate_columns("inside share", stage.buyer_share(look.inside)),
            **_estimate_columns("inside mean", stage.spent(look.inside)),
            "outside customers": look.outside.customers, "outside buyers": look.outside.buyers,
            **_estimate_columns("outside share", stage.buyer_share(look.outside)),
            **_estimate_columns("outside mean", stage.spent(look.outside)),
            **_estimate_columns("difference", look.difference), "complete": look.complete,
        }  # fmt: skip


def _count_columns(name: str, counted: tuple[int, int]) -> dict[str, int]:
    return {f"{name} recipients": counted[0], f"{name} answered": counted[1]}


def _estimate_columns(name: str, estimate: Estimate) -> dict[str, object]:
    note = "" if estimate.enough else proportions.TOO_FEW
    numbers = {name: estimate.value, f"{name} low": estimate.low, f"{name} high": estimate.high}
    return {**{key: round(value, 6) for key, value in numbers.items()}, f"{name} note": note}
