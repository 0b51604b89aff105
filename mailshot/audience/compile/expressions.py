"""Comparisons of columns as SQL clauses that are never NULL, so that NOT around them means what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from operator import add
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Numeric,
    TypeDecorator,
    and_,
    bindparam,
    func,
    or_,
    true,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import Grouping
from sqlalchemy.sql.functions import FunctionElement

from mailshot.audience.compile.dialect_functions import Bitmap, Clause, InBitmap, Listed, ListOf
from mailshot.facts.comparison import KNOWN, Comparison, Interval, Value

NUMBER = Numeric(18, 4, asdecimal=False)
#: Clauses side by side before another level of parentheses.
MAX_IN_ROW = 8
_COMPARE: dict[str, Callable[[ColumnElement[Any], list[Any]], Clause]] = {
    "at_least": lambda column, values: column >= values[0],
    "at_most": lambda column, values: column <= values[0],
    "more_than": lambda column, values: column > values[0],
    "less_than": lambda column, values: column < values[0],
    "between": lambda column, values: column.between(values[0], values[1]),
    "exactly": lambda column, values: column == values[0],
    "is": lambda column, values: column == values[0],
    # Not LIKE: SQLite ignores the case of ASCII letters there, PostgreSQL does not.
    "starts_with": lambda column, values: func.substr(column, 1, len(values[0])) == values[0],
    "ends_with": lambda column, values: func.substr(column, func.length(column) - len(values[0]) + 1) == values[0],
    "contains": lambda column, values: func.replace(column, values[0], "") != column,
}


def compare_column(column: ColumnElement[Any], comparison: Comparison) -> Clause:
    """Return the comparison as a clause that is false, not NULL, where the column is NULL."""
    if comparison.operator == KNOWN:
        return column.is_not(None) if comparison.values[0] else column.is_(None)
    return is_true(nullable(column, comparison))


def nullable(column: ColumnElement[Any], comparison: Comparison) -> Clause:
    """Return the comparison as a clause that is NULL where the column is."""
    if isinstance(comparison.values[0], Decimal) and not isinstance(column.type, TypeDecorator):
        # Otherwise a driver uses the type of a count, or of a list's first value, and rounds the other values to it.
        column = type_coerce(column, NUMBER)
    if comparison.operator == "one_of":
        return in_list(column, comparison.values)
    # Own dates are ISO texts, which sort as dates do.
    values = [value.isoformat() if isinstance(value, date) else value for value in comparison.values]
    return _COMPARE[comparison.operator](column, values)


def is_true(clause: Any) -> Clause:
    """Return the clause with false for NULL.

    PostgreSQL's planner estimates the rows of `IS TRUE` as those of the clause; it would not for `coalesce`.
    """
    never_null: Clause = clause.is_(true())
    return never_null


def unindexed(column: ColumnElement[Any], everywhere: bool = False) -> ColumnElement[Any]:
    """Return the column in a form for which SQLite uses no index (`+column`).

    PostgreSQL chooses by its own costs, unless it is to use none `everywhere`: then the column must be a number.
    """
    return UnindexedEverywhere(column) if everywhere else Unindexed(column)


class Unindexed(FunctionElement[Any]):
    """A column without its indexes, on SQLite."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(Unindexed, "sqlite")
def _unindexed_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"+{compiler.process(element.clauses.clauses[0], **options)}"


@compiles(Unindexed, "postgresql")
def _unindexed_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses.clauses[0], **options))


class UnindexedEverywhere(Unindexed):
    """A number without its indexes, on both databases."""

    inherit_cache = True


@compiles(UnindexedEverywhere, "postgresql")
def _unindexed_everywhere_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"({compiler.process(element.clauses.clauses[0], **options)} + 0)"


def in_list(column: ColumnElement[Any], values: Iterable[Value | int]) -> Clause:
    """Return whether the column is one of the values, which are one parameter together."""
    items = [value.isoformat() if isinstance(value, date) else value for value in values]
    clause: Clause = Listed(column, bindparam(None, items, type_=ListOf(column.type), unique=True))
    return clause


def in_parameter(column: ColumnElement[Any], name: str) -> Clause:
    """Return whether the column is in the list given as parameter `name`, for a statement that is built once."""
    clause: Clause = Listed(column, bindparam(name, type_=ListOf(column.type)))
    return clause


def equals_any(column: ColumnElement[Any], values: Sequence[str]) -> Clause:
    """Return whether the column is one of the values; one value becomes `=`, which every index serves."""
    clause: Clause = column == values[0] if len(values) == 1 else in_list(column, values)
    return clause


def in_bitmap(column: ColumnElement[Any], bitmap: bytes) -> Clause:
    """Return whether an id is in a bitmap: byte n is 1 if it contains n, the last byte is 0."""
    value = bindparam(None, bitmap, type_=Bitmap(), unique=True)
    clause: Clause = InBitmap(column, value, bindparam(None, len(bitmap) - 1, type_=column.type, unique=True))
    return clause


