"""`backtest`: evaluates a rule as of past dates and shows what its customers then bought."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailshot.cli import context, output

if TYPE_CHECKING:
    from mailshot.facts.periods import Span
    from mailshot.facts.product_filters import ProductFilter
    from mailshot.insight.backtest import Backtest, ResponseGoal, Series, Subject
    from mailshot.insight.past_response import PastResponse
    from mailshot.rulebook.rulebook import Rulebook

FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M"]


Day = datetime | None
Since = Annotated[Day, typer.Option("--from", formats=FORMATS, help="First date (company time).")]
Until = Annotated[Day, typer.Option("--until", formats=FORMATS, help="Last date. Default: as late as the data allows.")]
Every = Annotated[str, typer.Option("--every", help="Interval between the dates.")]
Within = Annotated[
    str | None, typer.Option("--goal-within", help="Goal window after each date, for example '14 days'.")
]
Group = Annotated[
    str | None, typer.Option("--goal-group", help="Goal: a product of this group in rules/products.yaml.")
]
Products = Annotated[
    str | None, typer.Option("--goal-products", help="Goal: one of these products, for example '{brand: Private}'.")
]
Past = Annotated[bool, typer.Option("--past-campaigns", help="Compare with the responses to imported past campaigns.")]
Plot = Annotated[Path | None, typer.Option("--plot", help="Write a plot to a .png or .svg file.")]
Csv = Annotated[Path | None, typer.Option("--csv", help="Write the numbers to a CSV file.")]


def backtest(
    name: Annotated[str, typer.Argument(help="An audience or a campaign.")],
    since: Since = None,
    until: Until = None,
    every: Every = "1 month",
    within: Within = None,
    group: Group = None,
    products: Products = None,
    past: Past = False,
    plot: Plot = None,
    csv: Csv = None,
    json: context.AsJson = False,
) -> None:
    """Evaluate an audience or campaign as of past dates, and show what its customers then bought. Writes nothing."""
    from mailshot.insight import backtest as stage
    from mailshot.insight import past_response

    drawing = _drawing(plot)
    app = context.app()
    rules = context.rulebook(app.settings.project)
    subject = _subject(rules, app.settings.project, name)
    subject = replace(subject, aim=_aim(rules, subject.aim, within, group, products))
    series = _series(rules, since, until, every)
    zone = rules.company.time_zone
    with output.err.status("Running the backtest …") as status:
        look = past_response.compare_responses if past else stage.run_backtest
        result: Any = look(
            app.store, subject, series, zone, lambda n, of: status.update(f"Backtest: date {n} of {of} …")
        )
    if drawing and plot:
        _write(plot, lambda: drawing(result, rules.company.currency, plot))
    _print_result(result, rules.company.currency, plot, csv, json)


def _print_result(
    result: Backtest | PastResponse, currency: str, plot: Path | None, csv: Path | None, json: bool
) -> None:
    from mailshot.cli import backtest_view

    if csv:
        _write(csv, lambda: backtest_view.save_csv(csv, result))
    if json:
        output.print_json(result.as_dict())
        return
    backtest_view.print_backtest(result, currency)
    for path in filter(None, (csv, plot)):
        output.print_text(f"Written: {output.printable(path)}")


def _subject(rules: Rulebook, project: Path, name: str) -> Subject:
    from mailshot.campaign import snapshot
    from mailshot.errors import NotFound, nearest
    from mailshot.insight.backtest import Subject

    if name in rules.campaigns:
        return Subject.campaign(snapshot.take_snapshot(rules, project, name))
    if name in rules.book.names:
        return Subject.audience(rules.book.audience(name))
    known = [*rules.campaigns, *rules.book.names]
    raise NotFound(f"There is no audience or campaign '{name}'.", nearest(name, known))


def _aim(
    rules: Rulebook, aim: ResponseGoal, within: str | None, group: str | None, products: str | None
) -> ResponseGoal:
    if group is not None and products is not None:
        raise typer.BadParameter("--goal-group and --goal-products exclude each other")
    span = _span(within, "--goal-within") if within is not None else aim.within
    if group is not None:
        return replace(aim, within=span, products=_group(rules, group))
    chosen = _products(rules, products) if products is not None else aim.products
    return replace(aim, within=span, products=chosen)


def _group(rules: Rulebook, name: str) -> ProductFilter:
    from mailshot.errors import NotFound, nearest
    from mailshot.facts.product_filters import Filter, ProductFilter, ProductGroup

    if name not in rules.groups:
        raise NotFound(f"There is no product group '{name}'.", nearest(name, rules.groups))
    return ProductFilter((Filter(groups=(ProductGroup(name, rules.groups[name]),)),))


def _products(rules: Rulebook, text: str) -> ProductFilter:
    from mailshot import documents
    from mailshot.facts import product_filters
    from mailshot.facts.product_filters import ProductFilter

    document = documents.parse_document(text, "--goal-products")
    problems = document.problems()
    product_filter = product_filters.read_product_filter(document.root, rules.vocabulary.products, problems)
    problems.raise_if_any()
    return product_filter or ProductFilter()


def _series(rules: Rulebook, since: datetime | None, until: datetime | None, every: str) -> Series:
    from mailshot.insight.backtest import Series

    zone = rules.company.time_zone
    if since and until and since > until:
        raise typer.BadParameter(f"--from ({since:%Y-%m-%d}) is after --until ({until:%Y-%m-%d})")
    if any(day.year not in range(1800, 2200) for day in (since, until) if day):
        raise typer.BadParameter("--from and --until lie between the years 1800 and 2199")
    first, last = (day.replace(tzinfo=zone) if day else None for day in (since, until))
    return Series(first, last, _span(every, "--every"))


def _span(text: str, option: str) -> Span:
    from mailshot.facts.periods import Span

    span = Span.parse(text)
    if span is None:
        raise typer.BadParameter(f"{option}: '{text}' is not a length of time; write for example '2 weeks'")
    return span


def _drawing(path: Path | None) -> Callable[[Any, str, Path], None] | None:
    """Find out before the work begins whether its result can be drawn. Raises Unavailable without matplotlib."""
    if path is None:
        return None
    if path.suffix.lower() not in (".png", ".svg"):
        raise typer.BadParameter(f"--plot: '{path}' must end in .png or .svg")
    from mailshot.errors import Unavailable

    try:
        from mailshot.cli import backtest_plot
    except ModuleNotFoundError as error:
        raise Unavailable(
            "Drawing needs matplotlib, which is not installed.", "pip install 'mailshot[charts]'"
        ) from error
    return backtest_plot.save_plot


def _write(path: Path, save: Callable[[], None]) -> None:
    from mailshot.errors import Refused

    try:
        save()
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror or error}.", "Choose another place.") from error
