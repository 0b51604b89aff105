"""Runs and schedules: created once, then paused, resumed, cancelled or finished. The ledger has the deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mailshot.errors import Refused
from mailshot.states import RUN_FROM, RunState, ScheduleState
from mailshot.store import dialect, ledger, tables
from mailshot.store.engine import Connection

RUN, SCHEDULE = dialect.table(tables.Run), dialect.table(tables.Schedule)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a launch decides about a run."""

    campaign: str
    topic: str
    #: Digest of the frozen campaign (see `snapshots`).
    definition: str
    #: The plan whose rows become the deliveries.
    plan_id: str
    #: "Today" in the conditions of its rules.
    as_of: datetime
    launched_at: datetime
    #: Mail on a topic that needs no consent.
    service: bool = False
    #: A copy without customer data is in the public archive.
    archived: bool = False
    #: A delivery in doubt is sent again instead of being left unconfirmed.
    at_least_once: bool = False
    #: `Goal.freeze`, {} without a goal. None: a run of an earlier version, whose goal was not read yet.
    goal: Mapping[str, Any] | None = None
    #: The schedule, and which of its moments this run is for; None for a run that was launched at once.
    schedule_id: int | None = None
    slot: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord(NewRun):
    """A run as the store has it."""

    id: int
    state: RunState
    #: When it was finished or cancelled, None before.
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchedule:
    """The version of a campaign that the clock is to launch, and when."""

    campaign: str
    #: Digest of the frozen campaign (see `snapshots`).
    definition: str
    #: None: it is launched once, at `next_at`.
    cron: str | None
    #: Name of the time zone in which `cron` is read.
    zone: str
    next_at: datetime
    #: When this version was scheduled.
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRecord(NewSchedule):
    """A schedule as the store has it."""

    id: int
    state: ScheduleState


def begin(connection: Connection, run: NewRun) -> int:
    """Create a run with a delivery for every row of its plan. Raises Refused when the plan or slot has begun."""
    try:
        row = asdict(run) | {"state": RunState.running}
        run_id = connection.execute(insert(RUN).returning(RUN.c.id), row).scalar_one()
    except IntegrityError:
        raise Refused(f"This plan of '{run.campaign}' is already launched.", "Plan again to launch again.") from None
    ledger.create_deliveries(connection, int(run_id), run.plan_id)
    return int(run_id)


def find_run(connection: Connection, run_id: int) -> RunRecord | None:
    """Return one run."""
    return next(iter(_runs(connection, select(RUN).where(RUN.c.id == run_id))), None)


def runs_of(connection: Connection, campaign: str) -> list[RunRecord]:
    """Return the runs of a campaign, newest first."""
    return _runs(connection, select(RUN).where(RUN.c.campaign == campaign).order_by(RUN.c.id.desc()))


def campaign_names(connection: Connection) -> set[str]:
    """Return the name of every campaign that was ever launched, scheduled or imported."""
    return {str(name) for table in (RUN, SCHEDULE) for name in connection.scalars(select(table.c.campaign).distinct())}


def runs_in(connection: Connection, *states: str) -> list[RunRecord]:
    """Return every run in one of `states` (all runs when no state is named), oldest first."""
    chosen = select(RUN).where(RUN.c.state.in_(states)) if states else select(RUN)
    return _runs(connection, chosen.order_by(RUN.c.id))


def by_date(connection: Connection) -> list[RunRecord]:
    """Return every run, the one with the earliest `as_of` first: imported runs have higher ids than later launches."""
    return _runs(connection, select(RUN).order_by(RUN.c.as_of, RUN.c.id))


def _runs(connection: Connection, rows: Select[Any]) -> list[RunRecord]:
    return [RunRecord(**{**row, "state": RunState.of(row["state"])}) for row in connection.execute(rows).mappings()]


def archived(connection: Connection, most: int) -> list[RunRecord]:
    """Return the latest runs in the public archive, newest first."""
    return _runs(connection, select(RUN).where(RUN.c.archived).order_by(RUN.c.id.desc()).limit(most))


def set_archived(connection: Connection, run_id: int, archived: bool) -> None:
    """Put a run into the public archive, or take it out."""
    connection.execute(update(RUN).where(RUN.c.id == run_id).values(archived=archived))


def move_run(connection: Connection, run_id: int, to: RunState, at: datetime) -> bool:
    """Move a run along an arrow; False when its present state has none there."""
    values: dict[str, Any] = {"state": to}
    if to in (RunState.finished, RunState.cancelled):
        values["finished_at"] = at
    moved = update(RUN).where(RUN.c.id == run_id, RUN.c.state.in_(RUN_FROM[to])).values(**values)
    return connection.execute(moved).rowcount == 1


