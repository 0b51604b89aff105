"""The totals over each order and over each customer's purchases, recomputed from the lines.

Before that, returns are set off against purchases (`store.returns`). Lines that were returned are totalled as a part of
their own, by when they were returned: until then they count as bought. Rules read the totals first and few lines, so
whatever adds, changes or removes lines must call `refresh` in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    case,
    delete,
    distinct,
    func,
    insert,
    literal,
    null,
    select,
    true,
    update,
)

from mailshot.audience.compile import in_list
from mailshot.store import conversions, dialect, returns, tables
from mailshot.store.engine import Connection

BUYER, ORDER = dialect.table(tables.Buyer), dialect.table(tables.Order)
PURCHASE, PRODUCT = dialect.table(tables.Purchase), dialect.table(tables.Product)
#: Customers whose totals are recomputed by one statement.
CHUNK = 10_000
#: `nth` of a return is -(N * its time in microseconds + its rank among equal ones).
EQUAL_RETURNS = 100


def refresh(connection: Connection, customer_ids: Collection[int] | None = None) -> None:
    """Recompute the totals of these customers (None: of all), after setting their returns off against their purchases.

    Marks their conversions as due, too.
    """
    conversions.mark(connection, customer_ids)
    if customer_ids is None:
        sum_up(connection, lambda _: true())
        return
    ids = sorted(customer_ids)
    for start in range(0, len(ids), CHUNK):
        some = ids[start : start + CHUNK]
        sum_up(connection, lambda column, some=some: in_list(column, some))  # type: ignore[misc]


def count_product_lines(connection: Connection, product_ids: Collection[int] | None = None) -> None:
    """Recount the purchase lines of these products (None: of all)."""
    line = PURCHASE.c
    meant = true() if product_ids is None else in_list(line.product_id, product_ids)
    counted = select(line.product_id, func.count().label("lines")).where(meant).group_by(line.product_id).subquery()
    recounted = update(PRODUCT).where(PRODUCT.c.id == counted.c.product_id, PRODUCT.c.lines != counted.c.lines)
    connection.execute(recounted.values(lines=counted.c.lines))


def sum_up(connection: Connection, whose: Callable[[Any], Any]) -> None:
    """Recompute the totals of the customers that `whose(customer column)` selects, without marking conversions."""
    returns.settle_returns(connection, whose)
    line, order, buyer = PURCHASE.c, ORDER.c, BUYER.c
    connection.execute(delete(ORDER).where(whose(order.customer_id)))
    kept = _of_orders(literal(0)).where(line.returned_at.is_(None), whose(line.customer_id))
    _insert(connection, ORDER, kept.order_by(line.customer_id, line.at, line.order_key))
    _insert(connection, ORDER, _returned(whose))
    connection.execute(delete(BUYER).where(whose(buyer.customer_id)))
    _insert(connection, BUYER, _of_buyers().where(whose(order.customer_id)))


def _insert(connection: Connection, table: Table, rows: Select[Any]) -> None:
    connection.execute(insert(table).from_select([column.name for column in table.c], rows))


def _returned(whose: Callable[[Any], Any]) -> Select[Any]:
    """Return the totals of returned lines: one part for each moment at which lines of an order were returned."""
    line = PURCHASE.c
    returners = select(line.customer_id).where(returns.RETURN, whose(line.customer_id))
    whole = (line.customer_id, line.order_key, line.at)
    part = func.row_number().over(partition_by=whole, order_by=line.returned_at)
    return _of_orders(part, line.returned_at).where(line.returned_at > line.at, line.customer_id.in_(returners))


def _of_orders(part: ColumnElement[Any], *returned_at: ColumnElement[Any]) -> Select[Any]:
    line = PURCHASE.c
    above_zero = case((line.amount > 0, line.amount), else_=0)
    sums = select(
        line.customer_id,
        line.at,
        line.order_key,
        part,
        func.count(),
        func.sum(line.quantity, type_=line.quantity.type),
        func.sum(line.amount, type_=line.amount.type),
        func.sum(above_zero, type_=line.amount.type),
        *(returned_at or [null()]),
    )
    return sums.group_by(line.customer_id, line.order_key, line.at, *returned_at)


def _of_buyers() -> Select[Any]:
    order = ORDER.c
    return select(
        order.customer_id,
        func.min(order.at),
        func.max(order.at),
        func.count(distinct(order.order_key)),
        func.sum(order.lines),
        func.sum(order.gross, type_=order.gross.type),
        func.max(order.returned_at, type_=order.returned_at.type),
    ).group_by(order.customer_id)
