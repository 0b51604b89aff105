"""Draws backtests into PNG and SVG files with matplotlib, an optional dependency."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mailshot import safe_files
from mailshot.cli import backtest_view
from mailshot.insight import backtest as stage
from mailshot.insight.backtest import Backtest
from mailshot.insight.past_response import PastResponse
from mailshot.stats import proportions
from mailshot.stats.proportions import Estimate

matplotlib.use("Agg")
# Okabe and Ito's colours, which the colour-blind tell apart; mails in these, the reasons for none in greys.
MAILED = ("#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#F0E442")
LEFT_OUT = ("#999999", "#C4C4C4", "#6E6E6E", "#DDDDDD", "#4A4A4A", "#B8A88A", "#8A7A9B", "#E8D8C0")
INSIDE, OUTSIDE = "#0072B2", "#D55E00"
MAX_LABELS = 14
DPI = 110


def save_plot(result: Backtest | PastResponse, currency: str, path: Path) -> None:
    """Draw a backtest into a file; its suffix says whether as PNG or SVG."""
    figure = _backtest(result, currency) if isinstance(result, Backtest) else _hindsight(result)
    kind = path.suffix.lower().lstrip(".")
    # Drawn in memory first: who stops us leaves no half a picture. Without a date the same numbers give the same file.
    drawn = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "mailshot"}):
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(drawn, format=kind, dpi=DPI, metadata=metadata)
    safe_files.write_output(path, drawn.getvalue())


def _backtest(backtest: Backtest, currency: str) -> Figure:
    figure = Figure(figsize=(9, 9.5), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(1.2, 1, 0.8))
    figure.suptitle(f"{backtest.name}: backtest by date", fontsize=13, parse_math=False)
    _audience(top, backtest)
    _groups(
        middle,
        backtest,
        [(stage.buyer_share(look.inside), stage.buyer_share(look.outside)) for look in backtest.looks],
        100,
    )
    middle.set_ylabel("share who bought (%)")
    middle.set_title(f"Who {backtest.aim.words()} (95 % intervals; hollow: {proportions.TOO_FEW})", **_titles())
    middle.legend(**_beside())
    _groups(bottom, backtest, [(stage.spent(look.inside), stage.spent(look.outside)) for look in backtest.looks], 1)
    bottom.set_ylabel(f"mean per customer ({currency})", parse_math=False)
    bottom.set_xlabel("as of (date; the goal's window follows)")
    _dates(bottom, [backtest_view.format_date(backtest.looks, look) for look in backtest.looks])
    return figure


def _audience(axes: Axes, backtest: Backtest) -> None:
    parts = backtest_view.series(backtest)
    places = range(len(backtest.looks))
    base = [0] * len(backtest.looks)
    greys, colours = iter(LEFT_OUT * 9), iter(MAILED * 9)
    for name, numbers in parts.items():
        colour = next(greys if name.startswith("no mail") else colours)
        axes.bar(places, numbers, 0.8, bottom=base, label=_safe(name), color=colour, edgecolor="white", linewidth=0.4)
        base = [low + number for low, number in zip(base, numbers, strict=True)]
    axes.set_ylabel("audience (customers)")
    by_mail = " by mail, and by reason for none" if backtest.kind == "campaign" else ""
    axes.set_title(f"Audience{by_mail}", **_titles())
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], **_beside())
    _plain(axes)


def _groups(axes: Axes, backtest: Backtest, pairs: Sequence[tuple[Estimate, Estimate]], scale: float) -> None:
    sizes = [(look.inside.customers, look.outside.customers) for look in backtest.looks]
    for side, (label, colour, shift) in enumerate((("inside", INSIDE, -0.12), ("outside", OUTSIDE, 0.12))):
        points = [(place + shift, pair[side]) for place, pair in enumerate(pairs) if sizes[place][side]]
        _points(axes, points, scale, f"{label} the audience", colour)
    axes.set_ylim(bottom=0)
    _plain(axes)


def _points(axes: Axes, points: Sequence[tuple[float, Estimate]], scale: float, label: str, colour: str) -> None:
    for sure in (True, False):
        some = [(place, estimate) for place, estimate in points if estimate.enough is sure]
        if not some and not sure:
            continue
        values = [estimate.value * scale for _, estimate in some]
        reach = [
            [(estimate.value - estimate.low) * scale for _, estimate in some],
            [(estimate.high - estimate.value) * scale for _, estimate in some],
        ]
        axes.errorbar(
            [place for place, _ in some], values, yerr=reach, fmt="o", color=colour, markersize=5, capsize=3,
            markerfacecolor=colour if sure else "white", label=label if sure else None,
        )  # fmt: skip


def _hindsight(response: PastResponse) -> Figure:
    figure = Figure(figsize=(9, 2.6 + 0.27 * (len(response.pasts) + 1)), layout="constrained")
    axes = figure.subplots()
    title = f"{response.name}: would it have selected the customers who responded?"
    figure.suptitle(title, fontsize=13, parse_math=False)
    lines = [(_label(past.campaign, past.inside, past.outside), past.difference) for past in response.pasts]
    lines.append((_label("all together", *response.total()), response.pooled))
    for place, (_, estimate) in enumerate(lines):
        last = place == len(lines) - 1
        if estimate.enough:
            reach = [[(estimate.value - estimate.low) * 100], [(estimate.high - estimate.value) * 100]]
            axes.errorbar(
                [estimate.value * 100], [place], xerr=reach, fmt="D" if last else "o",
                color=INSIDE if last else "#444444", capsize=3, markersize=5,
            )  # fmt: skip
        else:
            axes.text(0, place, f"  {proportions.TOO_FEW}", va="center", fontsize=8, color="#777777")
    axes.axvline(0, color="#999999", linewidth=1)
    axes.set_yticks(range(len(lines)), [name for name, _ in lines], fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("response rate inside minus outside the audience (points, 95 % intervals)")
    axes.set_ylabel("past campaign, by start date: responded inside | outside")
    _plain(axes, "x")
    return figure


def _label(name: str, inside: tuple[int, int], outside: tuple[int, int]) -> str:
    return f"{name}   {inside[1]}/{inside[0]} | {outside[1]}/{outside[0]}"


def _dates(axes: Axes, labels: Sequence[str]) -> None:
    step = -(-len(labels) // MAX_LABELS)
    axes.set_xticks(range(0, len(labels), step), labels[::step], rotation=30, ha="right", fontsize=9)


def _plain(axes: Axes, along: Any = "y") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=along, color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)


def _titles() -> dict[str, Any]:
    return {"fontsize": 10, "loc": "left", "parse_math": False}


def _beside() -> dict[str, Any]:
    """Beside the axes, where a legend hides no number."""
    return {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False, "fontsize": 8}


def _safe(name: str) -> str:
    """A dollar would begin a formula, and a leading underscore would hide the entry."""
    return name.replace("$", r"\$")
