"""Owns how a statement begins on either database; refuses to know any table."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel

from mailshot.store.engine import Connection


def table(model: type[SQLModel]) -> Table:
    """Return the table behind a model, whose columns (`.c`) are typed for queries."""
    found: Any = vars(model)["__table__"]
    assert isinstance(found, Table)
    return found


def insert(connection: Connection, into: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an insert that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(into) if connection.dialect.name == "postgresql" else sqlite.insert(into)


def changed(connection: Connection, statement: Any) -> bool:
    """Execute an insert or update of one row and return whether it changed one."""
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1
