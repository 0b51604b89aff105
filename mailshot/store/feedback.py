"""Owns the rows of feedback and what a piece of it meets on arrival; refuses to judge who caused it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, select

from mailshot.profile.topics import TRACKING
from mailshot.states import NOT_MACHINES, FeedbackClass, FeedbackKind
from mailshot.store import conversions, sql
from mailshot.store.engine import Connection
from mailshot.store.tables import Consent, Delivery, Feedback, Run

FEEDBACK = sql.table(Feedback)
DELIVERY = sql.table(Delivery)
CONSENT = sql.table(Consent)
RUN = sql.table(Run)


@dataclass(frozen=True, slots=True)
class FeedbackEvent:
    """One piece of feedback. `key` names it for its customer, so that the same piece twice is one row."""

    customer_id: int
    kind: FeedbackKind
    key: str
    at: datetime
    run_id: int | None = None
    by: FeedbackClass = FeedbackClass.human
    why: str = ""
    link_id: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an open or click meets: when the dot of its mail went out, and whether it may be counted."""

    dotted_at: datetime | None
    state: str
    tracked: bool


@dataclass(frozen=True, slots=True)
class Click:
    id: int
    link_id: int
    at: datetime


def record(connection: Connection, piece: FeedbackEvent) -> bool:
    """Keep a piece of feedback and return whether it is new."""
    words = {"kind": piece.kind.value, "by": piece.by.value}
    row = sql.insert(connection, FEEDBACK).values(**{**asdict(piece), **words})
    new = sql.changed_one(connection, row.on_conflict_do_nothing())
    if new and piece.kind in (FeedbackKind.clicked, FeedbackKind.bounced):
        conversions.mark(connection, [piece.customer_id])
    return new


def circumstances(connection: Connection, run_id: int, customer_id: int) -> Circumstances | None:
    """Return what an open or click of this mail meets, None when the ledger does not know the mail."""
    d, c = DELIVERY.c, CONSENT.c
    tracking = and_(c.customer_id == d.customer_id, c.topic == TRACKING)
    row = connection.execute(
        select(d.dotted_at, d.state, c.given)
        .select_from(DELIVERY.outerjoin(CONSENT, tracking))
        .where(d.run_id == run_id, d.customer_id == customer_id)
    ).first()
    return Circumstances(row.dotted_at, row.state, bool(row.given)) if row else None


def clicks_around(connection: Connection, run_id: int, customer_id: int, at: datetime, reach: timedelta) -> list[Click]:
    """Return the clicks in one mail within `reach` of a moment, in order of time."""
    c = FEEDBACK.c
    rows = connection.execute(
        select(c.id, c.link_id, c.at)
        .where(c.customer_id == customer_id, c.run_id == run_id, c.kind == FeedbackKind.clicked)
        .where(c.link_id.is_not(None), c.at.between(at - reach, at + reach))
        .order_by(c.at)
    )
    return [Click(*row) for row in rows]


def blame_scanner(connection: Connection, ids: list[int], why: str) -> int:
    """Reclassify clicks that were held for a person's, and return how many were."""
    c = FEEDBACK.c
    change = FEEDBACK.update().where(c.id.in_(ids), c.by.in_(NOT_MACHINES))
    conversions.mark_of_feedback(connection, ids)
    return connection.execute(change.values(by=FeedbackClass.scanner, why=why)).rowcount


def topic_of(connection: Connection, run_id: int) -> str | None:
    """Return the topic of a run, None when there is no such run."""
    found: str | None = connection.scalar(select(RUN.c.topic).where(RUN.c.id == run_id))
    return found
