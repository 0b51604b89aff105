"""Queries of the ledger: which rows are due, which runs still need a worker, and how many rows are in each state."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, exists, func, or_, select, true

from mailshot.states import HELD, OPEN, REACHED, UNSETTLED_RUNS, WAITING, DeliveryState, Reason, RunState
from mailshot.store.dialect import Clause
from mailshot.store.eligibility import DELIVERY, RUN
from mailshot.store.engine import Connection

D = DELIVERY.c


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """The ledger row of one customer in a run, for explanations."""

    state: DeliveryState
    content: str | None
    #: Why the customer is left out, None for a mail.
    reason: Reason | None
    #: Pairs of (product id, times bought); empty without offers.
    offers: list[list[int]]
    #: What the server said, or how the mail was settled.
    reply: str | None


def delivery(connection: Connection, run_id: int, customer_id: int) -> DeliveryRecord | None:
    """Return one row of the ledger."""
    columns = select(D.state, D.content, D.reason, D.offers, D.reply)
    row = connection.execute(columns.where(D.run_id == run_id, D.customer_id == customer_id)).first()
    if row is None:
        return None
    reason = Reason.of(row.reason) if row.reason else None
    return DeliveryRecord(DeliveryState.of(row.state), row.content, reason, row.offers or [], row.reply)


def offered_rows(connection: Connection, run_id: int, content: str, most: int) -> list[list[list[int]]]:
    """Return the offers of up to `most` mails with a content that reached their customers."""
    reached = (D.run_id == run_id, D.content == content, D.state.in_(REACHED))
    return [offers or [] for offers in connection.scalars(select(D.offers).where(*reached).limit(most))]


def due_clauses(now: datetime, relays: Collection[str] | None = None) -> tuple[Clause, Clause]:
    """Return the clauses of rows that can be claimed now, one for each state of `WAITING`.

    Used separately, each can use the index on (run, state, customer); see `worker_ledger.claim`. `relays` leaves out
    rows that only another relay may send.
    """
    pending, deferred = D.state == DeliveryState.pending, D.state == DeliveryState.deferred
    sendable = true() if relays is None else or_(D.relay.is_(None), D.relay.in_(sorted(relays)))
    return and_(pending, sendable), and_(deferred, D.next_attempt_at <= now, sendable)


def runs_with_due_rows(connection: Connection, now: datetime) -> list[tuple[int, int]]:
    """Return each running run that has due rows, with the number of workers that hold live claims on it."""
    has_due = exists().where(D.run_id == RUN.c.id, or_(*due_clauses(now)))
    workers = (
        select(func.count(D.token.distinct()))
        .where(D.run_id == RUN.c.id, D.state.in_(HELD))
        .where(D.lease_until >= now)
        .scalar_subquery()
    )
    runs = select(RUN.c.id, workers).where(RUN.c.state == RunState.running, has_due).order_by(RUN.c.id)
    return [(int(row[0]), int(row[1])) for row in connection.execute(runs)]


def count_due_rows(connection: Connection, now: datetime) -> int:
    """Count the rows of running runs that can be sent now."""
    running = select(RUN.c.id).where(RUN.c.state == RunState.running)
    counts = (select(func.count()).where(D.run_id.in_(running), due) for due in due_clauses(now))
    return sum(int(connection.scalar(count) or 0) for count in counts)


def has_due_rows(connection: Connection, run_id: int, now: datetime, relays: Collection[str] | None = None) -> bool:
    """Return whether a run has rows that can be sent now, by one of `relays` if they are named."""
    rows = select(D.run_id).where(D.run_id == run_id, or_(*due_clauses(now, relays)))
    return connection.execute(rows.limit(1)).first() is not None


def is_unsettled(connection: Connection, now: datetime) -> bool:
    """Return whether `ledger.recover` or `ledger.finish_runs` would change anything. Takes no write lock."""
    unsettled_runs = select(RUN.c.id).where(RUN.c.state.in_(UNSETTLED_RUNS))
    lapsed = exists().where(D.run_id.in_(unsettled_runs), D.state.in_(HELD), D.lease_until < now)
    open_row = exists().where(D.run_id == RUN.c.id, D.state.in_(OPEN))
    waiting = exists().where(D.run_id == RUN.c.id, D.state.in_(WAITING))
    over = exists().where(
        or_(
            and_(RUN.c.state == RunState.running, ~open_row),
            and_(RUN.c.state == RunState.cancelled, waiting),
        )
    )
    return bool(connection.scalar(select(or_(lapsed, over))))


def count_states(connection: Connection, run_id: int) -> dict[str, int]:
    """Count the rows of a run by state."""
    grouped = select(D.state, func.count()).where(D.run_id == run_id).group_by(D.state)
    return {str(row[0]): int(row[1]) for row in connection.execute(grouped)}


def in_progress(by_state: Mapping[str, int]) -> int:
    """Return how many rows workers hold, given the result of `count_states`."""
    return sum(by_state.get(state, 0) for state in HELD)
