"""The pauses that customers asked for: no mail until a moment, except on topics that need no consent.

The table is append-only, so that a backtest sees what had been asked for by then. The latest row of a customer counts;
one that ends when it begins resumes the mail. A pause binds the inbox, whichever of its customers asked for it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, FromClause, Select, exists, func, select, true
from sqlmodel import Field, SQLModel

from mailshot.store import dialect
from mailshot.store.column_types import Instant
from mailshot.store.dialect import Clause
from mailshot.store.engine import Connection


class Pause(SQLModel, table=True):
    """A customer's wish, said `at` a moment, to get no mail `until` another one."""

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(primary_key=True, sa_type=Instant)
    until: datetime = Field(sa_type=Instant)
    source: str


PAUSE = dialect.table(Pause)


def record_pause(connection: Connection, customer_id: int, until: datetime, source: str, at: datetime) -> bool:
    """Pause the mail of a customer until a moment, or resume it with `until` equal to `at`; return whether it is new.

    It waits for the dots that are being committed, and holds for all later ones.
    """
    dialect.lock_customers(connection, [customer_id], alone=True, inbox=True)
    row = dialect.dialect_insert(connection, PAUSE).values(customer_id=customer_id, at=at, until=until, source=source)
    return dialect.changed_one(connection, row.on_conflict_do_nothing())


def paused_until(connection: Connection, customer_ids: list[int], before: datetime | None = None) -> datetime | None:
    """Return the latest end of the pauses of some customers, as stated `before` a moment; None without any."""
    latest = is_latest(PAUSE, before)
    ends = select(func.max(PAUSE.c.until, type_=PAUSE.c.until.type)).where(
        PAUSE.c.customer_id.in_(customer_ids), latest
    )
    until: datetime | None = connection.scalar(ends)
    return until


def paused_customers(as_of: datetime, before: datetime | None) -> Select[Any]:
    """Return the ids of customers whose own pause lasts beyond `as_of`."""
    return select(PAUSE.c.customer_id).where(PAUSE.c.until > as_of, is_latest(PAUSE, before))


def is_latest(pause: FromClause, before: datetime | None = None) -> Clause:
    """Return the clause that a pause is the one that counts for its customer."""
    later = PAUSE.alias("later")
    stated = _stated(later, before)
    newer = exists().where(later.c.customer_id == pause.c.customer_id, later.c.at > pause.c.at, stated)
    return _stated(pause, before) & ~newer.correlate(pause)


def _stated(pause: FromClause, before: datetime | None) -> ColumnElement[bool]:
    return true() if before is None else pause.c.at < before
