"""The customers whose data was erased: imports leave out their rows, and their remains are scrubbed from the files.

An erasure is finished only when no file of the database contains the data any more (`store.scrubbing`); until then it
is pending. A customer's key is stored as a keyed hash only, to recognise it when the shop's file is imported again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, bindparam, func, select, update
from sqlmodel import Field, SQLModel

from mailshot.store import dialect
from mailshot.store.column_types import Instant
from mailshot.store.engine import Connection

#: Within this time the data must be gone from the database's files, as the page promises.
PROMISED = timedelta(hours=24)
SERIAL = "erasures"


class Erasure(SQLModel, table=True):
    """A customer whose data was erased."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(sa_type=Instant)
    #: When the data was gone from the files; None: it is pending.
    scrubbed_at: datetime | None = Field(default=None, sa_type=Instant)


class ErasedKey(SQLModel, table=True):
    """The keyed hash of the key of a customer who was erased `at`, with the hash of their address.

    Imports leave out the customer's rows; after the customer signed up again (`back_at`), only those from before `at`.
    """

    __tablename__ = "erased_key"
    key_hash: str = Field(primary_key=True)
    address_hash: str | None = Field(default=None, index=True)
    at: datetime = Field(sa_type=Instant)
    back_at: datetime | None = Field(default=None, sa_type=Instant)


class VacuumProbe(SQLModel, table=True):
    """One row that is written and deleted on PostgreSQL: when a VACUUM can remove it, it can remove all before it."""

    __tablename__ = "vacuum_probe"
    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})


@dataclass(frozen=True, slots=True)
class Waiting:
    """The pending erasures."""

    number: int
    #: When the first was requested; None without any.
    since: datetime | None

    def is_late(self, now: datetime) -> bool:
        """Return whether one is pending for longer than customers are promised."""
        return self.since is not None and now - self.since > PROMISED


ERASURE, KEY = dialect.table(Erasure), dialect.table(ErasedKey)


def record_erasure(connection: Connection, customer_id: int, at: datetime) -> None:
    """Record an erasure, which is pending until the data is scrubbed from the files."""
    row = dialect.dialect_insert(connection, ERASURE).values(customer_id=customer_id, at=at)
    connection.execute(row.on_conflict_do_nothing())


def remember(connection: Connection, key_hashes: Collection[str], address_hash: str | None, at: datetime) -> None:
    """Leave out the rows of customers with these keys from all later imports."""
    row = dialect.dialect_insert(connection, KEY)
    fresh = {"address_hash": row.excluded.address_hash, "at": row.excluded.at, "back_at": None}
    rows = [{"key_hash": key, "address_hash": address_hash, "at": at} for key in sorted(key_hashes)]
    if rows:
        connection.execute(row.on_conflict_do_update(index_elements=[KEY.c.key_hash], set_=fresh), rows)


def welcome_back(connection: Connection, address_hash: str, at: datetime) -> int:
    """Readmit the customers who were erased at an address, because they signed up again; return how many keys.

    Rows from before the erasure are still left out.
    """
    again = update(KEY).where(KEY.c.address_hash == address_hash, KEY.c.back_at.is_(None)).values(back_at=at)
    return int(connection.execute(again, execution_options={"preserve_rowcount": True}).rowcount)


def keys(connection: Connection) -> Iterable[tuple[str, datetime | None]]:
    """Give the hashes of erased keys, each with the moment before which rows are left out; None: all of them."""
    for key_hash, at, back_at in connection.execute(select(KEY.c.key_hash, KEY.c.at, KEY.c.back_at)):
        yield key_hash, (None if back_at is None else at)


def count_erasures(connection: Connection) -> int:
    """Count all erasures, finished ones included."""
    return int(connection.scalar(select(func.count()).select_from(ERASURE)) or 0)


def count_pending(connection: Connection) -> Waiting:
    """Return how many erasures are pending, and since when."""
    asked = select(func.count(), func.min(ERASURE.c.at, type_=Instant())).where(ERASURE.c.scrubbed_at.is_(None))
    pending, since = connection.execute(asked).one()
    return Waiting(int(pending), since)


def pending_erasures(connection: Connection, most: int) -> list[int]:
    """Return up to `most` customers whose erasure is pending, the oldest first."""
    pending = select(ERASURE.c.customer_id).where(ERASURE.c.scrubbed_at.is_(None))
    oldest = pending.order_by(ERASURE.c.at, ERASURE.c.customer_id).limit(most)
    return [int(customer_id) for customer_id in connection.scalars(oldest)]


def finish_erasures(connection: Connection, customer_ids: Collection[int], at: datetime) -> None:
    """Record that no data of these customers is left in the files."""
    mine = ERASURE.c.customer_id.in_(customer_ids)
    connection.execute(update(ERASURE).where(mine, ERASURE.c.scrubbed_at.is_(None)).values(scrubbed_at=at))


def reopen(connection: Connection, customer_ids: Collection[int]) -> None:
    """Make the erasures of these customers pending again: data of them may still be written."""
    rows = [{"who": customer_id} for customer_id in sorted(customer_ids)]
    if rows:
        connection.execute(
            update(ERASURE).where(ERASURE.c.customer_id == bindparam("who")).values(scrubbed_at=None), rows
        )


def wait_for_erasures(connection: Connection) -> None:
    """Wait until no erasure, and no end of an import, is about to commit; SQLite has one writer anyway.

    An erasure takes this lock after all others, and an import before it checks which customers were erased meanwhile,
    so that each sees the other and neither waits for long.
    """
    dialect.advisory_lock(connection, SERIAL)
