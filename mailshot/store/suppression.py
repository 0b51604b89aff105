"""Owns the rows of addresses that must not be mailed; refuses to hold an address (only its keyed hash)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from mailshot.store import sql
from mailshot.store.audiences import SCHEMA
from mailshot.store.engine import Connection
from mailshot.store.tables import Suppression

SUPPRESSION = sql.table(Suppression)
ERASED = "erased"


def add(connection: Connection, address_hash: str, reason: str, source: str, at: datetime) -> bool:
    """Suppress an address and return whether it was not suppressed before; the first reason stays."""
    _hold(connection, address_hash)
    row = sql.insert(connection, SUPPRESSION).values(address_hash=address_hash, reason=reason, source=source, at=at)
    return sql.changed(connection, row.on_conflict_do_nothing())


def add_erased(connection: Connection, address_hash: str, source: str, at: datetime) -> None:
    """Suppress the address of an erased customer, whatever reason stood there before."""
    _hold(connection, address_hash)
    values = {"reason": ERASED, "source": source, "at": at}
    row = sql.insert(connection, SUPPRESSION).values(address_hash=address_hash, **values)
    connection.execute(row.on_conflict_do_update(index_elements=[SUPPRESSION.c.address_hash], set_=values))


def _hold(connection: Connection, address_hash: str) -> None:
    """Lock whoever has this address, so that no dot passes the suppression unseen."""
    customer = SCHEMA.customer.c
    theirs = select(customer.id).where(customer.address_hash == address_hash)
    sql.hold(connection, connection.scalars(theirs).all(), alone=True)


def reason(connection: Connection, address_hash: str) -> str | None:
    """Return why an address must not be mailed, None when it may."""
    found: str | None = connection.scalar(
        select(SUPPRESSION.c.reason).where(SUPPRESSION.c.address_hash == address_hash)
    )
    return found
