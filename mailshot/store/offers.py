"""Queries of the products that can be offered to the customers of a plan; `campaign.offers` chooses among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, distinct, func, not_, or_, select, update

from mailshot.audience.compile import Compiler, product_clause, stands
from mailshot.audience.nodes import Condition
from mailshot.facts.product_filters import ProductFilter
from mailshot.states import Reason
from mailshot.store.audiences import SCHEMA, bound
from mailshot.store.engine import Connection
from mailshot.store.plans import ROW

#: Rows of one update.
CHUNK = 2_000
#: A guard: whom it protects, and from which products.
Forbidden = tuple[Condition, ProductFilter]


def most_bought(
    connection: Connection,
    compiled: Compiler,
    products: ProductFilter,
    since: datetime,
    customer_ids: Sequence[int],
    forbidden: Sequence[Forbidden],
    most: int,
) -> dict[int, list[tuple[int, int]]]:
    """Return by customer the allowed products that they bought most, as (product id, times)."""
    purchase = SCHEMA.purchase.c
    times = func.count(distinct(purchase.order_key))
    order = func.row_number().over(
        partition_by=purchase.customer_id, order_by=(times.desc(), func.max(purchase.at).desc(), purchase.product_id)
    )
    ranked = (
        select(purchase.customer_id, purchase.product_id, times.label("times"), order.label("place"))
        .where(purchase.customer_id.in_(customer_ids), purchase.product_id.in_(_ids(products)))
        .where(purchase.at >= since, purchase.at < compiled.as_of, stands(purchase.returned_at, compiled.as_of))
        .where(*_unless(compiled, forbidden))
        .group_by(purchase.customer_id, purchase.product_id)
        .subquery()
    )
    best = select(ranked.c.customer_id, ranked.c.product_id, ranked.c.times).where(ranked.c.place <= most)
    bought: dict[int, list[tuple[int, int]]] = {}
    for customer_id, product_id, number in connection.execute(best.order_by(ranked.c.customer_id, ranked.c.place)):
        bought.setdefault(customer_id, []).append((product_id, number))
    return bought


def popular(connection: Connection, products: ProductFilter, since: datetime, until: datetime, most: int) -> list[int]:
    """Return the ids of the products that most customers bought between two moments."""
    purchase = SCHEMA.purchase.c
    buyers = func.count(distinct(purchase.customer_id))
    ranked = select(purchase.product_id).where(
        purchase.product_id.in_(_ids(products)), purchase.at >= since, purchase.at < until
    )
    ranked = ranked.where(stands(purchase.returned_at, until))
    ordered = ranked.group_by(purchase.product_id).order_by(buyers.desc(), purchase.product_id).limit(most)
    return [int(row[0]) for row in connection.execute(ordered)]


def next_customers(
    connection: Connection,
    compiled: Compiler,
    plan_id: str,
    contents: Sequence[str],
    forbidden: Sequence[Forbidden],
    after: int,
    most: int,
) -> list[tuple[int, tuple[bool, ...]]]:
    """Return the next customers, by id, who are to get one of `contents`, each with whether each guard applies."""
    flags = [ROW.c.customer_id.in_(bound(compiled, who)) for who, _ in forbidden]
    # Held-out customers included: they compare with the mailed ones only if the same could have been offered to them.
    candidates = or_(ROW.c.reason.is_(None), ROW.c.reason == Reason.holdout)
    mailed = [ROW.c.plan_id == plan_id, candidates, ROW.c.content.in_(contents)]
    rows = select(ROW.c.customer_id, *flags).where(*mailed, ROW.c.customer_id > after)
    chosen = connection.execute(rows.order_by(ROW.c.customer_id).limit(most))
    return [(int(row[0]), tuple(bool(flag) for flag in row[1:])) for row in chosen]


def write_offers(connection: Connection, plan_id: str, chosen: Iterable[tuple[int, list[list[int]], int]]) -> None:
    """Write the offers of customers, as (customer id, offers, least number); with fewer, the customer is left out."""
    change = (
        update(ROW)
        .where(ROW.c.plan_id == plan_id, ROW.c.customer_id == bindparam("who"))
        .values(offers=bindparam("what"), reason=func.coalesce(bindparam("why"), ROW.c.reason))
    )
    rows = iter(chosen)
    while chunk := list(islice(rows, CHUNK)):
        connection.execute(
            change,
            [
                {"who": who, "what": what, "why": None if len(what) >= least else str(Reason.no_offers)}
                for who, what, least in chunk
            ],
        )


def forbidden_offered(connection: Connection, plan_id: str, compiled: Compiler, forbidden: Sequence[Forbidden]) -> int:
    """Count the offers of a plan that a guard forbids: anything but 0 is a bug in Mailshot."""
    number = 0
    for who, never in forbidden:
        barred = {int(row[0]) for row in connection.execute(_ids(never))}
        rows = select(ROW.c.offers).where(ROW.c.plan_id == plan_id, ROW.c.customer_id.in_(bound(compiled, who)))
        for (offers,) in connection.execute(rows.where(ROW.c.reason.is_(None))):
            number += sum(product in barred for product, _ in offers or ())
    return number


def _unless(compiled: Compiler, forbidden: Sequence[Forbidden]) -> list[ColumnElement[bool]]:
    purchase = SCHEMA.purchase.c
    return [
        not_(and_(purchase.product_id.in_(_ids(never)), purchase.customer_id.in_(bound(compiled, who))))
        for who, never in forbidden
    ]


def _ids(selection: ProductFilter) -> Select[Any]:
    return select(SCHEMA.product.c.id).where(product_clause(SCHEMA.product, selection))
