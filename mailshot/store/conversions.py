"""The rows of conversions: feedback that is computed from purchases, events, clicks and the ledger alone.

They are recomputed for each customer whose data changed, so data may arrive in any order, any number of times, and be
corrected or removed. Each order (or event) is one row at most, `goal:order:<key>`, even if several campaigns have it as
their goal; the run whose mail gets the credit is its `run_id`.

Code that writes such data calls `mark` in the same transaction. The queue (`ConversionDue`) is append-only, so that a
transaction that marks never waits for one that processes the queue. Start at `process_queue`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from json import dumps, loads
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Insert,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlmodel import Field, SQLModel

from mailshot.audience.compile import in_list, in_parameter, product_clause, stands
from mailshot.profile.goals import Claim, Goal, credited
from mailshot.states import NOT_MAILED, DeliveryState, FeedbackClass, FeedbackKind, RunState
from mailshot.store import dialect, tables
from mailshot.store.audiences import SCHEMA
from mailshot.store.column_types import MICROSECOND, Instant, RowId
from mailshot.store.eligibility import DELIVERY, RUN
from mailshot.store.engine import Connection
from mailshot.store.sent_mail import SENT_AT

BUYER, EVENT, PURCHASE = dialect.table(tables.Buyer), dialect.table(tables.Event), dialect.table(tables.Purchase)
#: Prefix of the keys of computed rows; imported conversions have other keys.
MADE = "goal:"
AFTER_CLICK, AFTER_MAIL = "after a click in the mail", "after the mail"
#: Customers marked by one statement.
CHUNK = 10_000
#: The mail that gets the credit, by customer and key of the row.
Credits = dict[tuple[int, str], Claim]


class ConversionDue(SQLModel, table=True):
    """A customer whose conversions are to be computed again, because purchases, events or mails changed."""

    __tablename__ = "conversion_due"
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    customer_id: int = Field(sa_type=BigInteger)


DUE, FEEDBACK = dialect.table(ConversionDue), dialect.table(tables.Feedback)


class _Later(FunctionElement[datetime]):
    """A moment plus a number of microseconds."""

    inherit_cache = True
    type = Instant()

    def __init__(self, moment: ColumnElement[datetime], microseconds: int) -> None:
        super().__init__(moment, literal(microseconds, BigInteger()))


@compiles(_Later, "sqlite")
def _later_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    moment, microseconds = (compiler.process(part, **options) for part in element.clauses)
    return f"({moment} + {microseconds})"


@compiles(_Later, "postgresql")
def _later_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    moment, microseconds = (compiler.process(part, **options) for part in element.clauses)
    return f"({moment} + {microseconds} * interval '1 microsecond')"


def mark(connection: Connection, customer_ids: Collection[int] | None = None) -> None:
    """Mark customers (None: all) whose data changed, so that their conversions are computed again."""
    if customer_ids is None:
        _mark(connection)
        return
    ids = sorted(customer_ids)
    for start in range(0, len(ids), CHUNK):
        connection.execute(_MARK_CUSTOMERS, {"customers": ids[start : start + CHUNK]})


def mark_range(connection: Connection, first: int, end: int) -> None:
    """Mark the customers with ids from `first` to before `end`."""
    _mark(connection, DELIVERY.c.customer_id >= first, DELIVERY.c.customer_id < end)


def mark_sent(connection: Connection, run_id: int | None = None) -> None:
    """Mark the customers of a run (None: of all runs) who have purchases or events since its launch.

    Needed when a run ends where "today" is pinned, when a mail in doubt turns out to have arrived, and when products
    change, so that other purchases match a goal.
    """
    bought = exists().where(BUYER.c.customer_id == DELIVERY.c.customer_id, BUYER.c.last_at >= RUN.c.as_of)
    did = exists().where(EVENT.c.customer_id == DELIVERY.c.customer_id, EVENT.c.at >= RUN.c.as_of)
    _mark(connection, true() if run_id is None else RUN.c.id == run_id, or_(bought, did))


def mark_of_feedback(connection: Connection, ids: Collection[int]) -> None:
    """Mark the customers of rows of feedback that changed."""
    whose = select(FEEDBACK.c.customer_id).where(in_list(FEEDBACK.c.id, sorted(ids)))
    _mark(connection, DELIVERY.c.customer_id.in_(whose))


def _mark(connection: Connection, *which: ColumnElement[bool]) -> None:
    connection.execute(_marking(*which))


def _marking(*which: ColumnElement[bool]) -> Insert:
    mailed = and_(RUN.c.state != RunState.past, DELIVERY.c.state.not_in(NOT_MAILED), *which)
    joined = DELIVERY.join(RUN, RUN.c.id == DELIVERY.c.run_id)
    customers = select(DELIVERY.c.customer_id).distinct().select_from(joined).where(mailed)
    return insert(DUE).from_select(["customer_id"], customers)


# Built once: it runs for every few clicks.
_MARK_CUSTOMERS = _marking(in_parameter(DELIVERY.c.customer_id, "customers"))


def forget(connection: Connection, customer_id: int) -> None:
    """Delete the computed conversions of an erased customer; imported ones stay."""
    connection.execute(delete(FEEDBACK).where(FEEDBACK.c.customer_id == customer_id, _made()))


def has_queued(connection: Connection) -> bool:
    """Return whether the queue has entries."""
    return connection.execute(select(DUE.c.id).limit(1)).first() is not None


def process_queue(connection: Connection, most: int) -> int:
    """Process up to `most` entries of the queue; return how many there were, 0 when it is empty.

    The goals of all runs must be known (`unread`).
    """
    dialect.advisory_lock(connection, "conversions")
    entries = connection.execute(select(DUE.c.id, DUE.c.customer_id).order_by(DUE.c.id).limit(most)).all()
    if entries:
        customers = sorted({int(row[1]) for row in entries})
        _replace(connection, customers, _wanted(connection, customers))
        connection.execute(delete(DUE).where(in_list(DUE.c.id, [int(row[0]) for row in entries])))
    return len(entries)


def unread(connection: Connection, most: int) -> list[tuple[int, str]]:
    """Return up to `most` runs whose goal was not read from their definition yet, as (run id, definition)."""
    chosen = select(RUN.c.id, RUN.c.definition).where(RUN.c.goal.is_(None), RUN.c.state != RunState.past)
    return [(int(row[0]), str(row[1])) for row in connection.execute(chosen.order_by(RUN.c.id).limit(most))]


def keep_goal(connection: Connection, run_id: int, goal: Goal | None) -> None:
    """Store a run's goal, as it was at its launch."""
    connection.execute(RUN.update().where(RUN.c.id == run_id).values(goal=goal.freeze() if goal else {}))


