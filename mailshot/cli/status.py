"""`status`: the state of runs, how fast they are being sent, and what is scheduled."""

from __future__ import annotations

import shlex
import time
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mailshot.cli import context, output
from mailshot.states import OPEN, DeliveryState, RunState, ScheduleState

if TYPE_CHECKING:
    from mailshot.campaign.schedule_diff import Scheduled
    from mailshot.store.engine import Connection, Store
    from mailshot.store.erasures import Waiting
    from mailshot.store.runs import RunRecord

# How long ended runs stay in 'status'.
RECENT = timedelta(days=7)
COUNTED = ("skipped", "holdout", "refused", "unconfirmed")
#: Shortest pause with --watch. A large ledger takes long to read, so reading takes at most a tenth of the time.
WATCH_SECONDS, PAUSE_FACTOR = 0.5, 10
#: A run that was launched this long ago, has due mail, and of which no worker holds any, waits for a worker.
PATIENCE = timedelta(seconds=15)


def status(
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep updating until all runs are finished, or Ctrl-C.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Also show runs that ended more than a week ago.")] = False,
    json: context.AsJson = False,
) -> None:
    """Show current runs, runs of the last 7 days, schedules, and unconfirmed deliveries."""
    app = context.app()
    project = app.settings.project
    if json:
        output.print_json(_state(app.store, project, every))
        return
    # Once: to compare the files with a schedule is to read all rules.
    scheduled = _scheduled(app.store, project)
    shown_runs, older = _runs(app.store, every)
    pause = WATCH_SECONDS
    if not watch:
        output.out.print(_status_view(shown_runs, older, scheduled, project))
        _print_erasures(app.store, project)
        return
    with Live(_status_view(shown_runs, older, scheduled, project), console=output.out, refresh_per_second=2) as live:
        while any(run["state"] == RunState.running for run in shown_runs):
            time.sleep(pause)
            began = time.monotonic()
            shown_runs, older = _runs(app.store, every)
            live.update(_status_view(shown_runs, older, scheduled, project))
            pause = max(WATCH_SECONDS, PAUSE_FACTOR * (time.monotonic() - began))


def _runs(store: Store, every: bool) -> tuple[list[dict[str, Any]], int]:
    """Return the runs to show, and how many others there are."""
    from mailshot.store import ledger_queries, runs

    store.set_clock()
    with store.read() as connection:
        known = [run for run in runs.runs_in(connection) if run.state is not RunState.past]
        chosen = [run for run in known if every or _recent(run)]
        shown_runs = []
        for run in chosen:
            counts = ledger_queries.count_states(connection, run.id)
            shown_runs.append(
                {"run": run.id, "campaign": run.campaign, "state": run.state,
                 "launched_at": run.launched_at, "finished_at": run.finished_at, "deliveries": counts,
                 "under_way": ledger_queries.in_progress(counts),
                 "progress": _progress(connection, run, counts, store.now())}
            )  # fmt: skip
    return shown_runs, len(known) - len(chosen)


def _recent(run: RunRecord) -> bool:
    """Return whether a run is active or ended recently."""
    ended = run.finished_at
    goes_on = run.state in (RunState.running, RunState.paused)
    return goes_on or (ended is not None and context.now() - ended <= RECENT)


def _scheduled(store: Store, project: Path) -> list[Scheduled]:
    from mailshot.store import runs

    with store.read() as connection:
        if not runs.schedules(connection):
            return []
        from mailshot.campaign import schedule_diff

        return schedule_diff.compare_schedules(connection, project)


def _state(store: Store, project: Path, every: bool) -> dict[str, Any]:
    shown_runs, older = _runs(store, every)
    schedules = [item.as_dict() for item in _scheduled(store, project)]
    waiting = asdict(_waiting(store))
    return {"runs": shown_runs, "schedules": schedules, "older_runs": older, "erasures_waiting": waiting}


def _status_view(shown_runs: list[dict[str, Any]], older: int, scheduled: list[Scheduled], project: Path) -> Group:
    parts: list[RenderableType] = [_table(shown_runs)]
    parts += [
        f"Run {run['run']} is cancelled; {run['under_way']:,} of its mails are still in progress."
        for run in shown_runs
        if run["state"] == RunState.cancelled and run["under_way"]
    ]
    parts += [Text(line) for run in shown_runs for line in _progress_lines(run, project)]
    parts += [_schedule(item) for item in scheduled]
    if older:
        parts.append(Text(f"{older:,} older runs are not shown: mailshot status --all", style="dim"))
    return Group(*parts)


def _progress(connection: Connection, run: RunRecord, counts: dict[str, int], now: datetime) -> dict[str, Any] | None:
    """Return how a running run is being sent, None for any other run."""
    if run.state is not RunState.running:
        return None
    from mailshot.store import send_progress

    progress = send_progress.read_progress(connection, run.id, now)
    left = sum(counts.get(state, 0) for state in OPEN)
    due = left - counts.get(DeliveryState.deferred, 0)
    return {"left": left, "due": due, "done_at": progress.done_at(due, now), **asdict(progress)}


