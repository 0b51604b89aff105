"""Addresses that must not be mailed, known only by the SHA-256 from another system.

Such a hash cannot be turned into ours, which has a key. It is kept, and compared with the addresses of customers: of
all when it is added, again when customers are imported, and with each address that someone signs up or changes to. An
address that matches is suppressed as usual.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Column, RowMapping, Table, select
from sqlmodel import Field, SQLModel

from mailshot.profile import address
from mailshot.store import dialect
from mailshot.store.audiences import SCHEMA
from mailshot.store.column_types import Instant
from mailshot.store.engine import Connection
from mailshot.store.suppression import SUPPRESSION
from mailshot.store.tables import Suppression

BATCH_SIZE = 1_000
Row = TypeVar("Row")


class SuppressedDigest(SQLModel, table=True):
    """The SHA-256 of an address, with the reason, source and time of its suppression."""

    __tablename__ = "suppressed_digest"
    #: 64 hex digits (see `address.digest`).
    digest: str = Field(primary_key=True)
    reason: str
    source: str
    at: datetime = Field(sa_type=Instant)


DIGEST = dialect.table(SuppressedDigest)


def add_digests(connection: Connection, entries: Sequence[SuppressedDigest]) -> int:
    """Keep digests for later customers, and return how many were not known yet; a known one keeps its reason."""
    return _insert_new(connection, DIGEST, DIGEST.c.digest, [entry.model_dump() for entry in entries])


def suppress_matching(connection: Connection) -> int:
    """Suppress the addresses of all customers that match a digest, and return how many were not suppressed yet."""
    customer = SCHEMA.customer.c
    rows = select(customer.email, customer.address_hash).where(customer.address_hash.is_not(None))
    options = {"yield_per": BATCH_SIZE}
    suppressions: list[Suppression] = []
    for part in connection.execute(rows, execution_options=options).partitions():
        hashes = {address.digest(email): address_hash for email, address_hash in part}
        matching = connection.execute(select(DIGEST).where(DIGEST.c.digest.in_(hashes))).mappings().all()
        suppressions += [
            Suppression(address_hash=hashes[row["digest"]], reason=row["reason"], source=row["source"], at=row["at"])
            for row in matching
        ]
    return add_suppressions(connection, suppressions)


def suppress_if_listed(connection: Connection, email: str, address_hash: str) -> bool:
    """Suppress an address that no customer has yet, if its digest is kept; return whether it is."""
    row = find_digest(connection, email)
    if row is None:
        return False
    kept = {name: row[name] for name in ("reason", "source", "at")}
    add_suppressions(connection, [Suppression(address_hash=address_hash, **kept)])
    return True


def add_suppressions(connection: Connection, entries: Sequence[Suppression]) -> int:
    """Suppress many addresses, and return how many were not suppressed yet; one that was keeps its reason."""
    added = 0
    for part in _batches(entries):
        customer = SCHEMA.customer.c
        theirs = select(customer.id).where(customer.address_hash.in_([entry.address_hash for entry in part]))
        dialect.lock_customers(connection, connection.scalars(theirs).all(), alone=True)
        rows = [entry.model_dump() for entry in part]
        added += _insert_new(connection, SUPPRESSION, SUPPRESSION.c.address_hash, rows)
    return added


def has_digests(connection: Connection) -> bool:
    """Return whether any digest is kept."""
    return connection.execute(select(DIGEST.c.digest).limit(1)).first() is not None


def find_digest(connection: Connection, email: str) -> RowMapping | None:
    """Return the row whose digest is that of an address, None without one."""
    return connection.execute(select(DIGEST).where(DIGEST.c.digest == address.digest(email))).mappings().first()


def listed_digests(connection: Connection) -> Sequence[SuppressedDigest]:
    """Return all digests, the latest first."""
    rows = connection.execute(select(DIGEST).order_by(DIGEST.c.at.desc(), DIGEST.c.digest)).mappings()
    return [SuppressedDigest(**row) for row in rows]


def forget_digest(connection: Connection, email: str) -> bool:
    """Delete the digest of an address, and return whether there was one."""
    return dialect.changed_one(connection, DIGEST.delete().where(DIGEST.c.digest == address.digest(email)))


def _insert_new(connection: Connection, table: Table, key: Column[str], rows: Sequence[dict[str, Any]]) -> int:
    added = 0
    for part in _batches(rows):
        keys = {row[key.name] for row in part}
        known = connection.scalars(select(key).where(key.in_(keys))).all()
        connection.execute(dialect.dialect_insert(connection, table).on_conflict_do_nothing(), part)
        added += len(keys.difference(known))
    return added


def _batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Give the rows in parts for one statement each."""
    for start in range(0, len(rows), BATCH_SIZE):
        yield rows[start : start + BATCH_SIZE]
