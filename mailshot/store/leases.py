"""Leases (such as the clock's, held by one process at a time), and the address key's fingerprint."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import or_, select
from sqlmodel import Field, SQLModel

from mailshot.errors import SettingsError
from mailshot.store import dialect
from mailshot.store.column_types import Instant
from mailshot.store.column_types import now as present
from mailshot.store.engine import Connection


class Lease(SQLModel, table=True):
    """The holder of a named lease, such as the clock's, and when it expires."""

    name: str = Field(primary_key=True)
    holder: str
    until: datetime = Field(sa_type=Instant)


class Installation(SQLModel, table=True):
    """A single row of values that must not change once customers are imported."""

    id: int = Field(default=1, primary_key=True)
    #: Fingerprint of the key that hashes addresses (MAILSHOT_ADDRESS_KEY).
    address_key_print: str
    created_at: datetime = Field(default_factory=present, sa_type=Instant)


LEASE, INSTALLATION = dialect.table(Lease), dialect.table(Installation)


def acquire(connection: Connection, name: str, holder: str, now: datetime, until: datetime) -> bool:
    """Acquire or renew a lease until `until`; return False while another holder has it."""
    row = dialect.insert(connection, LEASE).values(name=name, holder=holder, until=until)
    free = or_(LEASE.c.holder == holder, LEASE.c.until < now)
    taken = row.on_conflict_do_update(index_elements=["name"], set_={"holder": holder, "until": until}, where=free)
    return bool(connection.execute(taken).rowcount == 1)


def last_holder(connection: Connection, name: str) -> tuple[str, datetime] | None:
    """Return the last holder of a lease and its expiry time; None if it was never acquired."""
    row = connection.execute(select(LEASE.c.holder, LEASE.c.until).where(LEASE.c.name == name)).first()
    return (row.holder, row.until) if row else None


def release(connection: Connection, name: str, holder: str) -> None:
    """Release a lease, so that the next holder need not wait until it expires."""
    connection.execute(LEASE.delete().where(LEASE.c.name == name, LEASE.c.holder == holder))


def force_release(connection: Connection, name: str) -> None:
    """Delete a lease, whichever process holds it."""
    connection.execute(LEASE.delete().where(LEASE.c.name == name))


def holder(connection: Connection, name: str, now: datetime) -> str | None:
    """Return the current holder of a lease."""
    current: str | None = connection.scalar(select(LEASE.c.holder).where(LEASE.c.name == name, LEASE.c.until >= now))
    return current


def verify_address_key(connection: Connection, address_key: bytes) -> None:
    """Store the address key's fingerprint on first start. Raises SettingsError when a later key differs.

    With another key, suppressed addresses would no longer be recognised and would be mailed.
    """
    fingerprint = hashlib.sha256(b"mailshot/address-key" + address_key).hexdigest()[:16]
    connection.execute(
        dialect.insert(connection, INSTALLATION)
        .values(id=1, **_installation_values(fingerprint))
        .on_conflict_do_nothing()
    )
    known = connection.scalar(select(INSTALLATION.c.address_key_print))
    if known != fingerprint:
        message = "MAILSHOT_ADDRESS_KEY is not the key this database was created with."
        raise SettingsError(message, "Restore the previous key: the suppression list is hashed with it.")


def _installation_values(fingerprint: str) -> dict[str, object]:
    return {"address_key_print": fingerprint, "created_at": present()}
