"""Owns what is counted over happenings, as clauses over a group of them; refuses to choose which."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, distinct, func, literal

from mailshot.audience import nodes
from mailshot.audience.compile import columns
from mailshot.audience.compile.columns import Clause
from mailshot.audience.compile.schema import Source


def all_of(source: Source, measures: Iterable[nodes.Aggregate], as_of: datetime) -> Clause:
    """Return the clause that is true (never NULL) of happenings that satisfy every measure."""
    return and_(*(_one(source, measure, as_of) for measure in measures))


def _one(source: Source, measure: nodes.Aggregate, as_of: datetime) -> Clause:
    if measure.name in ("days_since_last", "days_since_first"):
        edge = func.max(source.at) if measure.name == "days_since_last" else func.min(source.at)
        return columns.is_true(columns.age(edge, measure.comparison, as_of))
    orders: ColumnElement[Any] = func.count() if source.occasion is None else func.count(distinct(source.occasion))
    if measure.name == "average_order":
        # Compared as spent >= bound * orders: exact where a division would round.
        return and_(orders > 0, columns.scaled(_total(source.amount), orders, measure.comparison))
    counted: dict[str, Callable[[], ColumnElement[Any]]] = {
        "times": lambda: orders,
        "items": lambda: _total(source.quantity),
        "amount": lambda: _total(source.amount),
        "distinct_products": lambda: _different(source.product),
    }
    return columns.compare(counted[measure.name](), measure.comparison)


def _total(column: ColumnElement[Any] | None) -> ColumnElement[Any]:
    """Sum what is known; nothing known comes to 0."""
    assert column is not None
    summed: ColumnElement[Any] = func.sum(column, type_=column.type)
    return func.coalesce(summed, literal(0, column.type), type_=column.type)


def _different(column: ColumnElement[Any] | None) -> ColumnElement[Any]:
    assert column is not None
    return func.count(distinct(column))
