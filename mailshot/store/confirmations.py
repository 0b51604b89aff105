"""The links that open a customer's own data: asked for on a page, mailed to the address on file, opened once.

A row goes `asked` -> `sending` -> `sent` or `failed`; each step is one guarded update, so that no link is mailed twice.
A worker that dies while it sends leaves the row `sending`: the customer asks again. Whether the link was opened is a
moment of its own (`opened_at`), for a link can be opened before the server's reply has reached us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, and_, select
from sqlmodel import Field, SQLModel

from mailshot.store import dialect
from mailshot.store.column_types import Instant, RowId
from mailshot.store.engine import Connection
from mailshot.store.tables import Customer, Run

#: How long a link works, and how long the page that it opened goes on working, both from when it was asked for.
VALID = timedelta(hours=1)
#: A lost mail must not keep a customer out for long, and no inbox must be flooded by one who holds an old mail.
PAUSE = timedelta(minutes=10)
MOST_A_DAY = 6
DAY = timedelta(days=1)
#: From one try to mail a link to the next, while a server says "later".
RETRY = timedelta(minutes=2)
KEPT = timedelta(days=7)


class Mailed(StrEnum):
    """How far the mail with a link has come."""

    asked = "asked"
    sending = "sending"
    sent = "sent"
    failed = "failed"


class Confirmation(SQLModel, table=True):
    """A customer's wish to see, take away or erase their data. `run_id` is the run whose mail they asked from."""

    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    customer_id: int = Field(sa_type=BigInteger, index=True)
    run_id: int = Field(sa_type=BigInteger)
    state: str = str(Mailed.asked)
    asked_at: datetime = Field(sa_type=Instant)
    due_at: datetime = Field(sa_type=Instant)
    opened_at: datetime | None = Field(default=None, sa_type=Instant)


CONFIRMATION, CUSTOMER, RUN = dialect.table(Confirmation), dialect.table(Customer), dialect.table(Run)


@dataclass(frozen=True, slots=True)
class Due:
    """A link to mail. `definition` names the frozen campaign of the run, whose sender writes the mail."""

    id: int
    run_id: int
    definition: str
    email: str | None


def ask(connection: Connection, customer_id: int, run_id: int, at: datetime) -> datetime | None:
    """Ask for a link to be mailed; return None, or from when on it may be asked for, where that was done too often.

    An address is one inbox: what was asked for by all customers who share it counts, whatever came of it.
    """
    dialect.lock_customers(connection, [customer_id], alone=True, inbox=True)
    c = CONFIRMATION.c
    connection.execute(CONFIRMATION.delete().where(c.asked_at < at - KEPT))
    mates = and_(c.asked_at > at - DAY, c.customer_id.in_(dialect.sharing([customer_id])))
    earlier = connection.scalars(select(c.asked_at).where(mates).order_by(c.asked_at.desc()).limit(MOST_A_DAY)).all()
    again = earlier[0] + PAUSE if earlier else at
    if len(earlier) == MOST_A_DAY:
        again = max(again, earlier[-1] + DAY)
    if again > at:
        return again
    values = {"customer_id": customer_id, "run_id": run_id, "state": str(Mailed.asked), "asked_at": at, "due_at": at}
    connection.execute(CONFIRMATION.insert().values(**values))
    return None


def get(connection: Connection, confirmation_id: int, at: datetime) -> Mapping[str, Any] | None:
    """Return a confirmation that is still valid at `at`, None when there is none."""
    c = CONFIRMATION.c
    valid = select(CONFIRMATION).where(c.id == confirmation_id, c.asked_at > at - VALID)
    return connection.execute(valid).mappings().first()  # type: ignore[return-value]


def open_once(connection: Connection, confirmation_id: int, at: datetime) -> bool:
    """Use up a valid link; False when it was used before."""
    c = CONFIRMATION.c
    unopened = CONFIRMATION.update().where(c.id == confirmation_id, c.asked_at > at - VALID, c.opened_at.is_(None))
    return dialect.changed_one(connection, unopened.values(opened_at=at))


def waiting(connection: Connection, at: datetime) -> list[Due]:
    """Return the links that are still to be mailed, oldest first, a few at a time."""
    c = CONFIRMATION.c
    rows = (
        select(c.id, c.run_id, RUN.c.definition, CUSTOMER.c.email)
        .join(RUN, RUN.c.id == c.run_id)
        .join(CUSTOMER, CUSTOMER.c.id == c.customer_id)
        .where(c.state == Mailed.asked, c.asked_at > at - VALID, c.due_at <= at)
        .order_by(c.due_at, c.id)
        .limit(20)
    )
    return [Due(*row) for row in connection.execute(rows)]


def move(connection: Connection, confirmation_id: int, before: Mailed, after: Mailed, at: datetime) -> bool:
    """Take a mail one step on; False when another worker has done so already. Back to `asked`, it waits a while."""
    c = CONFIRMATION.c
    moved = CONFIRMATION.update().where(c.id == confirmation_id, c.state == before)
    return dialect.changed_one(connection, moved.values(state=str(after), due_at=at + RETRY))
