"""Owns date facts that are told by their distance from today, as SQL; refuses dates that a rule names outright."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, FromClause, and_, false, func, not_

from mailshot.audience import nodes
from mailshot.audience.compile import columns
from mailshot.audience.compile.columns import Clause
from mailshot.profile import zones

Ranges = tuple[tuple[Any, Any], ...]


def clause(customer: FromClause, condition: nodes.Dated, as_of: datetime, zone: ZoneInfo) -> Clause:
    """Return the clause that is true (never NULL) of the customers whose day lies so far from today."""
    column = columns.fact_column(customer, condition.fact)

    def ranges(where: ZoneInfo) -> Ranges:
        days = condition.when.ranges(as_of.astimezone(where).date())
        return _texts(days) if condition.fact.own else _moments(days, where)

    usual = _among(column, ranges(zone), own=condition.fact.own)
    others = zones.grouped(ranges, zone) if condition.local else {}
    if not others:
        return usual
    living = {
        found: func.coalesce(columns.listed(customer.c.time_zone, names), false()) for found, names in others.items()
    }
    elsewhere = [and_(lives, _among(column, found, own=condition.fact.own)) for found, lives in living.items()]
    return columns.any_of([*elsewhere, and_(not_(columns.any_of(living.values())), usual)])


def _among(column: ColumnElement[Any], ranges: Ranges, own: bool) -> Clause:
    """Own days are texts whose end belongs to them; of moments the end is the first one that does not."""

    def one(low: Any, high: Any) -> Clause:
        ends = column <= high if own else column < high
        return ends if low is None else and_(column >= low, ends)

    known: Clause = func.coalesce(columns.any_of(one(low, high) for low, high in ranges), false())
    return known


def _texts(days: tuple[tuple[date | None, date], ...]) -> Ranges:
    return tuple((low.isoformat() if low else None, high.isoformat()) for low, high in days)


def _moments(days: tuple[tuple[date | None, date], ...], zone: ZoneInfo) -> Ranges:
    return tuple(
        (_midnight(low, zone) if low else None, _midnight(high + timedelta(days=1), zone)) for low, high in days
    )


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