def goal_of(connection: Connection, run_id: int) -> Goal | None:
    """Return a run's goal, None for a campaign without one and for an imported one."""
    body = connection.scalar(select(RUN.c.goal).where(RUN.c.id == run_id))
    return Goal.thaw(body) if body else None


@dataclass(frozen=True, slots=True)
class _Mailed:
    """A run that has a goal, with its calendar."""

    #: JSON of `Goal.freeze`.
    goal: str
    as_of: datetime
    launched_at: datetime

    def on_calendar(self, at: datetime) -> datetime:
        return self.as_of + (at - self.launched_at)


@lru_cache(maxsize=1024)
def _thawed(goal: str) -> Goal:
    return Goal.thaw(loads(goal))


def _wanted(connection: Connection, customers: Sequence[int]) -> Credits:
    """Return every conversion of some customers by customer and key."""
    runs = _runs(connection, customers)
    clicks = _clicks(connection, customers, runs)
    claims: dict[tuple[int, str], list[Claim]] = {}
    for frozen in {run.goal for run in runs.values()}:
        goal = _thawed(frozen)
        of_goal = [run_id for run_id, run in runs.items() if run.goal == frozen]
        for run_id, customer, key, at, sent_at in connection.execute(_responses(goal, of_goal, customers)):
            if at < goal.end(sent_at):
                # A mail may have been sent again, so a click may be earlier than the ledger's moment.
                before = [click for click in clicks.get((run_id, customer), ()) if click <= at]
                claim = Claim(run_id, at, sent_at, max(before, default=None))
                claims.setdefault((customer, f"{MADE}{'event' if goal.event else 'order'}:{key}"), []).append(claim)
    return {place: credited(some) for place, some in claims.items()}


def _runs(connection: Connection, customers: Sequence[int]) -> dict[int, _Mailed]:
    """Return the runs with a goal that mailed any of some customers."""
    mailed = select(DELIVERY.c.run_id).where(
        in_list(DELIVERY.c.customer_id, customers), DELIVERY.c.state == DeliveryState.sent
    )
    rows = connection.execute(
        select(RUN.c.id, RUN.c.goal, RUN.c.as_of, RUN.c.launched_at).where(
            RUN.c.id.in_(mailed), RUN.c.state != RunState.past
        )
    )
    return {int(row[0]): _Mailed(dumps(row[1], sort_keys=True), row[2], row[3]) for row in rows if row[1]}