def _progress_lines(run: dict[str, Any], project: Path) -> list[str]:
    """Return how far a run is, in words: one line, and one for those who look after the machines."""
    if run["state"] == RunState.paused:
        left = sum(run["deliveries"].get(state, 0) for state in OPEN)
        return [f"Run {run['run']} is paused, {left:,} to go: mailshot resume {_quoted(run['campaign'])}"]
    progress = run["progress"]
    if progress is None or not progress["left"]:
        return []
    parts = [f"Run {run['run']}: {progress['left']:,} to go", *_pace(run, progress, project)]
    lines = [", ".join(parts) + "."]
    if progress["mails_per_commit"] is not None:
        workers = progress["workers"]
        lines.append(
            f"  {progress['mails_per_commit']:,.0f} mails a commit, "
            f"{progress['reply_seconds']:.2f} seconds from a mail to the server's reply"
            + (f", {workers:,} {'batch' if workers == 1 else 'batches'} under way." if workers else ".")
        )
    return lines


def _pace(run: dict[str, Any], progress: dict[str, Any], project: Path) -> list[str]:
    """Return how fast a run is and when it will be done, or what it waits for."""
    now, zone = context.now(), _zone(project)
    parts = []
    if progress["settled_per_minute"]:
        parts.append(f"{_number(progress['mails_per_minute'])} mails a minute")
    elif not progress["workers"] and progress["due"] and now - run["launched_at"] > PATIENCE:
        parts.append("and no worker is sending (start one: mailshot up, or mailshot worker)")
    if progress["done_at"]:
        parts.append(f"done {_remaining(progress['done_at'] - now)} ({_clock_time(progress['done_at'], now, zone)})")
    deferred = progress["left"] - progress["due"]
    if deferred and progress["next_attempt_at"]:
        when = "now" if progress["next_attempt_at"] <= now else _clock_time(progress["next_attempt_at"], now, zone)
        parts.append(f"{output.count_noun(deferred, 'mail')} to be tried again from {when} on")
    return parts


@cache
def _zone(project: Path) -> ZoneInfo:
    return context.company_zone(project)


def _number(value: float) -> str:
    """Return a rate in words: a slow one with a decimal."""
    return f"{value:,.0f}" if value >= 10 else f"{value:,.1f}".removesuffix(".0")


def _remaining(time_left: timedelta) -> str:
    minutes = time_left.total_seconds() / 60
    if minutes < 1:
        return "in less than a minute"
    if minutes < 90:
        return f"in about {output.count_noun(round(minutes), 'minute')}"
    hours = minutes / 60
    return f"in about {round(hours):,} hours" if hours < 48 else f"in about {round(hours / 24):,} days"


def _clock_time(at: datetime, now: datetime, zone: ZoneInfo) -> str:
    """Return a time of day in the company's zone, with the date if that is not today."""
    local, today = at.astimezone(zone), now.astimezone(zone)
    return f"{local:%H:%M}" if local.date() == today.date() else f"{local:%Y-%m-%d %H:%M}"


def _quoted(campaign: str) -> str:
    """Return a campaign's name as an argument of a command, fit for a terminal."""
    return shlex.quote("".join(letter if letter.isprintable() else " " for letter in campaign))


def _print_erasures(store: Store, project: Path) -> None:
    waiting = _waiting(store)
    if waiting.since:
        waits, since = (
            output.count_noun(waiting.number, "erasure"),
            context.moment(waiting.since, context.company_zone(project)),
        )
        output.print_text(f"{waits} not yet removed from the database's files, the first of {since}: mailshot doctor")


def _waiting(store: Store) -> Waiting:
    from mailshot.store import erasures

    with store.read() as connection:
        return erasures.count_pending(connection)


def _table(shown_runs: list[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("run", "campaign", "state", "sent", "waiting", "skipped", "held out", "refused", "unconfirmed"):
        is_text = name in ("campaign", "state")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    for run in shown_runs:
        counts, state = run["deliveries"], run["state"]
        waiting = sum(counts.get(name, 0) for name in OPEN)
        if state == RunState.cancelled:
            waiting = 0  # skipped; what a worker still holds is printed below
        numbers = (counts.get("sent", 0), waiting, *(counts.get(name, 0) for name in COUNTED))
        table.add_row(str(run["run"]), output.printable(run["campaign"]), state, *(f"{number:,}" for number in numbers))
    return table


def _schedule(item: Scheduled) -> Text:
    paused = " (paused)" if item.state == ScheduleState.paused else ""
    head = f"'{item.campaign}'{paused}: next {item.next_at:%Y-%m-%d %H:%M %Z}, {item.words()}."
    text = Text("".join(letter if letter.isprintable() else " " for letter in head))
    if not item.current:
        text.stylize("yellow")
        text.append(f"\n  {item.remedy()}", style="dim")
    return text
