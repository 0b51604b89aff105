"""The customers whose data was erased: whose rows imports must leave out, and whose remains still lie in the files.

An erasure is finished only when no file of the database holds its bytes any more (`store.scrubbing`). Until then its
row waits. A customer's key is kept as a keyed hash alone, so that it is recognised when the shop's file is imported.
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

#: How long an erasure may wait for its remains to be gone from the database's files; the customer is told so.
PROMISED = timedelta(hours=24)


class Erasure(SQLModel, table=True):
    """A customer whose data was erased. `scrubbed_at` is when no byte of it was left in the files, None before."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(sa_type=Instant)
    scrubbed_at: datetime | None = Field(default=None, sa_type=Instant)


class ErasedKey(SQLModel, table=True):
    """The keyed hash of the key of a customer who was erased `at`, with the hash of the address they had.

    None of their rows is imported. Once they signed up again (`back_at`), only those from before `at` are left out.
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
    """The erasures that are not finished: how many there are, and when the first was asked for (None without any)."""

    number: int
    since: datetime | None

    def is_late(self, now: datetime) -> bool:
        """Say whether one waits for longer than customers are promised."""
        return self.since is not None and now - self.since > PROMISED


ERASURE, KEY = dialect.table(Erasure), dialect.table(ErasedKey)
SERIAL = "erasures"


def record(connection: Connection, customer_id: int, at: datetime) -> None:
    """Let the remains of a customer's data wait to be scrubbed from the files."""
    row = dialect.insert(connection, ERASURE).values(customer_id=customer_id, at=at)
    connection.execute(row.on_conflict_do_nothing())


def remember(connection: Connection, key_hashes: Collection[str], address_hash: str | None, at: datetime) -> None:
    """Leave the rows of customers with these keys out of every import to come."""
    row = dialect.insert(connection, KEY)
    fresh = {"address_hash": row.excluded.address_hash, "at": row.excluded.at, "back_at": None}
    rows = [{"key_hash": key, "address_hash": address_hash, "at": at} for key in sorted(key_hashes)]
    if rows:
        connection.execute(row.on_conflict_do_update(index_elements=[KEY.c.key_hash], set_=fresh), rows)


def welcome_back(connection: Connection, address_hash: str, at: datetime) -> int:
    """Let the rows of whoever was erased at an address in again, as far as they are newer; return how many keys it had.

    The customer asked for it by signing up again. What happened before the erasure stays left out.
    """
    again = update(KEY).where(KEY.c.address_hash == address_hash, KEY.c.back_at.is_(None)).values(back_at=at)
    return int(connection.execute(again, execution_options={"preserve_rowcount": True}).rowcount)


def keys(connection: Connection) -> Iterable[tuple[str, datetime | None]]:
    """Give the hashes of erased keys, each with the moment before which rows are left out; None: all of them."""
    for key_hash, at, back_at in connection.execute(select(KEY.c.key_hash, KEY.c.at, KEY.c.back_at)):
        yield key_hash, (None if back_at is None else at)


def number(connection: Connection) -> int:
    """Count all erasures there ever were."""
    return int(connection.scalar(select(func.count()).select_from(ERASURE)) or 0)


def waiting(connection: Connection) -> Waiting:
    """Return how many erasures are not finished, and since when."""
    asked = select(func.count(), func.min(ERASURE.c.at, type_=Instant())).where(ERASURE.c.scrubbed_at.is_(None))
    found, since = connection.execute(asked).one()
    return Waiting(int(found), since)


def unfinished(connection: Connection, most: int) -> list[int]:
    """Return up to `most` customers whose erasure is not finished, the longest waiting first."""
    rows = select(ERASURE.c.customer_id).where(ERASURE.c.scrubbed_at.is_(None))
    return [int(found) for found in connection.scalars(rows.order_by(ERASURE.c.at, ERASURE.c.customer_id).limit(most))]


def finish(connection: Connection, customer_ids: Collection[int], at: datetime) -> None:
    """Record that nothing of these customers is left in the files."""
    mine = ERASURE.c.customer_id.in_(customer_ids)
    connection.execute(update(ERASURE).where(mine, ERASURE.c.scrubbed_at.is_(None)).values(scrubbed_at=at))


def reopen(connection: Connection, customer_ids: Collection[int]) -> None:
    """Let the erasures of these customers wait again: something of them may come into the files yet."""
    rows = [{"who": customer_id} for customer_id in sorted(customer_ids)]
    if rows:
        connection.execute(
            update(ERASURE).where(ERASURE.c.customer_id == bindparam("who")).values(scrubbed_at=None), rows
        )


def alone(connection: Connection) -> None:
    """Wait until no erasure, and no end of an import, is about to commit; SQLite has one writer anyway.

    An erasure asks for it after its last other lock, and an import before it looks whether anybody was erased
    meanwhile, so that each sees the other and neither waits for long.
    """
    dialect.advisory_lock(connection, SERIAL)