def _clicks(
    connection: Connection, customers: Sequence[int], runs: Mapping[int, _Mailed]
) -> dict[tuple[int, int], list[datetime]]:
    """Return when people clicked by run and customer, on the calendar of the run."""
    f = FEEDBACK.c
    by_people = and_(f.kind == FeedbackKind.clicked, f.by == FeedbackClass.human)
    chosen = select(f.run_id, f.customer_id, f.at).where(in_list(f.customer_id, customers), by_people)
    by_mail: dict[tuple[int, int], list[datetime]] = {}
    for run_id, customer, at in connection.execute(chosen):
        if run_id in runs:
            by_mail.setdefault((run_id, customer), []).append(runs[run_id].on_calendar(at))
    return by_mail


def _responses(goal: Goal, run_ids: Sequence[int], customers: Sequence[int]) -> Select[Any]:
    """Return the query of (run, customer, key, moment, moment of the mail) of possible responses to mails.

    The moment of an order is that of its first line that counts. The window is the longest in any time zone; the caller
    checks the exact one. Bounced mails were not received.
    """
    table = PURCHASE if goal.event is None else EVENT
    what = table.c
    key = what.order_key if goal.event is None else what.key
    longest = _Later(SENT_AT, goal.within.longest // MICROSECOND)
    back = exists().where(
        FEEDBACK.c.customer_id == DELIVERY.c.customer_id,
        FEEDBACK.c.run_id == DELIVERY.c.run_id,
        FEEDBACK.c.kind == FeedbackKind.bounced,
    )
    joined = DELIVERY.join(RUN, RUN.c.id == DELIVERY.c.run_id).join(table, what.customer_id == DELIVERY.c.customer_id)
    return (
        select(
            DELIVERY.c.run_id, DELIVERY.c.customer_id, key, func.min(what.at, type_=Instant()),
            func.min(SENT_AT, type_=Instant()),
        )
        .select_from(joined)
        .where(in_list(DELIVERY.c.customer_id, customers), in_list(DELIVERY.c.run_id, run_ids))
        .where(DELIVERY.c.state == DeliveryState.sent, what.at >= SENT_AT, what.at < longest, not_(back))
        .where(*goal_clauses(goal))
        .group_by(DELIVERY.c.run_id, DELIVERY.c.customer_id, key)
    )  # fmt: skip


def goal_clauses(goal: Goal) -> list[ColumnElement[bool]]:
    """Return the clauses over purchases, or over events, that a goal counts, at any time."""
    table = PURCHASE if goal.event is None else EVENT
    clauses = [stands(PURCHASE.c.returned_at, None) if goal.event is None else EVENT.c.name == goal.event]
    if goal.products.filters:
        meant = select(SCHEMA.product.c.id).where(product_clause(SCHEMA.product, goal.products))
        clauses.append(table.c.product_id.in_(meant))
    return clauses


def _replace(connection: Connection, customers: Sequence[int], wanted: Credits) -> None:
    """Add, change and delete the computed rows of some customers, so that they are as `wanted`."""
    f = FEEDBACK.c
    chosen = select(f.id, f.customer_id, f.key, f.run_id, f.at, f.why).where(in_list(f.customer_id, customers), _made())
    gone, new = [], dict(wanted)
    for number, customer, key, *values in connection.execute(chosen).all():
        claim = wanted.get((customer, key))
        if claim is not None and [claim.run_id, claim.at, _why(claim)] == values:
            del new[customer, key]
        else:
            gone.append(int(number))
    if gone:
        connection.execute(delete(FEEDBACK).where(in_list(f.id, gone)))
    if new:
        rows = [_row(customer, key, new[customer, key]) for customer, key in sorted(new)]
        connection.execute(dialect.dialect_insert(connection, FEEDBACK).on_conflict_do_nothing(), rows)


def _row(customer: int, key: str, claim: Claim) -> dict[str, Any]:
    return {
        "customer_id": customer, "run_id": claim.run_id, "kind": str(FeedbackKind.converted), "key": key,
        "at": claim.at, "by": str(FeedbackClass.human), "why": _why(claim), "detail": {},
    }  # fmt: skip


def _why(claim: Claim) -> str:
    return AFTER_MAIL if claim.clicked_at is None else AFTER_CLICK


def _made() -> ColumnElement[bool]:
    key = func.substr(FEEDBACK.c.key, 1, len(MADE))
    return and_(FEEDBACK.c.kind == FeedbackKind.converted, key == MADE)
