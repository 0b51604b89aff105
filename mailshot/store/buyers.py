"""Owns the sums over each order and each customer's purchases, made anew from the lines; refuses to add to them.

Rules look at the sums first and at the lines of few, so whatever adds, changes or removes lines must call `refresh` in
the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import Select, case, delete, distinct, func, insert, select, true, update

from mailshot.audience.compile import listed
from mailshot.store import conversions, sql, tables
from mailshot.store.engine import Connection

BUYER, ORDER = sql.table(tables.Buyer), sql.table(tables.Order)
PURCHASE, PRODUCT = sql.table(tables.Purchase), sql.table(tables.Product)
CHUNK = 10_000


def refresh(connection: Connection, customer_ids: Collection[int] | None = None) -> None:
    """Sum up the purchases of some customers anew, or of all, and note that conversions may be made of them."""
    conversions.mark(connection, customer_ids)
    if customer_ids is None:
        _replace(connection, lambda _: true())
        return
    ids = sorted(customer_ids)
    for start in range(0, len(ids), CHUNK):
        some = ids[start : start + CHUNK]
        _replace(connection, lambda column, some=some: listed(column, some))  # type: ignore[misc]


def weigh(connection: Connection, product_ids: Collection[int] | None = None) -> None:
    """Count the lines of some products, or of all."""
    line = PURCHASE.c
    meant = true() if product_ids is None else listed(line.product_id, product_ids)
    counted = select(line.product_id, func.count().label("lines")).where(meant).group_by(line.product_id).subquery()
    told = update(PRODUCT).where(PRODUCT.c.id == counted.c.product_id, PRODUCT.c.lines != counted.c.lines)
    connection.execute(told.values(lines=counted.c.lines))


def _replace(connection: Connection, whose: Callable[[Any], Any]) -> None:
    for table, sums in ((ORDER, _of_orders()), (BUYER, _of_buyers())):
        source = PURCHASE if table is ORDER else ORDER
        connection.execute(delete(table).where(whose(table.c.customer_id)))
        chosen = sums.where(whose(source.c.customer_id))
        connection.execute(insert(table).from_select([column.name for column in table.c], chosen))


def _of_orders() -> Select[Any]:
    line = PURCHASE.c
    above_zero = case((line.amount > 0, line.amount), else_=0)
    return (
        select(
            line.customer_id,
            line.at,
            line.order_key,
            func.count(),
            func.sum(line.quantity, type_=line.quantity.type),
            func.sum(line.amount, type_=line.amount.type),
            func.sum(above_zero, type_=line.amount.type),
        )
        .group_by(line.customer_id, line.order_key, line.at)
        .order_by(line.customer_id, line.at, line.order_key)
    )


def _of_buyers() -> Select[Any]:
    order = ORDER.c
    return select(
        order.customer_id,
        func.min(order.at),
        func.max(order.at),
        func.count(distinct(order.order_key)),
        func.sum(order.lines),
        func.sum(order.gross, type_=order.gross.type),
    ).group_by(order.customer_id)
