"""Connects Alembic to the caller's connection, and renders our column types in new migrations."""

from typing import Any, Literal

from alembic import context
from sqlmodel import AutoString, SQLModel

# All modules with tables: importing them fills SQLModel's metadata.
from mailshot.store import (  # noqa: F401
    address_changes,
    answers,
    audit,
    column_types,
    confirmations,
    conversions,
    erasures,
    fact_corrections,
    inboxes,
    incoming_mail,
    installation,
    leases,
    pauses,
    rate_slots,
    sign_ups,
    suppressed_digests,
    tables,
    webhook_tokens,
)


def render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Render our types by their names in `column_types`, so that a migration reads like the tables."""
    if kind != "type":
        return False
    if isinstance(item, column_types.Instant | column_types.Exact):
        return f"column_types.{type(item).__name__}()"
    for name in ("Json", "RowId"):
        if item is getattr(column_types, name):
            return f"column_types.{name}"
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