def launches(connection: Connection, campaign: str) -> int:
    """Count the runs of a campaign, so that planning again after a launch is a new plan."""
    return int(connection.execute(select(func.count()).where(RUN.c.campaign == campaign)).scalar_one())


def lock_campaign(connection: Connection, campaign: str) -> None:
    """Wait until no other transaction launches, schedules or replaces this campaign. Take it before its schedule."""
    dialect.advisory_lock(connection, f"launch {campaign}")


def schedule(connection: Connection, version: NewSchedule) -> int:
    """Create a schedule and return its id. The caller called `lock_campaign` and found no other open one."""
    row = asdict(version) | {"state": ScheduleState.armed}
    return int(connection.execute(insert(SCHEDULE).returning(SCHEDULE.c.id), row).scalar_one())


def reschedule(connection: Connection, schedule_id: int, version: NewSchedule) -> None:
    """Put another version in the place of an open schedule. It keeps its id, so no slot is launched twice."""
    connection.execute(update(SCHEDULE).where(SCHEDULE.c.id == schedule_id).values(**asdict(version)))


def open_schedule(connection: Connection, campaign: str) -> ScheduleRecord | None:
    """Return the schedule of a campaign that has not ended, locked until the transaction ends."""
    open_rows = select(SCHEDULE).where(SCHEDULE.c.campaign == campaign, SCHEDULE.c.state != ScheduleState.ended)
    return next(iter(_schedules(connection, open_rows.with_for_update())), None)


def end_schedule(connection: Connection, schedule_id: int) -> None:
    """End one schedule."""
    ended = update(SCHEDULE).where(SCHEDULE.c.id == schedule_id)
    connection.execute(ended.values(state=ScheduleState.ended))


def last_slot(connection: Connection, schedule_id: int) -> datetime | None:
    """Return the latest moment of a schedule that was launched."""
    slot: datetime | None = connection.scalar(select(func.max(RUN.c.slot)).where(RUN.c.schedule_id == schedule_id))
    return slot


def due_schedules(connection: Connection, moment: datetime) -> list[tuple[int, str]]:
    """Return the schedules, with their campaigns, that the clock has to launch; first what was due first."""
    rows = select(SCHEDULE.c.id, SCHEDULE.c.campaign).where(*_is_due(moment))
    return [(int(row[0]), str(row[1])) for row in connection.execute(rows.order_by(SCHEDULE.c.next_at))]


def take_due(connection: Connection, schedule_id: int, moment: datetime) -> ScheduleRecord | None:
    """Return a schedule as it is now, locked until the transaction ends; None when it is no longer due."""
    due_row = select(SCHEDULE).where(SCHEDULE.c.id == schedule_id, *_is_due(moment))
    return next(iter(_schedules(connection, due_row.with_for_update())), None)


def _is_due(moment: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return SCHEDULE.c.state == ScheduleState.armed, SCHEDULE.c.next_at <= moment


def schedules(connection: Connection, campaign: str | None = None) -> list[ScheduleRecord]:
    """Return the schedules that have not ended, of one campaign or of all, in the order in which they are due."""
    open_rows = select(SCHEDULE).where(SCHEDULE.c.state != ScheduleState.ended)
    chosen = open_rows.where(SCHEDULE.c.campaign == campaign) if campaign else open_rows
    return _schedules(connection, chosen.order_by(SCHEDULE.c.next_at))


def _schedules(connection: Connection, rows: Select[Any]) -> list[ScheduleRecord]:
    return [
        ScheduleRecord(**{**row, "state": ScheduleState.of(row["state"])})
        for row in connection.execute(rows).mappings()
    ]


def advance(connection: Connection, schedule_id: int, slot: datetime, following: datetime | None) -> bool:
    """Move a schedule past `slot`; False when another process already has."""
    values: dict[str, Any] = {"next_at": following} if following else {"state": ScheduleState.ended}
    moved = update(SCHEDULE).where(
        SCHEDULE.c.id == schedule_id, SCHEDULE.c.next_at == slot, SCHEDULE.c.state == ScheduleState.armed
    )
    return connection.execute(moved.values(**values)).rowcount == 1


def set_schedule(connection: Connection, campaign: str, to: ScheduleState) -> int:
    """Pause, arm again or end a campaign's schedules; return how many changed."""
    mine = update(SCHEDULE).where(
        SCHEDULE.c.campaign == campaign, SCHEDULE.c.state != ScheduleState.ended, SCHEDULE.c.state != to
    )
    return connection.execute(mine.values(state=to)).rowcount
