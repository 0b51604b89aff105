"""Compares two sets of customers inside the database: who enters, leaves, and changes from one outcome to another.

An outcome is a word: for an audience, to be in it; for a plan or run, the content or the reason for none. A customer
without outcome is not in the set. One statement reads each set once and returns sizes, money and examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Label,
    Row,
    Select,
    String,
    case,
    cast,
    false,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)

from mailshot.audience.compile import Compiler, stands
from mailshot.audience.nodes import Condition
from mailshot.states import RECEIVED
from mailshot.store.audiences import SCHEMA
from mailshot.store.eligibility import DELIVERY, ROW
from mailshot.store.engine import Connection

MAIL, NONE = "mail:", "none:"
#: A query of (customer_id, outcome).
Outcomes = Select[Any]
PURCHASE = SCHEMA.purchase.c


@dataclass(frozen=True, slots=True)
class Transition:
    """How many customers went from outcome `was` to `now` (None: not in the set).

    `examples` are the ids of those who spent most, in that order.
    """

    was: str | None
    now: str | None
    customers: int
    spent: Decimal
    examples: tuple[int, ...]


def audience_outcomes(compiled: Compiler, condition: Condition) -> Outcomes:
    """Return the set of the customers who match a condition."""
    (members,) = compiled.select(condition).subquery().c
    return select(members.label("customer_id"), _word(MAIL))


def no_customers() -> Outcomes:
    """Return the empty set."""
    return select(SCHEMA.customer.c.id.label("customer_id"), _word(MAIL)).where(false())


def plan_outcomes(plan_id: str) -> Outcomes:
    """Return the set of the customers of a plan, with what it decided."""
    decided = _outcome(ROW.c.content, ROW.c.reason)
    return select(ROW.c.customer_id, decided).where(ROW.c.plan_id == plan_id)


def run_outcomes(run_id: int) -> Outcomes:
    """Return the set of the customers of a run: with the content, or with why no mail went out."""
    state = DELIVERY.c.state
    reason = func.coalesce(DELIVERY.c.reason, case((state.in_(RECEIVED), cast(null(), String)), else_=state))
    return select(DELIVERY.c.customer_id, _outcome(DELIVERY.c.content, reason)).where(DELIVERY.c.run_id == run_id)


def moves(
    connection: Connection, before: Outcomes, after: Outcomes, spent: tuple[datetime, datetime], most: int
) -> list[Transition]:
    """Return how customers moved between two sets, those who stayed included.

    `spent` are the moments between which purchases count; each transition gets up to `most` examples.
    """
    both = _both(before, after)
    moved = _moved(both, spent)
    money = func.sum(moved.c.spent, type_=PURCHASE.amount.type)
    tally = (
        select(both.c.was, both.c.now, cast(literal(0), BigInteger), func.count(), money)
        .select_from(both.outerjoin(moved, moved.c.customer_id == both.c.customer_id))
        .group_by(both.c.was, both.c.now)
    )
    place = func.row_number().over(
        partition_by=(moved.c.was, moved.c.now), order_by=(moved.c.spent.desc(), moved.c.customer_id)
    )
    ranked = select(moved, place.label("place")).subquery()
    examples = select(
        ranked.c.was, ranked.c.now, ranked.c.customer_id, cast(ranked.c.place, BigInteger), ranked.c.spent
    ).where(ranked.c.place <= most)
    rows = connection.execute(union_all(tally, examples)).all()
    return _labelled(rows)


def _both(before: Outcomes, after: Outcomes) -> CTE:
    """Join both sets: by a union grouped by customer, for older SQLite lacks a full join. Each set is read once."""
    old, new = before.subquery(), after.subquery()
    nothing = cast(null(), String)
    sides = union_all(
        select(old.c.customer_id, old.c.outcome.label("was"), nothing.label("now")),
        select(new.c.customer_id, nothing.label("was"), new.c.outcome.label("now")),
    ).subquery()
    merged = select(sides.c.customer_id, func.max(sides.c.was).label("was"), func.max(sides.c.now).label("now"))
    return merged.group_by(sides.c.customer_id).cte("both").prefix_with("MATERIALIZED")


def _moved(both: CTE, spent: tuple[datetime, datetime]) -> CTE:
    went = or_(both.c.was.is_(None), both.c.now.is_(None), both.c.was != both.c.now)
    gone = select(both).where(went).cte("went").prefix_with("MATERIALIZED")
    amount = func.sum(PURCHASE.amount, type_=PURCHASE.amount.type).label("amount")
    sums = (
        select(PURCHASE.customer_id, amount)
        .where(PURCHASE.customer_id.in_(select(gone.c.customer_id)), PURCHASE.at >= spent[0], PURCHASE.at < spent[1])
        .where(stands(PURCHASE.returned_at, spent[1]))
        .group_by(PURCHASE.customer_id)
        .subquery()
    )
    money = func.coalesce(sums.c.amount, literal(Decimal(0), PURCHASE.amount.type)).label("spent")
    joined = gone.outerjoin(sums, sums.c.customer_id == gone.c.customer_id)
    return select(gone, money).select_from(joined).cte("moved").prefix_with("MATERIALIZED")


def _labelled(rows: Sequence[Row[*tuple[Any, ...]]]) -> list[Transition]:
    examples: dict[tuple[str | None, str | None], list[tuple[int, int]]] = {}
    for was, now, customer_id, place, _ in rows:
        if customer_id:
            examples.setdefault((was, now), []).append((place, customer_id))
    transitions = []
    for was, now, customer_id, customers, spent in rows:
        if not customer_id:
            who = tuple(who for _, who in sorted(examples.get((was, now), ())))
            transitions.append(Transition(was, now, int(customers), spent or Decimal(0), who))
    return transitions


def _outcome(content: ColumnElement[Any], reason: ColumnElement[Any]) -> Label[str]:
    mailed = literal(MAIL, String) + func.coalesce(content, "")
    return case((reason.is_(None), mailed), else_=literal(NONE, String) + reason).label("outcome")


def _word(word: str) -> Label[str]:
    return literal(word, String).label("outcome")
