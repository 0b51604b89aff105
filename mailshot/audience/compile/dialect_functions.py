"""Owns many values as one bound parameter; refuses to know what is compared with them.

A parameter for each value would meet PostgreSQL's limit of 65,535, and fill every statement cache.
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
    """Values of another type: an array on PostgreSQL, a JSON text on SQLite."""

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
        given = value or []
        converts = type(self.item).process_bind_param if isinstance(self.item, TypeDecorator) else None
        if converts not in (None, TypeDecorator.process_bind_param):
            assert isinstance(self.item, TypeDecorator)
            given = [self.item.process_bind_param(one, dialect) for one in given]
        return given if dialect.name == "postgresql" else json.dumps(given, ensure_ascii=False, default=_number)


class Predicate(FunctionElement[bool]):
    """What is written as a whole comparison in brackets.

    SQLAlchemy would set `= 1` behind it on SQLite, which then sees no way through an index, and compares twice.
    """

    inherit_cache = True
    type = Boolean()

    def self_group(self, against: Any = None) -> Self:
        return self


class Listed(Predicate):
    """Whether a column is among the values of a `ListOf`."""

    inherit_cache = True


@compiles(Listed, "sqlite")
def _listed_sqlite(element: Any, compiler: Any, **given: Any) -> str:
    column, values = (compiler.process(part, **given) for part in element.clauses)
    return f"({column} IN (SELECT value FROM json_each({values})))"


@compiles(Listed, "postgresql")
def _listed_postgresql(element: Any, compiler: Any, **given: Any) -> str:
    column, values = (compiler.process(part, **given) for part in element.clauses)
    return f"({column} = ANY({values}))"


def _number(value: Any) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(value)


class Bitmap(TypeDecorator[bytes]):
    """A set of ids as one byte for each: byte n is 1 where n belongs to it. The last one is 0."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> object:
        # SQLite counts bytes from 1, and nobody has the id 0.
        return value[1:] if value and dialect.name == "sqlite" else value


class InBitmap(Predicate):
    """Whether an id is marked: a look at one byte, where a set would be searched. One beyond the last is not."""

    inherit_cache = True


@compiles(InBitmap, "sqlite")
def _marked_sqlite(element: Any, compiler: Any, **given: Any) -> str:
    column, marks, _ = (compiler.process(part, **given) for part in element.clauses)
    return f"(substr({marks}, {column}, 1) = x'01')"


@compiles(InBitmap, "postgresql")
def _marked_postgresql(element: Any, compiler: Any, **given: Any) -> str:
    column, marks, last = (compiler.process(part, **given) for part in element.clauses)
    return f"(get_byte({marks}, least({column}, {last})::integer) = 1)"


def in_set(column: Column, ids: SelectBase) -> Clause:
    """Return the clause that is true of everybody whose id the select gives. Neither is ever NULL."""
    return _both(column, ids)[0]


def not_in_set(column: Column, ids: SelectBase) -> Clause:
    """Return the clause that is true of everybody else."""
    return _both(column, ids)[1]


def _both(column: Column, ids: SelectBase) -> tuple[Clause, Clause]:
    found = ids.scalar_subquery()
    inner: Clause = InSet(column, found)
    outer: Clause = NotInSet(column, found)
    # What `not_` makes of each.
    inner.negation_clause, outer.negation_clause = outer, inner
    return inner, outer


class InSet(Predicate):
    """Whether an id is one of a set."""

    inherit_cache = True


class NotInSet(Predicate):
    """Whether an id is none of a set.

    PostgreSQL joins the set where NOT EXISTS is asked, and where NOT IN is, looks each up in it, which takes longer;
    SQLite would go through it for each where NOT EXISTS is asked.
    """

    inherit_cache = True


@compiles(InSet)
def _inside(element: Any, compiler: Any, **given: Any) -> str:
    column, ids = (compiler.process(part, **given) for part in element.clauses)
    return f"({column} IN {ids})"


@compiles(NotInSet, "sqlite")
def _outside_sqlite(element: Any, compiler: Any, **given: Any) -> str:
    column, ids = (compiler.process(part, **given) for part in element.clauses)
    return f"({column} NOT IN {ids})"


@compiles(NotInSet, "postgresql")
def _outside_postgresql(element: Any, compiler: Any, **given: Any) -> str:
    column, ids = (compiler.process(part, **given) for part in element.clauses)
    return f"(NOT EXISTS (SELECT FROM {ids} AS inside (id) WHERE inside.id = {column}))"
