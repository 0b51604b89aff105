"""Owns the sums behind reports; refuses to interpret them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import distinct, func, select

from mailshot.audience.compile import product_clause, stands
from mailshot.events import DeliveryState, FeedbackClass
from mailshot.profile.products import Selection
from mailshot.store import sql, tables
from mailshot.store.audiences import SCHEMA
from mailshot.store.engine import Connection
from mailshot.store.plans import DELIVERY, RUN

FEEDBACK = sql.table(tables.Feedback)
REACHED = (str(DeliveryState.sent), str(DeliveryState.unconfirmed))


@dataclass(frozen=True, slots=True)
class Bought:
    """What a group of customers bought: how many there are, how many bought, and how much they spent."""

    customers: int
    buyers: int
    spent: Decimal


def states(connection: Connection) -> dict[int, dict[str, int]]:
    """Count the deliveries of every run by state."""
    grouped = select(DELIVERY.c.run_id, DELIVERY.c.state, func.count()).group_by(DELIVERY.c.run_id, DELIVERY.c.state)
    found: dict[int, dict[str, int]] = {}
    for run_id, state, number in connection.execute(grouped):
        found.setdefault(run_id, {})[state] = number
    return found


def contents(connection: Connection, run_id: int) -> dict[str, int]:
    """Count the mails of a run that went out, by content."""
    rows = select(DELIVERY.c.content, func.count()).where(DELIVERY.c.run_id == run_id, DELIVERY.c.state.in_(REACHED))
    return {str(row[0]): int(row[1]) for row in connection.execute(rows.group_by(DELIVERY.c.content))}


def reasons(connection: Connection, run_id: int) -> dict[str, int]:
    """Count the customers of a run who got nothing, by reason."""
    rows = select(DELIVERY.c.reason, func.count()).where(DELIVERY.c.run_id == run_id, DELIVERY.c.reason.is_not(None))
    return {str(row[0]): int(row[1]) for row in connection.execute(rows.group_by(DELIVERY.c.reason))}


def feedback(connection: Connection) -> dict[int, dict[tuple[str, str], int]]:
    """Count customers, each once, by run and then by (kind, who is believed to have caused it)."""
    columns = (FEEDBACK.c.run_id, FEEDBACK.c.kind, FEEDBACK.c.by)
    grouped = select(*columns, func.count(distinct(FEEDBACK.c.customer_id))).where(FEEDBACK.c.run_id.is_not(None))
    found: dict[int, dict[tuple[str, str], int]] = {}
    for run_id, kind, by, number in connection.execute(grouped.group_by(*columns)):
        found.setdefault(run_id, {})[kind, by] = number
    return found


def links(connection: Connection, run_id: int, most: int) -> list[tuple[str, int]]:
    """Return the links of a run that most people clicked."""
    link = sql.table(tables.Link)
    joined = FEEDBACK.join(link, link.c.id == FEEDBACK.c.link_id)
    people = func.count(distinct(FEEDBACK.c.customer_id))
    rows = (
        select(link.c.url, people)
        .select_from(joined)
        .where(FEEDBACK.c.run_id == run_id, FEEDBACK.c.by == str(FeedbackClass.human))
        .group_by(link.c.url)
        .order_by(people.desc(), link.c.url)
    )
    return [(str(row[0]), int(row[1])) for row in connection.execute(rows.limit(most))]


def bought(
    connection: Connection, run_id: int, holdout: bool, products: Selection, start: datetime, end: datetime
) -> Bought:
    """Sum what the mailed, or the held-out, customers of a run bought between two moments, and have not returned."""
    group = (str(DeliveryState.holdout),) if holdout else REACHED
    mine = select(DELIVERY.c.customer_id).where(DELIVERY.c.run_id == run_id, DELIVERY.c.state.in_(group))
    purchase = SCHEMA.purchase.c
    meant = select(SCHEMA.product.c.id).where(product_clause(SCHEMA.product, products))
    counted = select(
        func.count(distinct(purchase.customer_id)), func.sum(purchase.amount, type_=purchase.amount.type)
    ).where(purchase.customer_id.in_(mine), purchase.at >= start, purchase.at < end, stands(purchase.returned_at, None))
    row = connection.execute(counted.where(purchase.product_id.in_(meant)) if products.filters else counted).one()
    size = connection.scalar(select(func.count()).select_from(mine.subquery())) or 0
    return Bought(int(size), int(row[0]), row[1] or Decimal(0))


def last_purchase(connection: Connection) -> datetime | None:
    """Return when the newest known purchase was made."""
    found: datetime | None = connection.scalar(select(func.max(SCHEMA.purchase.c.at)))
    return found


def runs(connection: Connection) -> list[Mapping[str, Any]]:
    """Return every run, oldest first."""
    return list(connection.execute(select(RUN).order_by(RUN.c.as_of, RUN.c.id)).mappings())  # type: ignore[arg-type]
