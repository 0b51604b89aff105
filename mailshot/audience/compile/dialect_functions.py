"""SQL predicates that SQLite and PostgreSQL write differently: long lists, bitmaps, and membership in a set of ids.

A list or bitmap is one bound parameter. A parameter for each value would exceed PostgreSQL's limit of 65,535, and each
length of a list would be another statement for the caches.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Self

from sqlalchemy import Boolean, ColumnElement, LargeBinary, SelectBase, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

Clause = ColumnElement[bool]
Column = ColumnElement[Any]


class ListOf(TypeDecorator[list[Any]]):
    """Type of a list of values of another type: an array on PostgreSQL, a JSON text on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "postgresql":
            return dialect.type_descriptor(Text())
        inner = self.item.load_dialect_impl(dialect) if isinstance(self.item, TypeDecorator) else self.item
        return dialect.type_descriptor(ARRAY(inner))

    def process_bind_param(self, value: list[Any] | None, dialect: Dialect) -> object:
        items = value or []
        converts = type(self.item).process_bind_param if isinstance(self.item, TypeDecorator) else None
        if converts not in (None, TypeDecorator.process_bind_param):
            assert isinstance(self.item, TypeDecorator)
            items = [self.item.process_bind_param(item, dialect) for item in items]
        return items if dialect.name == "postgresql" else json.dumps(items, ensure_ascii=False, default=_number)


class Predicate(FunctionElement[bool]):
    """A predicate that is rendered in parentheses, as it is.

    For other boolean functions SQLAlchemy adds `= 1` on SQLite, which then uses no index and compares twice.
    """

    inherit_cache = True
    type = Boolean()

    def self_group(self, against: Any = None) -> Self:
        return self


class Listed(Predicate):
    """Whether a column is among the values of a `ListOf`."""

    inherit_cache = True


@compiles(Listed, "sqlite")
def _listed_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    return f"({column} IN (SELECT value FROM json_each({values})))"


@compiles(Listed, "postgresql")
def _listed_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    return f"({column} = ANY({values}))"


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(value)


class Bitmap(TypeDecorator[bytes]):
    """Type of a set of ids with one byte for each: byte n is 1 if the set contains n, the last byte is 0."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> object:
        # SQLite counts bytes from 1, and no id is 0.
        return value[1:] if value and dialect.name == "sqlite" else value


class InBitmap(Predicate):
    """Whether a bitmap contains an id; ids beyond the bitmap are not contained.

    On SQLite, reading one byte takes a third of the time of a search in a set of ids.
    """

    inherit_cache = True


@compiles(InBitmap, "sqlite")
def _in_bitmap_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    column, bitmap, _ = (compiler.process(part, **options) for part in element.clauses)
    return f"(substr({bitmap}, {column}, 1) = x'01')"


@compiles(InBitmap, "postgresql")
def _in_bitmap_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    column, bitmap, last = (compiler.process(part, **options) for part in element.clauses)
    return f"(get_byte({bitmap}, least({column}, {last})::integer) = 1)"


def in_set(column: Column, ids: SelectBase) -> Clause:
    """Return whether the column is one of the ids that a select yields. Neither may be NULL."""
    return _both(column, ids)[0]


def not_in_set(column: Column, ids: SelectBase) -> Clause:
    """Return whether the column is none of the ids that a select yields."""
    return _both(column, ids)[1]


def _both(column: Column, ids: SelectBase) -> tuple[Clause, Clause]:
    subquery = ids.scalar_subquery()
    inside: Clause = InSet(column, subquery)
    outside: Clause = NotInSet(column, subquery)
    # `not_` turns each into the other.
    inside.negation_clause, outside.negation_clause = outside, inside
    return inside, outside


class InSet(Predicate):
    """Whether a set contains an id."""

    inherit_cache = True


class NotInSet(Predicate):
    """Whether a set does not contain an id.

    PostgreSQL plans NOT EXISTS as a join with the set, and NOT IN as a slower look-up for each id. SQLite would scan
    the set for each id with NOT EXISTS.
    """

    inherit_cache = True


@compiles(InSet)
def _inside(element: Any, compiler: Any, **options: Any) -> str:
    column, ids = (compiler.process(part, **options) for part in element.clauses)
    return f"({column} IN {ids})"


@compiles(NotInSet, "sqlite")
def _outside_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    column, ids = (compiler.process(part, **options) for part in element.clauses)
    return f"({column} NOT IN {ids})"


@compiles(NotInSet, "postgresql")
def _outside_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    column, ids = (compiler.process(part, **options) for part in element.clauses)
    return f"(NOT EXISTS (SELECT FROM {ids} AS inside (id) WHERE inside.id = {column}))"
