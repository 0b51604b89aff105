"""Keeps a plan's old rows while it is made again, so that the new rows can be compared with them.

The id of a plan stays the same while its files do, whatever becomes of the customers: deciding anew overwrites rows.
"""

from __future__ import annotations

from sqlalchemy import delete, update

from mailshot.store import sql
from mailshot.store.engine import Connection
from mailshot.store.plans import ROW


def set_aside(connection: Connection, plan_id: str) -> str:
    """Move a plan's rows to an id that no plan has, and return that id. `drop` must follow in the same transaction."""
    aside = f"{plan_id} before"
    # As `plans.decide` does: two who plan the same campaign must not overwrite each other's rows.
    sql.advisory_lock(connection, "plan")
    connection.execute(update(ROW).where(ROW.c.plan_id == plan_id).values(plan_id=aside))
    return aside


def drop(connection: Connection, aside: str) -> None:
    """Delete the rows that `set_aside` moved."""
    connection.execute(delete(ROW).where(ROW.c.plan_id == aside))
