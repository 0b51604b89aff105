"""When customers bought, and what their last order was. Returned lines do not count."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Select, func, select, tuple_

from mailshot.audience.compile import in_list, stands
from mailshot.store import dialect, profiles, tables
from mailshot.store.engine import Connection

ORDER, PURCHASE = dialect.table(tables.Order), dialect.table(tables.Purchase)


@dataclass(frozen=True, slots=True)
class LastOrder:
    """A customer's latest order, without returned lines."""

    at: datetime
    #: Paid for all lines, in the company's currency.
    amount: Decimal
    #: The facts of its products, each product once, in the order of what was paid for them, highest first.
    products: Sequence[Mapping[str, Any]]


def purchase_spans(
    connection: Connection, customer_ids: Collection[int], as_of: datetime
) -> dict[int, tuple[datetime, datetime]]:
    """Return the moments of the first and the last purchase before `as_of`, of those customers who bought."""
    order = ORDER.c
    spans = _orders(customer_ids, as_of).with_only_columns(
        order.customer_id,
        func.min(order.at, type_=order.at.type),
        func.max(order.at, type_=order.at.type),
    )
    return {int(row[0]): (row[1], row[2]) for row in connection.execute(spans.group_by(order.customer_id))}


def last_orders(connection: Connection, customer_ids: Collection[int], as_of: datetime) -> dict[int, LastOrder]:
    """Return the last order before `as_of` of those customers who have one.

    Of several at the same moment it is the one with the highest key.
    """
    order, line = ORDER.c, PURCHASE.c
    rank = func.row_number().over(partition_by=order.customer_id, order_by=(order.at.desc(), order.order_key.desc()))
    ranked = (
        _orders(customer_ids, as_of)
        .with_only_columns(order.customer_id, order.at, order.order_key, rank.label("rank"))
        .subquery()
    )
    last = select(ranked.c.customer_id, ranked.c.at, ranked.c.order_key).where(ranked.c.rank == 1)
    lines = select(line.customer_id, line.at, line.product_id, line.amount).where(
        tuple_(line.customer_id, line.at, line.order_key).in_(last), stands(line.returned_at, as_of)
    )
    rows: dict[int, list[Any]] = {}
    for row in connection.execute(lines):
        rows.setdefault(int(row.customer_id), []).append(row)
    facts = profiles.products(connection, {row.product_id for some in rows.values() for row in some})
    return {customer_id: _order(some, facts) for customer_id, some in rows.items()}


def _order(lines: Sequence[Any], facts: Mapping[int, Mapping[str, Any]]) -> LastOrder:
    paid: dict[int, Decimal] = {}
    for line in lines:
        paid[line.product_id] = paid.get(line.product_id, Decimal(0)) + line.amount
    products = sorted(paid, key=lambda product: (-paid[product], product))
    return LastOrder(
        lines[0].at, sum(paid.values(), Decimal(0)), [facts[product] for product in products if product in facts]
    )


def _orders(customer_ids: Collection[int], as_of: datetime) -> Select[Any]:
    order = ORDER.c
    return select(ORDER).where(
        in_list(order.customer_id, customer_ids), order.at < as_of, stands(order.returned_at, as_of)
    )
