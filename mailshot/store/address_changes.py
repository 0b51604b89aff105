"""Changes of a customer's address: asked for on the page of their data, confirmed by a link mailed to the new address.

Two mails belong to a change: the link to the new address and, once it is confirmed, a notice to the old one. Each has a
state of its own (see `requested_mails`). Until the confirmation nothing about the customer changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, and_, func, or_, select
from sqlmodel import Field, SQLModel

from mailshot.store import consent, dialect, inboxes, ledger, requested_mails, suppressed_digests, suppression
from mailshot.store.column_types import Instant, RowId
from mailshot.store.engine import Connection
from mailshot.store.group_commit import MAX_WAIT
from mailshot.store.requested_mails import BATCH_SIZE, DAY, MailState
from mailshot.store.tables import Customer, Run

#: How long the link to the new address works.
VALID = timedelta(days=1)
#: Between two requests for one inbox.
PAUSE = timedelta(minutes=10)
#: For one inbox, and for one new address, so that no inbox can be filled with such links.
MAX_REQUESTS_PER_DAY = 3
#: A request that was not confirmed is deleted after this time.
KEPT = timedelta(days=7)
BATCH_ROWS = 10_000


class ChangeMail(StrEnum):
    """The mails of a change, by the name of the column with their state."""

    link = "link"
    notice = "notice"


class AddressChange(SQLModel, table=True):
    """A customer's request for mail to another address. `run_id` is the run of the mail whose link they used."""

    __tablename__ = "address_change"

    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    customer_id: int = Field(sa_type=BigInteger, index=True)
    run_id: int = Field(sa_type=BigInteger)
    old_email: str
    old_hash: str
    new_email: str
    new_hash: str = Field(index=True)
    #: The language of the page on which it was asked for (BCP 47), and of the mails.
    language: str
    #: The state of the mail with the link.
    link: str = str(MailState.asked)
    #: The state of the notice; None before the confirmation.
    notice: str | None = None
    asked_at: datetime = Field(sa_type=Instant)
    due_at: datetime = Field(sa_type=Instant)
    confirmed_at: datetime | None = Field(default=None, sa_type=Instant)


CHANGE, CUSTOMER, RUN = dialect.table(AddressChange), dialect.table(Customer), dialect.table(Run)


@dataclass(frozen=True, slots=True)
class NewAddress:
    """An address that a customer asks for, in normal form, with its keyed hash."""

    email: str
    hash: str


@dataclass(frozen=True, slots=True)
class DueMail:
    """A mail of a change that is due. `definition` is the snapshot of the run, whose sender the mail has."""

    id: int
    kind: ChangeMail
    definition: str
    old_email: str
    new_email: str
    language: str


def ask(
    connection: Connection, customer_id: int, run_id: int, new: NewAddress, language: str, at: datetime
) -> datetime | None:
    """Ask for another address; return None, or after too many requests, when the next one is possible.

    A suppressed address gets no mail. The page does not say so, because the address may belong to someone else.
    """
    dialect.lock_customers(connection, [customer_id], alone=True, inbox=True)
    c = CHANGE.c
    again = max(_next_request_at(connection, c.customer_id.in_(dialect.sharing([customer_id])), at, PAUSE),
                _next_request_at(connection, c.new_hash == new.hash, at, timedelta(0)))  # fmt: skip
    if again > at:
        return again
    old = connection.execute(
        select(CUSTOMER.c.email, CUSTOMER.c.address_hash).where(CUSTOMER.c.id == customer_id)
    ).one()
    suppressed_digests.suppress_if_listed(connection, new.email, new.hash)
    suppressed = suppression.find_suppression(connection, new.hash) is not None
    values = {"customer_id": customer_id, "run_id": run_id, "old_email": old.email, "old_hash": old.address_hash}
    values |= {"new_email": new.email, "new_hash": new.hash, "language": language, "asked_at": at, "due_at": at}
    connection.execute(CHANGE.insert().values(**values, link=str(MailState.failed if suppressed else MailState.asked)))
    return None


def _next_request_at(connection: Connection, which: Any, at: datetime, pause: timedelta) -> datetime:
    """Return when the next request is possible, by the earlier ones of a day that match."""
    c = CHANGE.c
    newest = select(c.asked_at).where(which, c.asked_at > at - DAY).order_by(c.asked_at.desc())
    earlier: Sequence[datetime] = connection.scalars(newest.limit(MAX_REQUESTS_PER_DAY)).all()
    return requested_mails.next_request_at(earlier, at, pause, MAX_REQUESTS_PER_DAY)


def language_of(connection: Connection, change_id: int) -> str | None:
    """Return the language in which a change was asked for; None for an unknown one."""
    tag: str | None = connection.scalar(select(CHANGE.c.language).where(CHANGE.c.id == change_id))
    return tag


