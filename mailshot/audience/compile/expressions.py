"""Owns comparisons of columns as SQL clauses that are never NULL; refuses to know conditions."""

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
MOST_IN_ROW = 8


def compare(column: ColumnElement[Any], comparison: Comparison) -> Clause:
    """Return the comparison as a clause that is never NULL, so that NOT around it means what it says."""
    if comparison.operator == KNOWN:
        return column.is_not(None) if comparison.values[0] else column.is_(None)
    return is_true(nullable(column, comparison))


def nullable(column: ColumnElement[Any], comparison: Comparison) -> Clause:
    """Return the comparison with a value that is known, as a clause that is NULL where the column is."""
    if isinstance(comparison.values[0], Decimal) and not isinstance(column.type, TypeDecorator):
        # Else a driver takes the type of a count, or of a list's first value, and rounds the rest to it.
        column = type_coerce(column, NUMBER)
    if comparison.operator == "one_of":
        return in_list(column, comparison.values)
    # Own dates are ISO texts, which sort as dates do.
    given = [value.isoformat() if isinstance(value, date) else value for value in comparison.values]
    return _COMPARE[comparison.operator](column, given)


def is_true(clause: Any) -> Clause:
    """Return the clause with false for NULL, in the one form that PostgreSQL still sees how many rows it leaves."""
    sure: Clause = clause.is_(true())
    return sure


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the same value in a form that leads SQLite to no index of the column; PostgreSQL weighs by itself."""
    return Unindexed(column)


class Unindexed(FunctionElement[Any]):
    """A column that is only looked at."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(Unindexed, "sqlite")
def _unindexed_sqlite(element: Any, compiler: Any, **given: Any) -> str:
    return f"+{compiler.process(element.clauses.clauses[0], **given)}"


@compiles(Unindexed, "postgresql")
def _unindexed_postgresql(element: Any, compiler: Any, **given: Any) -> str:
    return str(compiler.process(element.clauses.clauses[0], **given))


def in_list(column: ColumnElement[Any], values: Iterable[Value | int]) -> Clause:
    """Return whether the column is one of many values, which travel as one parameter however many there are."""
    given = [value.isoformat() if isinstance(value, date) else value for value in values]
    clause: Clause = Listed(column, bindparam(None, given, type_=ListOf(column.type), unique=True))
    return clause


def equals_any(column: ColumnElement[Any], words: Sequence[str]) -> Clause:
    """Return whether the column is one of a few words; of one word, the comparison that every index serves."""
    clause: Clause = column == words[0] if len(words) == 1 else in_list(column, words)
    return clause


def marked(column: ColumnElement[Any], marks: bytes) -> Clause:
    """Return whether the column is one of the ids that are marked: byte n says it of n, the last one is 0."""
    given = bindparam(None, marks, type_=Bitmap(), unique=True)
    clause: Clause = InBitmap(column, given, bindparam(None, len(marks) - 1, type_=column.type, unique=True))
    return clause


_COMPARE: dict[str, Callable[[ColumnElement[Any], list[Any]], Clause]] = {
    "at_least": lambda column, given: column >= given[0],
    "at_most": lambda column, given: column <= given[0],
    "more_than": lambda column, given: column > given[0],
    "less_than": lambda column, given: column < given[0],
    "between": lambda column, given: column.between(given[0], given[1]),
    "exactly": lambda column, given: column == given[0],
    "is": lambda column, given: column == given[0],
    # Not LIKE: SQLite ignores the case of ASCII letters there, PostgreSQL does not.
    "starts_with": lambda column, given: func.substr(column, 1, len(given[0])) == given[0],
    "ends_with": lambda column, given: func.substr(column, func.length(column) - len(given[0]) + 1) == given[0],
    "contains": lambda column, given: func.replace(column, given[0], "") != column,
}


