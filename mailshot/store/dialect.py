"""What differs between SQLite and PostgreSQL, and the locks of a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Boolean, ColumnElement, CompoundSelect, String, Table, func, literal, or_, select, union
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlmodel import SQLModel

from mailshot.audience.compile import in_parameter
from mailshot.store.compiled import CompiledStatement
from mailshot.store.engine import Connection
from mailshot.store.tables import Customer

#: A condition of a query.
Clause = ColumnElement[bool]


def table(model: type[SQLModel]) -> Table:
    """Return the table behind a model, whose columns (`.c`) are typed for queries."""
    result: Any = vars(model)["__table__"]
    assert isinstance(result, Table)
    return result


class HasNonAscii(FunctionElement[bool]):
    """Whether a text contains a non-ASCII character; NULL of NULL."""

    inherit_cache = True
    type = Boolean()


@compiles(HasNonAscii)
def _has_non_ascii(element: Any, compiler: Any, **options: Any) -> str:
    text = compiler.process(element.clause_expr, **options)
    octets = f"octet_length{text}" if compiler.dialect.name == "postgresql" else f"length(CAST({text} AS BLOB))"
    return f"({octets} > length{text})"


def lock_customers(
    connection: Connection, customer_ids: Sequence[int], alone: bool = False, inbox: bool = False
) -> None:
    """Lock customers until the transaction ends: `alone` to change what may be sent to them, shared to send.

    So a withdrawal and the release of a dot are never concurrent. `inbox` also locks all other customers with an
    address of one of them. SQLite has one writer at a time anyway.
    """
    if connection.dialect.name != "sqlite":
        _locked(alone, inbox).execute(connection, {"customers": list(customer_ids)}).all()


@cache
def _locked(alone: bool, inbox: bool) -> CompiledStatement:
    customer = table(Customer).c
    meant = customer.id.in_(_sharing(_among_customers)) if inbox else _among_customers(customer.id)
    rows = select(customer.id).where(meant).order_by(customer.id)
    return CompiledStatement(rows.with_for_update(read=not alone))


def _among_customers(column: ColumnElement[Any]) -> Clause:
    return in_parameter(column, "customers")


def sharing(customer_ids: Sequence[int]) -> CompoundSelect[Any]:
    """Return the query of the ids of customers, and of all others with an address of one of them."""
    return _sharing(lambda column: column.in_(customer_ids))


def _sharing(is_meant: Callable[[ColumnElement[Any]], Clause]) -> CompoundSelect[Any]:
    # A union of two index look-ups: for one query with OR, PostgreSQL would scan all customers.
    customer = table(Customer)
    mine, theirs = customer.alias("mine"), customer.alias("theirs")
    mates = select(theirs.c.id).join(mine, mine.c.address_hash == theirs.c.address_hash)
    return union(select(customer.c.id).where(is_meant(customer.c.id)), mates.where(is_meant(mine.c.id)))


def text_literal(word: str) -> ColumnElement[str]:
    """Return a word as a literal of type text; SQLAlchemy infers no type from an enum."""
    return literal(word, String())


def is_one_of(column: ColumnElement[Any], words: Iterable[str]) -> Clause:
    """Return whether a column is one of a few fixed words, for `CompiledStatement`, where `in_` cannot stand."""
    return or_(*(column == word for word in words))


def advisory_lock(connection: Connection, name: str) -> None:
    """Wait until no other transaction holds the lock `name`, and take it. SQLite has one writer at a time anyway."""
    if connection.dialect.name != "sqlite":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def dialect_insert(connection: Connection, into: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an insert that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(into) if connection.dialect.name == "postgresql" else sqlite.insert(into)


def changed_one(connection: Connection, statement: Any) -> bool:
    """Execute an insert or update of one row and return whether it changed one."""
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1
