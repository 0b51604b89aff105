"""Owns `status` and `report`: where the runs stand, and what became of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from mailshot.cli import shared
from mailshot.events import DeliveryState, RunState

if TYPE_CHECKING:
    from mailshot.insight.report import Line, Report
    from mailshot.store.engine import Store

CONVERTED = "reached the goal, and this mail was the last they clicked before, else the last they got"
WAITING = ("pending", "claimed", "dotting", "deferred")


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing until every run is done or Ctrl-C.")] = False,
    json: shared.AsJson = False,
) -> None:
    """Show every run and schedule that is not over, and what is unconfirmed."""
    store = shared.app().store
    if json:
        shared.as_json(_state(store))
        return
    if not watch:
        shared.out.print(_drawn(store))
        return
    with Live(_drawn(store), console=shared.out, refresh_per_second=2) as live:
        while any(run["state"] == RunState.running for run in _state(store)["runs"]):
            time.sleep(0.5)
            live.update(_drawn(store))


def report(
    campaign: Annotated[str | None, typer.Argument(help="One campaign in depth; all runs without a name.")] = None,
    past: Annotated[bool, typer.Option("--past", help="Also list imported campaigns.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: shared.AsJson = False,
) -> None:
    """Report what became of the runs: sent, noticed, answered, bought."""
    from mailshot.campaign import conversions
    from mailshot.insight import report as stage

    app = shared.app()
    with shared.err.status("Looking for answers to the mails …"):
        conversions.make(app.store, unfinished=True)
    lines = stage.lines(app.store, campaign)
    if campaign is None and not past:
        lines = [line for line in lines if line.state != RunState.past]
    if csv:
        _csv(lines)
    elif campaign is None:
        shared.as_json([line.as_dict() for line in lines]) if json else show_lines(lines)
    else:
        found = stage.of(app.store, lines[-1])
        shared.as_json(found.as_dict()) if json else show_report(found)


def show_lines(lines: list[Line]) -> None:
    """Print all runs in a table."""
    rows = [
        (line.run_id, line.campaign, line.state, f"{line.as_of:%Y-%m-%d}", line.sent, line.opened, line.clicked,
         line.unsubscribed, line.converted)
        for line in lines
    ]  # fmt: skip
    columns = ("run", "campaign", "state", "as of", "sent", "opened", "clicked", "left", "goal")
    shared.table(
        "Runs (people, each counted once; opens and clicks of humans)", columns, rows, right=(0, 4, 5, 6, 7, 8)
    )
    for line in lines:
        if line.unconfirmed or line.refused:
            shared.say(f"Run {line.run_id}: {line.unconfirmed:,} unconfirmed, {line.refused:,} refused.")


def show_report(found: Report) -> None:
    """Print one run in depth."""
    line = found.line
    shared.say(
        f"[bold]Run {line.run_id}[/bold] of '{shared.plain(line.campaign)}': {line.state}, as of {line.as_of:%Y-%m-%d}"
    )
    shared.counts("", found.states, "deliveries", {str(state): state.help for state in DeliveryState})
    shared.counts("", found.contents, "sent by content")
    if found.reasons:
        shared.counts("", found.reasons, "left out")
    people = {"opened": line.opened, "clicked": line.clicked, "left": line.unsubscribed, "converted": line.converted}
    help = {"left": f"and {line.machine:,} opens or clicks by machines", "converted": CONVERTED}
    shared.counts("", people, "people who", help)
    for url, number in found.links:
        shared.say(f"  {number:,} clicked {shared.plain(url)}")
    no_goal = f"none; what is counted here: {found.goal.words()}"
    shared.say(f"Goal: {shared.plain(found.aim or no_goal)} after the mail.")
    if not found.complete:
        shared.say(f"The {found.goal.within} in which it counts are not over (or not yet imported).")
    bought, held = found.mailed, found.held
    did = "Bought" if found.goal.event is None else "Did it"
    shared.say(
        f"{did}: {bought.buyers:,} of {bought.customers:,} mailed, {held.buyers:,} of {held.customers:,} held out."
    )
    shared.say(f"Uplift: {found.uplift.words()}.")


def _state(store: Store) -> dict[str, Any]:
    from mailshot.store import ledger, runs

    with store.read() as connection:
        found = [
            {"run": run["id"], "campaign": run["campaign"], "state": run["state"], "launched_at": run["launched_at"],
             "deliveries": ledger.counts(connection, run["id"])}
            for run in runs.all_of(connection)
            if run["state"] != RunState.past
        ]  # fmt: skip
        armed = [
            {"campaign": item["campaign"], "state": item["state"], "next_at": item["next_at"]}
            for item in runs.schedules(connection)
        ]
    return {"runs": found, "schedules": armed}


def _drawn(store: Store) -> Table:
    state = _state(store)
    shown = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("run", "campaign", "state", "sent", "waiting", "skipped", "held out", "refused", "unconfirmed"):
        words = name in ("campaign", "state")
        shown.add_column(name, justify="left" if words else "right", no_wrap=not words)
    for run in state["runs"]:
        counts = run["deliveries"]
        waiting = sum(counts.get(name, 0) for name in WAITING)
        numbers = (
            counts.get("sent", 0),
            waiting,
            *(counts.get(n, 0) for n in ("skipped", "holdout", "refused", "unconfirmed")),
        )
        shown.add_row(str(run["run"]), run["campaign"], run["state"], *(f"{number:,}" for number in numbers))
    for item in state["schedules"]:
        shown.add_row("-", item["campaign"], f"{item['state']}, next {item['next_at']:%Y-%m-%d %H:%M %Z}")
    return shown


def _csv(lines: list[Line]) -> None:
    import csv
    import sys

    from mailshot.insight.report import Line

    writer = csv.writer(sys.stdout)
    writer.writerow(Line.__dataclass_fields__)
    for line in lines:
        # A cell that begins like a formula would run in a spreadsheet.
        cells = [str(value) for value in line.as_dict().values()]
        writer.writerow(
            ["'" + cell if cell and cell[0] in "=+-@\t\r" and not cell[1:].isdigit() else cell for cell in cells]
        )