def days(column: ColumnElement[Any], comparison: Comparison, zone: ZoneInfo) -> Clause:
    """Compare a moment with whole days of the company's zone."""
    if comparison.operator == KNOWN:
        return compare(column, comparison)
    dates = [day for day in comparison.values if isinstance(day, date)]
    starts = [datetime(day.year, day.month, day.day, tzinfo=zone) for day in dates]
    ends = [start + timedelta(days=1) for start in starts]
    if comparison.operator == "one_of":
        clause = any_of(and_(column >= start, column < end) for start, end in zip(starts, ends, strict=True))
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
        # In UTC, where every day has 24 hours: on a wall clock two days of the year have not.
        return as_of.astimezone(UTC) - timedelta(days=count)

    given = [int(value) for value in comparison.values if isinstance(value, Decimal)]
    if comparison.operator == "one_of":
        return any_of(and_(edge <= passed(count), edge > passed(count + 1)) for count in given)
    low, high = given[0], given[-1]
    clauses: dict[str, Callable[[], Clause]] = {
        "at_least": lambda: edge <= passed(low),
        "at_most": lambda: edge > passed(low + 1),
        "more_than": lambda: edge <= passed(low + 1),
        "less_than": lambda: edge > passed(low),
        "between": lambda: and_(edge <= passed(low), edge > passed(high + 1)),
        "exactly": lambda: and_(edge <= passed(low), edge > passed(low + 1)),
    }
    return clauses[comparison.operator]()


def all_of(clauses: Iterable[Clause]) -> Clause:
    """Join clauses by AND, as a tree: the database reads a long row of them as one level for each."""
    found: Clause = balanced(and_, list(clauses) or [true()])
    return found


def any_of(clauses: Iterable[Clause]) -> Clause:
    """Join clauses by OR, as a tree."""
    found: Clause = balanced(or_, list(clauses))
    return found


def total(numbers: Iterable[ColumnElement[Any]]) -> ColumnElement[Any]:
    """Add numbers up, as a tree."""
    found: ColumnElement[Any] = balanced(lambda *some: reduce(add, some), list(numbers))
    return found


def balanced(join: Callable[..., Any], parts: list[Any]) -> Any:
    while len(parts) > MOST_IN_ROW:
        rows = [parts[start : start + MOST_IN_ROW] for start in range(0, len(parts), MOST_IN_ROW)]
        parts = [_Row(join(*row)) for row in rows]
    return join(*parts)


class _Row(Grouping[Any]):
    """Clauses in brackets that stay there: SQLAlchemy writes out any others of the same operator in the row above."""

    inherit_cache = True
    operator = None


def between(low: ColumnElement[Any], high: ColumnElement[Any], wanted: Interval) -> Clause:
    """Return whether `low` is large enough and `high` is small enough for an interval of numbers."""
    parts: list[Clause] = []
    if wanted.low is not None:
        parts.append(nullable(low, Comparison("more_than" if wanted.over else "at_least", (wanted.low,))))
    if wanted.high is not None:
        parts.append(nullable(high, Comparison("less_than" if wanted.under else "at_most", (wanted.high,))))
    return and_(*parts)


def stands(returned_at: ColumnElement[Any], as_of: datetime | None) -> Clause:
    """Return the clause that is true of what was bought before a moment and not returned before it; None: at all.

    What was bought later must be left out besides: of returns themselves it is true until they came.
    """
    if as_of is None:
        return returned_at.is_(None)
    return or_(returned_at.is_(None), returned_at >= as_of)


def scaled(spent: ColumnElement[Any], orders: ColumnElement[Any], comparison: Comparison) -> Clause:
    bounds = [orders * _bind(spent, value) for value in comparison.values]
    if comparison.operator == "one_of":
        return any_of(spent == bound for bound in bounds)
    clause: Clause = _COMPARE[comparison.operator](spent, bounds)
    return clause


def _bind(like: ColumnElement[Any], value: Any) -> ColumnElement[Any]:
    return bindparam(None, value, type_=like.type, unique=True)
