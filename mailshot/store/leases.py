"""Leases, such as the clock's, that one process holds at a time."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import or_, select
from sqlmodel import Field, SQLModel

from mailshot.store import dialect
from mailshot.store.column_types import Instant
from mailshot.store.engine import Connection


class Lease(SQLModel, table=True):
    """The holder of a named lease, such as the clock's, and when it expires."""

    name: str = Field(primary_key=True)
    holder: str
    until: datetime = Field(sa_type=Instant)


LEASE = dialect.table(Lease)


def acquire(connection: Connection, name: str, holder: str, now: datetime, until: datetime) -> bool:
    """Acquire or renew a lease until `until`; return False while another holder has it."""
    row = dialect.dialect_insert(connection, LEASE).values(name=name, holder=holder, until=until)
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
