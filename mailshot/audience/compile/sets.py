"""Owns asking whether somebody belongs to the set of ids that a select gives; refuses to know what the set is of."""

from __future__ import annotations

from typing import Any

from sqlalchemy import SelectBase
from sqlalchemy.ext.compiler import compiles

from mailshot.audience.compile.columns import Clause
from mailshot.audience.compile.lists import Predicate
from mailshot.audience.compile.schema import Column


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
