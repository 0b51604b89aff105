"""`report`: the results of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from mailshot.cli import context, output
from mailshot.errors import Refused
from mailshot.states import DeliveryState, RunState

if TYPE_CHECKING:
    from mailshot.insight.report import RunReport, RunSummary
    from mailshot.store.engine import Store

CONVERTED = "reached the goal, credited to this mail (the last one clicked, else the last one sent)"


def report(
    campaign: Annotated[
        str | None,
        typer.Argument(help="Show this campaign's runs, and details of its latest run with mails. Default: all runs."),
    ] = None,
    run: Annotated[int | None, typer.Option("--run", help=f"Show this run in detail. {context.RUN_HELP}")] = None,
    past: Annotated[bool, typer.Option("--past", help="Also list imported campaigns.")] = False,
    people: Annotated[
        bool, typer.Option("--people", help="List the customers of the run: who opened, clicked, bounced, and why.")
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: context.AsJson = False,
) -> None:
    """Show the results of runs: sent, opened, clicked, unsubscribed, converted."""
    from mailshot.campaign import conversions
    from mailshot.insight import report as stage

    app = context.app()
    project = app.settings.project
    with output.err.status("Computing conversions …"):
        conversions.make_conversions(app.store, unfinished=True)
    company = context.company(project)
    today = company.today(None, context.now())
    lines = stage.summaries(app.store, today, campaign, lambda: context.list_campaigns(project))
    chosen = stage.select_run(lines, run) if campaign or run is not None else None
    if campaign is None and not past:
        lines = [line for line in lines if line.state != RunState.past]
    if people:
        _show_people(app.store, chosen, csv, json)
    elif csv:
        _csv([chosen] if chosen and run is not None else lines)
    elif chosen is None:
        output.print_json([line.as_dict() for line in lines]) if json else show_lines(lines, company.time_zone)
    else:
        details = stage.load_report(app.store, chosen, today)
        _show_details(details, lines, company.time_zone, json, with_lines=run is None)


def _show_details(details: RunReport, lines: list[RunSummary], zone: ZoneInfo, as_json: bool, with_lines: bool) -> None:
    """Print one run in detail, after all runs of its campaign if that is asked for."""
    if as_json:
        runs = [line.as_dict() for line in lines if line.campaign == details.line.campaign]
        output.print_json(details.as_dict() | {"runs": runs})
        return
    if with_lines and len(lines) > 1:
        show_lines(lines, zone)
        output.print_text()
    show_report(details, zone)


def show_lines(lines: list[RunSummary], zone: ZoneInfo) -> None:
    """Print all runs in a table, with their days in the company's zone."""
    rows = [
        (line.run_id, line.campaign, line.state, f"{line.as_of.astimezone(zone):%Y-%m-%d}", line.sent, line.opened,
         line.clicked, line.unsubscribed, line.converted)
        for line in lines
    ]  # fmt: skip
    columns = ("run", "campaign", "state", "as of", "sent", "opened", "clicked", "unsubscribed", "goal")
    title = "Runs (unique customers; opens and clicks by people)"
    output.print_table(title, columns, rows, right=(0, 4, 5, 6, 7, 8), whole=(3,))
    for line in lines:
        if line.unconfirmed or line.refused:
            output.print_text(f"Run {line.run_id}: {line.unconfirmed:,} unconfirmed, {line.refused:,} refused.")


def show_report(report: RunReport, zone: ZoneInfo) -> None:
    """Print one run in detail."""
    line = report.line
    day = f"{line.as_of.astimezone(zone):%Y-%m-%d}"
    output.print_text(
        f"[bold]Run {line.run_id}[/bold] of '{output.printable(line.campaign)}': {line.state}, as of {day}"
    )
    output.print_counts("", report.states, "deliveries", {str(state): state.help for state in DeliveryState})
    output.print_counts("", report.contents, "sent by content")
    if report.reasons:
        output.print_counts("", report.reasons, "left out")
    people = {
        "opened": line.opened,
        "clicked": line.clicked,
        "unsubscribed": line.unsubscribed,
        "converted": line.converted,
        "bounced": line.bounced,
        "complained": line.complained,
    }
    output.print_counts("", people, "people who", {"converted": CONVERTED})
    if line.machine:
        output.print_text(describe_machines(line.machine))
    for url, number in report.links:
        output.print_text(f"  {number:,} clicked {output.printable(url)}")
    no_goal = f"none set; this report uses: {report.goal.words()}"
    output.print_text(f"Goal: {output.printable(report.aim or no_goal)} after the mail.")
    if not report.complete:
        output.print_text(
            f"The goal window of {report.goal.within} has not ended, or its data has not been imported yet."
        )
    bought, held = report.mailed, report.held
    did = "Bought" if report.goal.event is None else "Reached the goal"
    output.print_text(
        f"{did}: {bought.buyers:,} of {bought.customers:,} mailed, {held.buyers:,} of {held.customers:,} held out."
    )
    output.print_text(f"Uplift: {report.uplift.words()}.")


def _show_people(store: Store, chosen: RunSummary | None, as_csv: bool, as_json: bool) -> None:
    """Print what came back from each customer of a run: all of them as CSV or JSON, those with any as a table."""
    from mailshot.insight import report as stage

    if chosen is None:
        raise Refused("--people needs a run.", "Name a campaign, or a run: mailshot report --run 3 --people.")
    rows = stage.people(store, chosen.run_id)
    if as_json:
        output.print_json(list(rows))
        return
    if as_csv:
        _write_csv(rows)
        return
    known = ("customer", "content", "state", "reason")
    active = [row for row in rows if any(value for name, value in row.items() if name not in known)]
    lines = [
        (row["customer"], row["content"], row["state"], "; ".join(
            f"{name}: {value}" for name, value in row.items() if value and name not in known)) for row in active
    ]  # fmt: skip
    output.print_table("", ("customer", "content", "state", "what came back"), lines)
    output.print_text(f"{output.count_noun(len(lines), 'customer')} of run {chosen.run_id} with any feedback.")


def describe_machines(customers: int) -> str:
    """Return the number of customers whose mail a proxy or scanner opened or clicked, as a sentence."""
    whose = output.count_noun(customers, "customer")
    return f"Image proxies or scanners opened or clicked the mail of {whose}. This is not counted above."


def _csv(lines: list[RunSummary]) -> None:
    from mailshot.insight.report import RunSummary

    _write_csv((line.as_dict() for line in lines), tuple(RunSummary.__dataclass_fields__))


def _write_csv(rows: Iterable[Mapping[str, object]], columns: Sequence[str] = ()) -> None:
    """Print rows as CSV, with a head of `columns`, or else of the names in the first row."""
    import csv
    import sys

    from mailshot import spreadsheet

    writer = csv.writer(sys.stdout)
    if columns:
        writer.writerow(columns)
    for number, row in enumerate(rows):
        if number == 0 and not columns:
            writer.writerow(row)
        writer.writerow(str(spreadsheet.harmless(value)) for value in row.values())
