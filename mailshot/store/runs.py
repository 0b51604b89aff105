"""Owns runs and schedules: begun once, paused, resumed, cancelled, finished; refuses single deliveries (ledger)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mailshot.errors import Refused
from mailshot.states import RUN_FROM, RunState, ScheduleState
from mailshot.store import dialect, ledger, tables
from mailshot.store.engine import Connection
from mailshot.store.plans import DELIVERY, RUN

SCHEDULE = dialect.table(tables.Schedule)


def begin(connection: Connection, run: Mapping[str, Any]) -> int:
    """Create a run with a delivery for every row of its plan. Raises Refused when the plan or slot has begun."""
    try:
        run_id = connection.execute(insert(RUN).returning(RUN.c.id), dict(run)).scalar_one()
    except IntegrityError:
        raise Refused(f"This plan of '{run['campaign']}' is already launched.", "Plan again to launch again.") from None
    ledger.create(connection, int(run_id), run["plan_id"])
    return int(run_id)


def get(connection: Connection, run_id: int) -> Mapping[str, Any] | None:
    """Return one run."""
    return connection.execute(select(RUN).where(RUN.c.id == run_id)).mappings().first()  # type: ignore[return-value]


def of_campaign(connection: Connection, campaign: str) -> list[Mapping[str, Any]]:
    """Return the runs of a campaign, newest first."""
    mine = select(RUN).where(RUN.c.campaign == campaign).order_by(RUN.c.id.desc())
    return list(connection.execute(mine).mappings())  # type: ignore[arg-type]


def campaigns(connection: Connection) -> set[str]:
    """Return the name of every campaign that was ever launched, scheduled or imported."""
    return {str(name) for table in (RUN, SCHEDULE) for name in connection.scalars(select(table.c.campaign).distinct())}


def all_of(connection: Connection, *states: str) -> list[Mapping[str, Any]]:
    """Return every run in one of `states` (all states when none is named), oldest first."""
    some = select(RUN).where(RUN.c.state.in_(states)) if states else select(RUN)
    return list(connection.execute(some.order_by(RUN.c.id)).mappings())  # type: ignore[arg-type]


def move(connection: Connection, run_id: int, to: RunState, at: datetime) -> bool:
    """Move a run along an arrow; False when its present state has none there."""
    values: dict[str, Any] = {"state": to}
    if to in (RunState.finished, RunState.cancelled):
        values["finished_at"] = at
    moved = update(RUN).where(RUN.c.id == run_id, RUN.c.state.in_(RUN_FROM[to])).values(**values)
    return connection.execute(moved).rowcount == 1


def launches(connection: Connection, campaign: str) -> int:
    """Count the runs of a campaign, so that planning again after a launch is a new plan."""
    return int(connection.execute(select(func.count()).where(RUN.c.campaign == campaign)).scalar_one())


def alone(connection: Connection, campaign: str) -> None:
    """Wait until no other transaction launches, schedules or replaces this campaign. Take it before its schedule."""
    dialect.advisory_lock(connection, f"launch {campaign}")


def schedule(connection: Connection, row: Mapping[str, Any]) -> int:
    """Create a schedule; the caller has made sure, alone, that the campaign has none that is open."""
    return int(connection.execute(insert(SCHEDULE).returning(SCHEDULE.c.id), dict(row)).scalar_one())


def reschedule(connection: Connection, schedule_id: int, row: Mapping[str, Any]) -> None:
    """Put another version in the place of an open schedule. It keeps its number, so no slot is launched twice."""
    connection.execute(update(SCHEDULE).where(SCHEDULE.c.id == schedule_id).values(**row))


def open_schedule(connection: Connection, campaign: str) -> Mapping[str, Any] | None:
    """Return the schedule of a campaign that is not ended, held until the transaction ends."""
    mine = select(SCHEDULE).where(SCHEDULE.c.campaign == campaign, SCHEDULE.c.state != ScheduleState.ended)
    return connection.execute(mine.with_for_update()).mappings().first()  # type: ignore[return-value]


def end_schedule(connection: Connection, schedule_id: int) -> None:
    """End one schedule."""
    ended = update(SCHEDULE).where(SCHEDULE.c.id == schedule_id)
    connection.execute(ended.values(state=ScheduleState.ended))


def last_slot(connection: Connection, schedule_id: int) -> datetime | None:
    """Return the latest moment of a schedule that was launched."""
    found: datetime | None = connection.scalar(select(func.max(RUN.c.slot)).where(RUN.c.schedule_id == schedule_id))
    return found


def due(connection: Connection, moment: datetime) -> list[tuple[int, str]]:
    """Return the schedules, with their campaigns, that the clock has to launch; first what was due first."""
    ripe = select(SCHEDULE.c.id, SCHEDULE.c.campaign).where(*_ripe(moment))
    return [(int(row[0]), str(row[1])) for row in connection.execute(ripe.order_by(SCHEDULE.c.next_at))]


def take_due(connection: Connection, schedule_id: int, moment: datetime) -> Mapping[str, Any] | None:
    """Return a schedule as it is now, held until the transaction ends; None when it is no longer due."""
    ripe = select(SCHEDULE).where(SCHEDULE.c.id == schedule_id, *_ripe(moment))
    return connection.execute(ripe.with_for_update()).mappings().first()  # type: ignore[return-value]


def _ripe(moment: datetime) -> tuple[Any, ...]:
    return SCHEDULE.c.state == ScheduleState.armed, SCHEDULE.c.next_at <= moment


def schedules(connection: Connection, campaign: str | None = None) -> list[Mapping[str, Any]]:
    """Return the schedules that are not ended."""
    open_ones = select(SCHEDULE).where(SCHEDULE.c.state != ScheduleState.ended)
    mine = open_ones.where(SCHEDULE.c.campaign == campaign) if campaign else open_ones
    return list(connection.execute(mine.order_by(SCHEDULE.c.next_at)).mappings())  # type: ignore[arg-type]


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


def delivery(connection: Connection, run_id: int, customer_id: int) -> Mapping[str, Any] | None:
    """Return one row of the ledger."""
    mine = select(DELIVERY).where(DELIVERY.c.run_id == run_id, DELIVERY.c.customer_id == customer_id)
    return connection.execute(mine).mappings().first()  # type: ignore[return-value]
