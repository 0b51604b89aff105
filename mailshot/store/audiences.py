"""Owns asking the database who satisfies a rule; refuses to read rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, func, select, text

from mailshot.audience.compile import Compiler, Schema, existed, then
from mailshot.audience.nodes import Condition
from mailshot.store import abreast, sources, sql, tables
from mailshot.store.engine import Connection, Store
from mailshot.store.erasures import Erasure
from mailshot.store.weights import DataStatistics

SCHEMA = Schema(
    customer=sql.table(tables.Customer),
    erasure=sql.table(Erasure),
    product=sql.table(tables.Product),
    consent=sql.table(tables.Consent),
    consent_log=sql.table(tables.ConsentLog),
    address_withdrawal=sql.table(tables.AddressWithdrawal),
    preference=sql.table(tables.Preference),
    trait=sql.table(tables.Trait),
    sources=sources.SOURCES,
)
#: What the key of an erased customer begins with.
ERASED_KEY = "erased:"


def compiler(as_of: datetime, zone: ZoneInfo, back: bool = False) -> Compiler:
    """Return a compiler of rules into selects over our tables; `back` hears only what had been said by `as_of`."""
    return Compiler(SCHEMA, as_of, zone, before=as_of if back else None)


def with_statistics(connection: Connection, compiled: Compiler) -> Compiler:
    """Return the compiler with an eye for how much conditions mean, so that it takes the shorter way."""
    _make_room(connection)
    return replace(compiled, statistics=DataStatistics(connection, compiled))


def _make_room(connection: Connection) -> None:
    """Let PostgreSQL keep a million ids in memory until the transaction ends, and not compile before it begins."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SET LOCAL work_mem = '128MB'"))
        connection.execute(text("SET LOCAL jit = off"))


def existing_members(compiled: Compiler, condition: Condition) -> Select[Any]:
    """Return the select of who satisfies the condition and was a customer by then."""
    if compiled.before is None:
        return compiled.select(condition)
    customer = SCHEMA.customer.c.id
    found = compiled.clause(condition)
    return select(customer).where(found, existed(SCHEMA, compiled.before), *compiled.universe.holds(customer))


def count(store: Store, compiled: Compiler, condition: Condition) -> int:
    """Count the customers that satisfy `condition`, on several cores."""
    with store.read() as connection:
        chosen = with_statistics(connection, compiled)
        found = [existing_members(chosen.within(ids), condition) for ids in abreast.parts(store, _ids(connection))]
    return abreast.count_parallel(store, _number, found)


def _number(connection: Connection, found: Select[Any]) -> int:
    _make_room(connection)
    return int(connection.execute(select(func.count()).select_from(found.subquery())).scalar_one())


def _ids(connection: Connection) -> range:
    # Asked one by one: SQLite looks both up in the key, but goes through the whole table for the two together.
    first, last = (connection.scalar(select(edge(SCHEMA.customer.c.id))) for edge in (func.min, func.max))
    return range(first or 0, (last or 0) + 1)


def members(connection: Connection, compiled: Compiler, condition: Condition) -> Iterator[int]:
    """Give the ids of the customers that satisfy `condition`, in order."""
    found = existing_members(with_statistics(connection, compiled), condition)
    ordered = found.order_by(found.selected_columns.id)
    for row in connection.execute(ordered, execution_options={"yield_per": 10_000}):
        yield int(row[0])


def not_erased() -> ColumnElement[bool]:
    """Whether a customer was not erased."""
    return then.not_erased(SCHEMA, SCHEMA.customer.c.id)


def customers(connection: Connection) -> int:
    """Count everyone but the erased."""
    return int(connection.execute(select(func.count()).select_from(SCHEMA.customer).where(not_erased())).scalar_one())
