"""Owns date facts that are told by their distance from today, as SQL; refuses dates that a rule names outright."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, FromClause, String, and_, func, not_

from mailshot.audience import nodes
from mailshot.audience.compile import columns, facts
from mailshot.audience.compile.columns import Clause
from mailshot.profile import zones
from mailshot.profile.relative import MOST_YEARS, Relative

Column = ColumnElement[Any]
Days = tuple[tuple[date | None, date], ...]


def clause(customer: FromClause, condition: nodes.Dated, as_of: datetime, zone: ZoneInfo) -> Clause:
    """Return the clause that is true (never NULL) of the customers whose day lies so far from today."""
    column = facts.fact_column(customer, condition.fact)
    say, fits = _spelling(condition)

    def said(where: ZoneInfo) -> Hashable:
        return say(condition.when, as_of.astimezone(where).date(), where)

    def holds(meant: Hashable) -> Clause:
        return columns.is_true(fits(column, meant))

    usual = holds(said(zone))
    others = zones.grouped(said, zone) if condition.local else {}
    if not others:
        return usual
    living = {meant: columns.is_true(columns.in_list(customer.c.time_zone, names)) for meant, names in others.items()}
    elsewhere = [and_(lives, holds(meant)) for meant, lives in living.items()]
    return columns.any_of([*elsewhere, and_(not_(columns.any_of(living.values())), usual)])


Say = Callable[[Relative, date, ZoneInfo], Hashable]
Fits = Callable[[Column, Any], Clause]


def _spelling(condition: nodes.Dated) -> tuple[Say, Fits]:
    """Return what says which days are meant, and what compares a column with them."""
    if not condition.fact.own:
        return lambda when, today, zone: _moments(when.ranges(today), zone), _between_moments
    if condition.when.word == "anniversary_in":
        return lambda when, today, _: when.yearly(today), _born_on
    return lambda when, today, _: _texts(when.ranges(today)), _between_texts


def _texts(days: Days) -> tuple[tuple[str | None, str], ...]:
    return tuple((low.isoformat() if low else None, high.isoformat()) for low, high in days)


def _between_texts(column: Column, days: tuple[tuple[str | None, str], ...]) -> Clause:
    """Own days are ISO texts, which sort as days do."""
    return columns.any_of(column <= high if low is None else and_(column >= low, column <= high) for low, high in days)


def _moments(days: Days, zone: ZoneInfo) -> tuple[tuple[datetime | None, datetime], ...]:
    return tuple(
        (_midnight(low, zone) if low else None, _midnight(high + timedelta(days=1), zone)) for low, high in days
    )


def _between_moments(column: Column, moments: tuple[tuple[datetime | None, datetime], ...]) -> Clause:
    return columns.any_of(
        column < end if start is None else and_(column >= start, column < end) for start, end in moments
    )


def _born_on(column: Column, years: tuple[tuple[int, tuple[str, ...]], ...]) -> Clause:
    """Compare the end of an ISO text with days of the year: '02-28' of '1990-02-28'."""
    day = func.substr(column, 6, type_=String())
    return columns.any_of(
        and_(columns.in_list(day, days), column >= f"{year - MOST_YEARS}", column < f"{year}") for year, days in years
    )


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
