"""Owns asking the database who satisfies a rule; refuses to read rules."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from mailshot.audience.compile import Compiler, Schema
from mailshot.audience.nodes import Condition
from mailshot.store import sql, tables
from mailshot.store.engine import Connection

SCHEMA = Schema(
    customer=sql.table(tables.Customer),
    product=sql.table(tables.Product),
    purchase=sql.table(tables.Purchase),
    consent=sql.table(tables.Consent),
    preference=sql.table(tables.Preference),
    trait=sql.table(tables.Trait),
)


def compiler(as_of: datetime, zone: ZoneInfo) -> Compiler:
    """Return a compiler of rules into selects over our tables."""
    return Compiler(SCHEMA, as_of, zone)


def count(connection: Connection, compiled: Compiler, condition: Condition) -> int:
    """Count the customers that satisfy `condition`."""
    members = compiled.select(condition).subquery()
    return int(connection.execute(select(func.count()).select_from(members)).scalar_one())


def members(connection: Connection, compiled: Compiler, condition: Condition) -> Iterator[int]:
    """Give the ids of the customers that satisfy `condition`, in order."""
    ordered = compiled.select(condition).order_by(SCHEMA.customer.c.id)
    for row in connection.execution_options(yield_per=10_000).execute(ordered):
        yield int(row[0])


def customers(connection: Connection) -> int:
    """Count everyone."""
    return int(connection.execute(select(func.count()).select_from(SCHEMA.customer)).scalar_one())