def days(column: ColumnElement[Any], comparison: Comparison, zone: ZoneInfo) -> Clause:
    """Compare a moment with whole days of the company's zone."""
    if comparison.operator == KNOWN:
        return compare_column(column, comparison)
    dates = [day for day in comparison.values if isinstance(day, date)]
    starts = [datetime(day.year, day.month, day.day, tzinfo=zone) for day in dates]
    ends = [start + timedelta(days=1) for start in starts]
    if comparison.operator == "one_of":
        clause = disjunction(and_(column >= start, column < end) for start, end in zip(starts, ends, strict=True))
    else:
        clause = {
            "at_least": lambda: column >= starts[0],
            "at_most": lambda: column < ends[0],
            "more_than": lambda: column >= ends[0],
            "less_than": lambda: column < starts[0],
            "between": lambda: and_(column >= starts[0], column < ends[-1]),
            "exactly": lambda: and_(column >= starts[0], column < ends[0]),
        }[comparison.operator]()
    return is_true(clause)


def age(edge: ColumnElement[Any], comparison: Comparison, as_of: datetime) -> Clause:
    """Compare whole days passed between `edge` and `as_of`: n days means n <= age < n + 1."""

    def passed(count: int) -> datetime:
        # In UTC, where every day has 24 hours: in local time two days a year do not.
        return as_of.astimezone(UTC) - timedelta(days=count)

    counts = [int(value) for value in comparison.values if isinstance(value, Decimal)]
    if comparison.operator == "one_of":
        return disjunction(and_(edge <= passed(count), edge > passed(count + 1)) for count in counts)
    low, high = counts[0], counts[-1]
    clauses: dict[str, Callable[[], Clause]] = {
        "at_least": lambda: edge <= passed(low),
        "at_most": lambda: edge > passed(low + 1),
        "more_than": lambda: edge <= passed(low + 1),
        "less_than": lambda: edge > passed(low),
        "between": lambda: and_(edge <= passed(low), edge > passed(high + 1)),
        "exactly": lambda: and_(edge <= passed(low), edge > passed(low + 1)),
    }
    return clauses[comparison.operator]()


def conjunction(clauses: Iterable[Clause]) -> Clause:
    """Join clauses by AND, as a tree: databases parse a long row of them as one level of nesting for each."""
    joined: Clause = balanced(and_, list(clauses) or [true()])
    return joined


def disjunction(clauses: Iterable[Clause]) -> Clause:
    """Join clauses by OR, as a tree."""
    joined: Clause = balanced(or_, list(clauses))
    return joined


def total(numbers: Iterable[ColumnElement[Any]]) -> ColumnElement[Any]:
    """Add numbers, as a tree."""
    joined: ColumnElement[Any] = balanced(lambda *terms: reduce(add, terms), list(numbers))
    return joined


def balanced(join: Callable[..., Any], parts: list[Any]) -> Any:
    """Join parts as a tree with at most MAX_IN_ROW branches at each level."""
    while len(parts) > MAX_IN_ROW:
        rows = [parts[start : start + MAX_IN_ROW] for start in range(0, len(parts), MAX_IN_ROW)]
        parts = [_Row(join(*row)) for row in rows]
    return join(*parts)


class _Row(Grouping[Any]):
    """Clauses in parentheses. SQLAlchemy would flatten a nested AND into the AND around it."""

    inherit_cache = True
    operator = None


def between(low: ColumnElement[Any], high: ColumnElement[Any], interval: Interval) -> Clause:
    """Return whether `low` is large enough and `high` small enough for an interval."""
    parts: list[Clause] = []
    if interval.low is not None:
        parts.append(nullable(low, Comparison("more_than" if interval.over else "at_least", (interval.low,))))
    if interval.high is not None:
        parts.append(nullable(high, Comparison("less_than" if interval.under else "at_most", (interval.high,))))
    return and_(*parts)


def stands(returned_at: ColumnElement[Any], as_of: datetime | None) -> Clause:
    """Return whether a purchase had not been returned by a moment; None: was not returned at all.

    Purchases after the moment have to be excluded by another clause.
    """
    if as_of is None:
        return returned_at.is_(None)
    return or_(returned_at.is_(None), returned_at >= as_of)


def scaled(spent: ColumnElement[Any], orders: ColumnElement[Any], comparison: Comparison) -> Clause:
    """Compare `spent / orders`, without the division."""
    bounds = [orders * _bind(spent, value) for value in comparison.values]
    if comparison.operator == "one_of":
        return disjunction(spent == bound for bound in bounds)
    clause: Clause = _COMPARE[comparison.operator](spent, bounds)
    return clause


def _bind(like: ColumnElement[Any], value: Any) -> ColumnElement[Any]:
    return bindparam(None, value, type_=like.type, unique=True)