def find_open(connection: Connection, change_id: int, at: datetime) -> Mapping[str, Any] | None:
    """Return a change that can be confirmed at `at`: not too old, not done, and the customer's latest request."""
    c, later = CHANGE.c, CHANGE.alias("later")
    latest = select(func.max(later.c.id)).where(later.c.customer_id == c.customer_id).scalar_subquery()
    valid = and_(c.id == change_id, c.asked_at > at - VALID, c.confirmed_at.is_(None), c.id == latest)
    return connection.execute(select(CHANGE).where(valid)).mappings().first()  # type: ignore[return-value]


def confirm(connection: Connection, change: Mapping[str, Any], source: str, at: datetime) -> bool:
    """Give the customer the new address; False when another request has done so, or their address is another one now.

    What they withdrew stays withdrawn at the old address, and bounces of earlier mails belong to it.
    """
    ids, c = [int(change["customer_id"])], CHANGE.c
    dialect.lock_customers(connection, ids, alone=True, inbox=True)
    mine = and_(CUSTOMER.c.id == ids[0], CUSTOMER.c.address_hash == change["old_hash"])
    if connection.scalar(select(CUSTOMER.c.id).where(mine)) is None:
        return False
    done = CHANGE.update().where(c.id == change["id"], c.confirmed_at.is_(None))
    if not dialect.changed_one(connection, done.values(confirmed_at=at, notice=str(MailState.asked), due_at=at)):
        return False
    consent.keep_for_address(connection, ids, at, source)
    ledger.revise(connection, ids)
    inboxes.leave(connection, ids, at)
    new = {"email": change["new_email"], "address_hash": change["new_hash"]}
    connection.execute(CUSTOMER.update().where(mine).values(**new))
    # A list may have been imported since the request.
    suppressed_digests.suppress_if_listed(connection, change["new_email"], change["new_hash"])
    return True


def forget_addresses(connection: Connection, address_hashes: Collection[str]) -> None:
    """Delete the requests of others for the addresses of an erased customer, unless they have confirmed them."""
    c = CHANGE.c
    connection.execute(CHANGE.delete().where(c.new_hash.in_(sorted(address_hashes)), c.confirmed_at.is_(None)))


def read_confirmed(connection: Connection) -> Iterator[list[tuple[str, str]]]:
    """Give, in batches, the key of each customer who changed their address, and the hash of an address they left."""
    c = CHANGE.c
    rows = connection.execute(
        select(CUSTOMER.c.key, c.old_hash)
        .join(CUSTOMER, CUSTOMER.c.id == c.customer_id)
        .where(c.confirmed_at.is_not(None), c.old_hash != CUSTOMER.c.address_hash)
        .order_by(c.id)
    )
    for batch in rows.partitions(BATCH_ROWS):
        yield [(key, old_hash) for key, old_hash in batch]


def apply_since(connection: Connection, moment: datetime) -> None:
    """Write the addresses confirmed since a moment again: an import that began then may have replaced one unseen.

    Also those of shortly before, which may have waited to be committed.
    """
    c = CHANGE.c
    rows = select(c.customer_id, c.old_hash, c.new_email, c.new_hash).where(c.confirmed_at >= moment - MAX_WAIT)
    for customer_id, old_hash, new_email, new_hash in connection.execute(rows.order_by(c.id)).all():
        replaced = CUSTOMER.update().where(CUSTOMER.c.id == customer_id, CUSTOMER.c.address_hash == old_hash)
        connection.execute(replaced.values(email=new_email, address_hash=new_hash))


def delete_old(connection: Connection, at: datetime) -> int:
    """Delete the requests that were not confirmed in time, and return how many."""
    c = CHANGE.c
    return int(connection.execute(CHANGE.delete().where(c.asked_at < at - KEPT, c.confirmed_at.is_(None))).rowcount)


def due_mails(connection: Connection, at: datetime) -> list[DueMail]:
    """Return the mails of changes that are due, oldest first, at most BATCH_SIZE.

    No link goes to an address that was suppressed since the request.
    """
    c = CHANGE.c
    link = and_(c.link == MailState.asked, c.asked_at > at - VALID, c.confirmed_at.is_(None))
    link = and_(link, ~suppression.is_suppressed(c.new_hash))
    notice = and_(c.notice == MailState.asked, c.confirmed_at > at - KEPT)
    rows = connection.execute(
        select(c.id, c.notice, RUN.c.definition, c.old_email, c.new_email, c.language)
        .join(RUN, RUN.c.id == c.run_id)
        .where(or_(link, notice), c.due_at <= at)
        .order_by(c.due_at, c.id)
        .limit(BATCH_SIZE)
    )
    return [
        DueMail(row[0], ChangeMail.notice if row[1] == MailState.asked else ChangeMail.link, *row[2:]) for row in rows
    ]


def move_mail(connection: Connection, mail: DueMail, before: MailState, after: MailState, at: datetime) -> bool:
    """Move a mail of a change to its next state (see `requested_mails.move_mail`)."""
    return requested_mails.move_mail(connection, CHANGE, mail.id, before, after, at, column=mail.kind.value)
