"""Owns who holds an office (the clock) and what this installation must never change; refuses to act as the holder."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import or_, select

from mailshot.errors import SettingsError
from mailshot.store import column_types, dialect, tables
from mailshot.store.engine import Connection

LEASE = dialect.table(tables.Lease)
INSTALLATION = dialect.table(tables.Installation)


def acquire(connection: Connection, office: str, holder: str, now: datetime, until: datetime) -> bool:
    """Take or keep an office until its lease ends; False while somebody else holds it."""
    row = dialect.insert(connection, LEASE).values(name=office, holder=holder, until=until)
    free = or_(LEASE.c.holder == holder, LEASE.c.until < now)
    taken = row.on_conflict_do_update(index_elements=["name"], set_={"holder": holder, "until": until}, where=free)
    return bool(connection.execute(taken).rowcount == 1)


def standing(connection: Connection, office: str) -> tuple[str, datetime] | None:
    """Return who took an office last, and when that lease ends or ended; None when nobody ever did."""
    row = connection.execute(select(LEASE.c.holder, LEASE.c.until).where(LEASE.c.name == office)).first()
    return (row.holder, row.until) if row else None


def release(connection: Connection, office: str, holder: str) -> None:
    """Give up an office, so that the next holder need not wait."""
    connection.execute(LEASE.delete().where(LEASE.c.name == office, LEASE.c.holder == holder))


def vacate(connection: Connection, office: str) -> None:
    """Take an office from whoever holds it."""
    connection.execute(LEASE.delete().where(LEASE.c.name == office))


def holder(connection: Connection, office: str, now: datetime) -> str | None:
    """Return who holds an office now."""
    found: str | None = connection.scalar(select(LEASE.c.holder).where(LEASE.c.name == office, LEASE.c.until >= now))
    return found


def verify_address_key(connection: Connection, address_key: bytes) -> None:
    """Remember the address key's print at first sight; raise SettingsError when a later key differs.

    With another key no suppressed address would be recognised any more, and people who said no would be mailed.
    """
    given = hashlib.sha256(b"mailshot/address-key" + address_key).hexdigest()[:16]
    connection.execute(dialect.insert(connection, INSTALLATION).values(id=1, **_first(given)).on_conflict_do_nothing())
    known = connection.scalar(select(INSTALLATION.c.address_key_print))
    if known != given:
        message = "MAILSHOT_ADDRESS_KEY is not the key this database was begun with."
        raise SettingsError(message, "Put back the former key: the suppression list is hashed with it.")


def _first(given: str) -> dict[str, object]:
    return {"address_key_print": given, "created_at": column_types.now()}
