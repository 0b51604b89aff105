"""Owns how Alembic reaches our connection and writes our column types; refuses to choose a database."""

from typing import Any, Literal

from alembic import context
from sqlmodel import AutoString, SQLModel

from mailshot.store import (
    column_types,
)


def render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our types by their names in `columns`, so that a migration reads like the tables."""
    if kind != "type":
        return False
    if isinstance(item, column_types.Instant | column_types.Exact):
        return f"columns.{type(item).__name__}()"
    for name in ("Json", "RowId"):
        if item is getattr(column_types, name):
            return f"columns.{name}"
    return "sa.String()" if isinstance(item, AutoString) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    compare_type=True,
    render_item=render,
)
with context.begin_transaction():
    context.run_migrations()
