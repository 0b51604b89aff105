"""Owns where facts lie, those of the shop in JSON, and which products are meant; refuses conditions."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Boolean, ColumnElement, FromClause, String, and_, bindparam, case, func, not_, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from mailshot.audience import nodes
from mailshot.audience.compile import expressions
from mailshot.audience.compile.dialect_functions import Clause, Column
from mailshot.facts import time_zones
from mailshot.facts.catalogue import Fact, FactType
from mailshot.facts.product_filters import Filter, ProductFilter
from mailshot.facts.relative_dates import MOST_YEARS, Relative


def product_clause(product: FromClause, selection: ProductFilter) -> Clause:
    """Return the clause that is true of the products of `selection`."""
    if not selection.filters:
        return true()
    return expressions.any_of(_filter(product, one) for one in selection.filters)


def _filter(product: FromClause, one: Filter) -> Clause:
    parts = [expressions.compare(fact_column(product, fact), comparison) for fact, comparison in one.fields]
    parts += [product_clause(product, group.selection) for group in one.groups]
    if one.exceptions is not None:
        parts.append(not_(product_clause(product, one.exceptions)))
    return expressions.all_of(parts)


def fact_column(table: FromClause, fact: Fact) -> ColumnElement[Any]:
    """Return the column of a built-in fact, or the typed path into `facts` of an own one."""
    return json_path(table.c.facts, fact) if fact.own else table.c[fact.name]


def json_path(facts: ColumnElement[Any], fact: Fact) -> ColumnElement[Any]:
    """Return the typed path of an own fact into the JSON column that holds it."""
    path = facts[fact.name]
    typed: dict[FactType, Callable[[], ColumnElement[Any]]] = {
        FactType.number: lambda: path.as_numeric(18, 4),
        FactType.boolean: path.as_boolean,
    }
    value = typed.get(fact.type, path.as_string)()
    # Kept before the fact was declared otherwise: neither database may stumble over it, nor call 'abc' a 0 or a day.
    kept = _Kept(path).in_(_JSON[fact.type])
    return case((and_(kept, _IsDay(value)) if fact.type is FactType.date else kept, value))


class _Kept(FunctionElement[str]):
    """What JSON calls the type of a value, as the database spells it."""

    inherit_cache = True
    type = String()


_JSON = {
    FactType.number: ("number", "integer", "real"),
    FactType.boolean: ("boolean", "true", "false"),
    FactType.text: ("string", "text"),
    FactType.date: ("string", "text"),
}


@compiles(_Kept, "sqlite")
def _kept_sqlite(element: Any, compiler: Any, **given: Any) -> str:
    (path,) = element.clauses
    return f"json_type({compiler.process(path.left, **given)}, {compiler.process(path.right, **given)})"


@compiles(_Kept, "postgresql")
def _kept_postgresql(element: Any, compiler: Any, **given: Any) -> str:
    return f"jsonb_typeof({compiler.process(element.clauses, **given)})"


class _IsDay(FunctionElement[bool]):
    """Whether a text is a day of the calendar as ISO 8601 writes it ('2026-03-31')."""

    inherit_cache = True
    type = Boolean()

    def __init__(self, text: ColumnElement[Any]) -> None:
        super().__init__(text, *(bindparam(None, said, String(), unique=True) for said in (_DAYS, _FIRST)))


_FIRST = "0001"
_LEAP = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_DAYS = (
    "^(?!0000)([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    f"|02-(0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)$"
)


@compiles(_IsDay, "sqlite")
def _is_day_sqlite(element: Any, compiler: Any, **given: Any) -> str:
    text, _, first = (compiler.process(part, **given) for part in element.clauses)
    # There and back again: SQLite takes 31 February, and means 3 March.
    return f"(date(julianday({text})) IS {text} AND {text} >= {first})"


@compiles(_IsDay, "postgresql")
def _is_day_postgresql(element: Any, compiler: Any, **given: Any) -> str:
    text, days, _ = (compiler.process(part, **given) for part in element.clauses)
    return f"({text} ~ {days})"


Days = tuple[tuple[date | None, date], ...]


def clause(customer: FromClause, condition: nodes.Dated, as_of: datetime, zone: ZoneInfo) -> Clause:
    """Return the clause that is true (never NULL) of the customers whose day lies so far from today."""
    column = fact_column(customer, condition.fact)
    say, fits = _spelling(condition)

    def said(where: ZoneInfo) -> Hashable:
        return say(condition.when, as_of.astimezone(where).date(), where)

    def holds(meant: Hashable) -> Clause:
        return expressions.is_true(fits(column, meant))

    usual = holds(said(zone))
    others = time_zones.grouped(said, zone) if condition.local else {}
    if not others:
        return usual
    living = {
        meant: expressions.is_true(expressions.in_list(customer.c.time_zone, names)) for meant, names in others.items()
    }
    elsewhere = [and_(lives, holds(meant)) for meant, lives in living.items()]
    return expressions.any_of([*elsewhere, and_(not_(expressions.any_of(living.values())), usual)])


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
    return expressions.any_of(
        column <= high if low is None else and_(column >= low, column <= high) for low, high in days
    )


def _moments(days: Days, zone: ZoneInfo) -> tuple[tuple[datetime | None, datetime], ...]:
    return tuple(
        (_midnight(low, zone) if low else None, _midnight(high + timedelta(days=1), zone)) for low, high in days
    )


def _between_moments(column: Column, moments: tuple[tuple[datetime | None, datetime], ...]) -> Clause:
    return expressions.any_of(
        column < end if start is None else and_(column >= start, column < end) for start, end in moments
    )


def _born_on(column: Column, years: tuple[tuple[int, tuple[str, ...]], ...]) -> Clause:
    """Compare the end of an ISO text with days of the year: '02-28' of '1990-02-28'."""
    day = func.substr(column, 6, type_=String())
    return expressions.any_of(
        and_(expressions.in_list(day, days), column >= f"{year - MOST_YEARS}", column < f"{year}")
        for year, days in years
    )


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
