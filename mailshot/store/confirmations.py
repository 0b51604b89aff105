"""The links to a customer's own data: requested on a page, mailed to the stored address, opened once.

`requested_mails` describes the states of a row. `opened_at` is independent of them, because a link can be opened before
the server's reply arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, and_, select
from sqlmodel import Field, SQLModel

from mailshot.store import dialect, requested_mails
from mailshot.store.column_types import Instant, RowId
from mailshot.store.engine import Connection
from mailshot.store.requested_mails import BATCH_SIZE, DAY, MailState
from mailshot.store.tables import Customer, Run

#: How long a link works, and the page that it opens, from when it was requested.
VALID = timedelta(hours=1)
#: Between two requests. A lost mail must not keep a customer out for long; an old mail must not let others flood the
#: inbox.
PAUSE = timedelta(minutes=10)
MAX_LINKS_PER_DAY = 6
KEPT = timedelta(days=7)


class Confirmation(SQLModel, table=True):
    """A customer's request to see, export or erase their data. `run_id` is the run of the mail whose link they used."""

    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    customer_id: int = Field(sa_type=BigInteger, index=True)
    run_id: int = Field(sa_type=BigInteger)
    state: str = str(MailState.asked)
    asked_at: datetime = Field(sa_type=Instant)
    due_at: datetime = Field(sa_type=Instant)
    opened_at: datetime | None = Field(default=None, sa_type=Instant)


CONFIRMATION, CUSTOMER, RUN = dialect.table(Confirmation), dialect.table(Customer), dialect.table(Run)


@dataclass(frozen=True, slots=True)
class DueLink:
    """A link to mail. `definition` is the snapshot of the run, whose sender the mail has."""

    id: int
    definition: str
    email: str | None
    #: The customer's language (BCP 47), None where it is not known.
    language: str | None


def ask(connection: Connection, customer_id: int, run_id: int, at: datetime) -> datetime | None:
    """Request a link by mail; return None, or after too many requests, when the next one is possible.

    The requests of all customers of an inbox count, whether or not a mail was sent.
    """
    dialect.lock_customers(connection, [customer_id], alone=True, inbox=True)
    c = CONFIRMATION.c
    connection.execute(CONFIRMATION.delete().where(c.asked_at < at - KEPT))
    mates = and_(c.asked_at > at - DAY, c.customer_id.in_(dialect.sharing([customer_id])))
    earlier = connection.scalars(
        select(c.asked_at).where(mates).order_by(c.asked_at.desc()).limit(MAX_LINKS_PER_DAY)
    ).all()
    again = requested_mails.next_request_at(earlier, at, PAUSE, MAX_LINKS_PER_DAY)
    if again > at:
        return again
    values = {"customer_id": customer_id, "run_id": run_id, "state": str(MailState.asked), "asked_at": at, "due_at": at}
    connection.execute(CONFIRMATION.insert().values(**values))
    return None


def find_valid(connection: Connection, confirmation_id: int, at: datetime) -> Mapping[str, Any] | None:
    """Return a confirmation that is still valid at `at`, None when there is none."""
    c = CONFIRMATION.c
    valid = select(CONFIRMATION).where(c.id == confirmation_id, c.asked_at > at - VALID)
    return connection.execute(valid).mappings().first()  # type: ignore[return-value]


def use_link(connection: Connection, confirmation_id: int, at: datetime) -> bool:
    """Use a valid link; False when it was used before."""
    c = CONFIRMATION.c
    unopened = CONFIRMATION.update().where(c.id == confirmation_id, c.asked_at > at - VALID, c.opened_at.is_(None))
    return dialect.changed_one(connection, unopened.values(opened_at=at))


def due_mails(connection: Connection, at: datetime) -> list[DueLink]:
    """Return the links that are due to be mailed, oldest first, at most BATCH_SIZE."""
    c = CONFIRMATION.c
    rows = (
        select(c.id, RUN.c.definition, CUSTOMER.c.email, CUSTOMER.c.language)
        .join(RUN, RUN.c.id == c.run_id)
        .join(CUSTOMER, CUSTOMER.c.id == c.customer_id)
        .where(c.state == MailState.asked, c.asked_at > at - VALID, c.due_at <= at)
        .order_by(c.due_at, c.id)
        .limit(BATCH_SIZE)
    )
    return [DueLink(*row) for row in connection.execute(rows)]


def move_mail(connection: Connection, link: DueLink, before: MailState, after: MailState, at: datetime) -> bool:
    """Move the mail with a link to the next state (see `requested_mails.move_mail`)."""
    return requested_mails.move_mail(connection, CONFIRMATION, link.id, before, after, at)
