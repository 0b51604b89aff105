"""Counts the purchase lines from which traits are inferred, and stores the inferred traits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Select, case, delete, func, insert, select

from mailshot.audience.compile import fact_column, product_clause, stands
from mailshot.facts.catalogue import Fact
from mailshot.facts.product_filters import ProductFilter
from mailshot.profile.traits import InferredTrait, TraitCounts
from mailshot.store import dialect, tables
from mailshot.store.audiences import SCHEMA
from mailshot.store.engine import Connection

#: Rows of one insert.
CHUNK = 5_000
TRAIT = dialect.table(tables.Trait)


def count_trait_lines(
    connection: Connection,
    among: ProductFilter,
    hits: ProductFilter,
    window: tuple[datetime | None, datetime],
    as_of: datetime,
) -> Iterator[TraitCounts]:
    """Count each customer's purchase lines `among` and, of those, the `hits`, in a window; none returned by `as_of`."""
    purchase = SCHEMA.purchase.c
    hit = case((purchase.product_id.in_(_ids(hits)), 1), else_=0)
    counted = select(purchase.customer_id, func.count(), func.sum(hit)).where(*_meant(among, window, as_of))
    for row in connection.execute(counted.group_by(purchase.customer_id)):
        yield TraitCounts(int(row[0]), int(row[1]), int(row[2]))


def count_trait_lines_by(
    connection: Connection, among: ProductFilter, field: Fact, window: tuple[datetime | None, datetime], as_of: datetime
) -> dict[str, list[TraitCounts]]:
    """Count each customer's lines for every value of a product field; customers without a hit count as 0."""
    purchase, product = SCHEMA.purchase, SCHEMA.product
    value = fact_column(product, field)
    joined = purchase.join(product, product.c.id == purchase.c.product_id)
    grouped = select(purchase.c.customer_id, value, func.count()).select_from(joined)
    rows = connection.execute(
        grouped.where(*_meant(among, window, as_of)).group_by(purchase.c.customer_id, value)
    ).all()
    lines: dict[int, int] = {}
    hits_by_value: dict[str, dict[int, int]] = {}
    for customer_id, name, number in rows:
        lines[customer_id] = lines.get(customer_id, 0) + number
        if name:
            hits_by_value.setdefault(name, {})[customer_id] = number
    return {
        name: [TraitCounts(customer, total, hits.get(customer, 0)) for customer, total in lines.items()]
        for name, hits in hits_by_value.items()
    }


def replace(connection: Connection, trait: str, conclusions: Iterable[InferredTrait], as_of: datetime) -> int:
    """Replace the rows of one trait by these conclusions; return how many."""
    connection.execute(delete(TRAIT).where(TRAIT.c.name == trait))
    rows, kept = iter(conclusions), 0
    while chunk := [_row(conclusion, as_of) for conclusion in islice(rows, CHUNK)]:
        connection.execute(insert(TRAIT), chunk)
        kept += len(chunk)
    return kept


def _row(conclusion: InferredTrait, as_of: datetime) -> dict[str, Any]:
    return {
        "customer_id": conclusion.customer_id,
        "name": conclusion.name,
        "value": conclusion.value,
        "confidence": conclusion.confidence,
        "evidence": dict(conclusion.evidence),
        "as_of": as_of,
    }


def _ids(selection: ProductFilter) -> Select[Any]:
    return select(SCHEMA.product.c.id).where(product_clause(SCHEMA.product, selection))


def _meant(
    among: ProductFilter, window: tuple[datetime | None, datetime], as_of: datetime
) -> list[ColumnElement[bool]]:
    purchase, (start, end) = SCHEMA.purchase.c, window
    within = [purchase.at < end, stands(purchase.returned_at, as_of)] + ([purchase.at >= start] if start else [])
    return [*within, purchase.product_id.in_(_ids(among))] if among.filters else within
