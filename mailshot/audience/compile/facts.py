"""Facts and product filters as SQL: columns, typed paths into JSON, and dates relative to today."""

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
from mailshot.facts.relative_dates import MAX_YEARS, Relative

#: The names of JSON types in both databases.
_JSON = {
    FactType.number: ("number", "integer", "real"),
    FactType.boolean: ("boolean", "true", "false"),
    FactType.text: ("string", "text"),
    FactType.date: ("string", "text"),
}
_FIRST = "0001"
_LEAP = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_DAYS = (
    "^(?!0000)([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    f"|02-(0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)$"
)
#: First and last days of ranges; None: no first day.
Days = tuple[tuple[date | None, date], ...]
#: The bounds of a range, as values for SQL, by what is relative, today's date and the time zone.
Bounds = Callable[[Relative, date, ZoneInfo], Hashable]
Compare = Callable[[Column, Any], Clause]


def product_clause(product: FromClause, selection: ProductFilter) -> Clause:
    """Return the clause over products that is true for those of `selection`."""
    if not selection.filters:
        return true()
    return expressions.disjunction(_filter(product, item) for item in selection.filters)


def _filter(product: FromClause, item: Filter) -> Clause:
    parts = [expressions.compare_column(fact_column(product, fact), comparison) for fact, comparison in item.fields]
    parts += [product_clause(product, group.selection) for group in item.groups]
    if item.exceptions is not None:
        parts.append(not_(product_clause(product, item.exceptions)))
    return expressions.conjunction(parts)


def fact_column(table: FromClause, fact: Fact) -> ColumnElement[Any]:
    """Return the column of a built-in fact, or the path into the JSON column `facts` of the shop's own fact."""
    return json_path(table.c.facts, fact) if fact.own else table.c[fact.name]


def json_path(facts: ColumnElement[Any], fact: Fact) -> ColumnElement[Any]:
    """Return the typed value of the shop's own fact, from the JSON column with its facts."""
    path = facts[fact.name]
    typed: dict[FactType, Callable[[], ColumnElement[Any]]] = {
        FactType.number: lambda: path.as_numeric(18, 4),
        FactType.boolean: path.as_boolean,
    }
    value = typed.get(fact.type, path.as_string)()
    # Values may be of another type, from before the fact was declared so: neither database may fail on 'abc', or read
    # it as 0 or as a day.
    typed_so = _JsonType(path).in_(_JSON[fact.type])
    return case((and_(typed_so, _IsDay(value)) if fact.type is FactType.date else typed_so, value))


class _JsonType(FunctionElement[str]):
    """The JSON type of a value."""

    inherit_cache = True
    type = String()


@compiles(_JsonType, "sqlite")
def _json_type_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    (path,) = element.clauses
    return f"json_type({compiler.process(path.left, **options)}, {compiler.process(path.right, **options)})"


@compiles(_JsonType, "postgresql")
def _json_type_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"jsonb_typeof({compiler.process(element.clauses, **options)})"


class _IsDay(FunctionElement[bool]):
    """Whether a text is an ISO 8601 date ('2026-03-31')."""

    inherit_cache = True
    type = Boolean()

    def __init__(self, value: ColumnElement[Any]) -> None:
        super().__init__(value, *(bindparam(None, text, String(), unique=True) for text in (_DAYS, _FIRST)))


@compiles(_IsDay, "sqlite")
def _is_day_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    text, _, first = (compiler.process(part, **options) for part in element.clauses)
    # To a number and back: SQLite accepts 31 February, and reads it as 3 March.
    return f"(date(julianday({text})) IS {text} AND {text} >= {first})"


@compiles(_IsDay, "postgresql")
def _is_day_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    text, days, _ = (compiler.process(part, **options) for part in element.clauses)
    return f"({text} ~ {days})"


def clause(customer: FromClause, condition: nodes.Dated, as_of: datetime, zone: ZoneInfo) -> Clause:
    """Return the clause over customers that is true, never NULL, for a date in a range relative to today.

    Time zones with the same range as the company share one clause; each other range has a clause of its own.
    """
    column = fact_column(customer, condition.fact)
    bounds_of, compare = _comparison(condition)

    def bounds(zone: ZoneInfo) -> Hashable:
        return bounds_of(condition.when, as_of.astimezone(zone).date(), zone)

    def inside(bounds: Hashable) -> Clause:
        return expressions.is_true(compare(column, bounds))

    default = inside(bounds(zone))
    zones = time_zones.grouped(bounds, zone) if condition.local else {}
    if not zones:
        return default
    in_zones = {
        bounds: expressions.is_true(expressions.in_list(customer.c.time_zone, names)) for bounds, names in zones.items()
    }
    others = [and_(in_zone, inside(bounds)) for bounds, in_zone in in_zones.items()]
    return expressions.disjunction([*others, and_(not_(expressions.disjunction(in_zones.values())), default)])


def _comparison(condition: nodes.Dated) -> tuple[Bounds, Compare]:
    """Return the functions that calculate the bounds of the range and compare a column with them."""
    if not condition.fact.own:
        return lambda when, today, zone: _moments(when.ranges(today), zone), _between_moments
    if condition.when.word == "anniversary_in":
        return lambda when, today, _: when.yearly(today), _born_on
    return lambda when, today, _: _texts(when.ranges(today)), _between_texts


def _texts(days: Days) -> tuple[tuple[str | None, str], ...]:
    return tuple((low.isoformat() if low else None, high.isoformat()) for low, high in days)


def _between_texts(column: Column, days: tuple[tuple[str | None, str], ...]) -> Clause:
    """Compare own dates, which are ISO texts and sort as dates do."""
    return expressions.disjunction(
        column <= high if low is None else and_(column >= low, column <= high) for low, high in days
    )


def _moments(days: Days, zone: ZoneInfo) -> tuple[tuple[datetime | None, datetime], ...]:
    return tuple(
        (_midnight(low, zone) if low else None, _midnight(high + timedelta(days=1), zone)) for low, high in days
    )


def _between_moments(column: Column, moments: tuple[tuple[datetime | None, datetime], ...]) -> Clause:
    return expressions.disjunction(
        column < end if start is None else and_(column >= start, column < end) for start, end in moments
    )


def _born_on(column: Column, years: tuple[tuple[int, tuple[str, ...]], ...]) -> Clause:
    """Compare the end of an ISO date with days of the year: '02-28' of '1990-02-28'."""
    day = func.substr(column, 6, type_=String())
    return expressions.disjunction(
        and_(expressions.in_list(day, days), column >= f"{year - MAX_YEARS}", column < f"{year}")
        for year, days in years
    )


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
