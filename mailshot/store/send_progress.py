"""How fast a run is being sent now, read from the ledger alone: it is right for any number of workers on any machines.

The ledger notes when the intent of each mail was committed (`dotted_at`) and when its outcome was (`settled_at`). All
intents of one round have the same moment, so the number of different moments is the number of rounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Float, case, func, select, type_coerce

from mailshot.states import HELD, DeliveryState
from mailshot.store.eligibility import DELIVERY
from mailshot.store.engine import Connection

D = DELIVERY.c
#: A rate is that of the last minute. Where that has fewer than `ENOUGH` mails, it is that of the last five.
MINUTE, LONGER, ENOUGH = timedelta(minutes=1), timedelta(minutes=5), 10
#: A rate is never taken from less: a first round of 20 mails within 0.01 seconds is no rate.
LEAST_SECONDS = 5.0
#: States with a moment `settled_at`, if a worker settled the row. Rows that the plan left out have none.
_SETTLED = (DeliveryState.sent, DeliveryState.refused, DeliveryState.skipped, DeliveryState.unconfirmed)


@dataclass(frozen=True, slots=True)
class SendProgress:
    """How a run is being sent at one moment."""

    #: Mails that servers accepted.
    mails_per_minute: float
    #: Deliveries that were settled in any way: the mails that are left become fewer by so many.
    settled_per_minute: float
    #: Batches that workers are sending: those who hold rows.
    workers: int
    #: When the first of the mails with a temporary error is tried again; None without any.
    next_attempt_at: datetime | None
    #: Mails in one commit of the last minute, on average; None without any.
    mails_per_commit: float | None
    #: From the committed intent to the committed reply in the last minute, on average; None without any.
    reply_seconds: float | None

    def done_at(self, left: int, now: datetime) -> datetime | None:
        """Return when `left` more mails will be settled at this rate; None when nothing moves, or nothing is left."""
        if not left or not self.settled_per_minute:
            return None
        try:
            return now + timedelta(minutes=left / self.settled_per_minute)
        except OverflowError:
            return None


def read_progress(connection: Connection, run_id: int, now: datetime) -> SendProgress:
    """Return how a run is being sent. It reads all its mails that are settled: a second for a million."""
    minute = D.settled_at >= now - MINUTE
    sent, dotted = D.state == DeliveryState.sent, D.dotted_at >= now - MINUTE
    seconds = _seconds_between(connection, D.dotted_at, D.settled_at)
    columns = (
        _count(minute),
        _count(minute & sent),
        func.count(),
        _count(sent),
        func.min(D.settled_at, type_=D.settled_at.type),
        _count(sent & dotted),
        func.count(case((sent & dotted, D.dotted_at)).distinct()),
        func.avg(case((sent & dotted, seconds))),
    )
    recent = select(*columns).where(D.run_id == run_id, D.state.in_(_SETTLED), D.settled_at >= now - LONGER)
    settled, mails, settled_longer, mails_longer, first, dots, rounds, reply = connection.execute(recent).one()
    if settled >= ENOUGH:
        span = _span(first, now, LEAST_SECONDS, MINUTE)
    else:
        settled, mails, span = settled_longer, mails_longer, _span(first, now, MINUTE.total_seconds(), LONGER)
    return SendProgress(
        mails_per_minute=60 * mails / span,
        settled_per_minute=60 * settled / span,
        workers=_count_workers(connection, run_id, now),
        next_attempt_at=_next_attempt(connection, run_id),
        mails_per_commit=dots / rounds if rounds else None,
        reply_seconds=None if reply is None else float(reply),
    )


def _span(first: datetime | None, now: datetime, least: float, most: timedelta) -> float:
    """Return the seconds that a rate is taken from: since the first mail, for a run may be younger than a minute."""
    return min(max((now - first).total_seconds() if first else 0.0, least), most.total_seconds())


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


def _seconds_between(connection: Connection, start: ColumnElement[Any], end: ColumnElement[Any]) -> ColumnElement[Any]:
    between = end.op("-")(start)
    if connection.dialect.name == "sqlite":
        return type_coerce(between, Float()) / 1e6
    return func.date_part("epoch", between)


def _count_workers(connection: Connection, run_id: int, now: datetime) -> int:
    held = (D.run_id == run_id, D.state.in_(HELD), D.lease_until >= now)
    return int(connection.scalar(select(func.count(D.token.distinct())).where(*held)) or 0)


def _next_attempt(connection: Connection, run_id: int) -> datetime | None:
    deferred = (D.run_id == run_id, D.state == DeliveryState.deferred)
    at: datetime | None = connection.scalar(select(func.min(D.next_attempt_at)).where(*deferred))
    return at
