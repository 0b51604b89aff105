"""Sign-ups: requests of visitors for mail, until they are confirmed by the link in one mail, or deleted after days.

`requested_mails` describes the states of a row. One more is `withheld`: there is no mail, because the address
got one recently or is suppressed; the visitor sees the same page. The proof of a consent is in the log of consent, so
confirmed rows no longer hold the address.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlmodel import Field, SQLModel

from mailshot.profile import address, bucketing
from mailshot.store import dialect, requested_mails, suppression
from mailshot.store.column_types import Instant, Json, RowId
from mailshot.store.dialect import Clause
from mailshot.store.engine import Connection
from mailshot.store.requested_mails import BATCH_SIZE, DAY, MailState
from mailshot.store.tables import Customer

HOUR = timedelta(hours=1)
#: The state of a request that gets no mail.
WITHHELD = "withheld"
#: The lock of every request and confirmation: two at once must neither exceed a limit nor add a customer twice.
LOCK = "sign-up"


class SignUp(SQLModel, table=True):
    """A visitor's request to get mail on some topics."""

    __tablename__ = "sign_up"
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    #: None once it is confirmed, and where no mail is sent.
    email: str | None = None
    address_hash: str = Field(index=True)
    #: Keyed hash of the visitor's network address.
    client_hash: str
    #: BCP 47 tag of the language in which the form was shown.
    language: str
    topics: list[str] = Field(sa_type=Json)
    #: The shop's name of the form.
    form: str
    #: The sender of the mail, with the fields of rules/senders.yaml.
    sender: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    state: str = str(MailState.asked)
    asked_at: datetime = Field(sa_type=Instant, index=True)
    due_at: datetime = Field(sa_type=Instant)
    confirmed_at: datetime | None = Field(default=None, sa_type=Instant)


SIGN_UP, CUSTOMER = dialect.table(SignUp), dialect.table(Customer)


@dataclass(frozen=True, slots=True)
class SignUpLimits:
    """How many sign-ups are accepted, so that the form cannot be used to flood a stranger's inbox."""

    #: Mails to one address in 24 hours, whatever follows a plus sign in its local part.
    mails_per_address: int = 1
    #: Sign-ups from one network address in an hour.
    per_client: int = 20
    #: Mails in an hour, in total.
    mails_per_hour: int = 500


@dataclass(frozen=True, slots=True)
class NewSignUp:
    """What a visitor asked for; `may_mail` is whether the address may get the mail with the link."""

    email: str
    address_hash: str
    client_hash: str
    language: str
    topics: Collection[str]
    form: str
    sender: Mapping[str, Any]
    may_mail: bool


def add(connection: Connection, new: NewSignUp, limits: SignUpLimits, at: datetime) -> bool:
    """Store a sign-up, and return False if the visitor, or all visitors together, signed up too often."""
    dialect.advisory_lock(connection, LOCK)
    c = SIGN_UP.c
    recent, mailed = c.asked_at > at - HOUR, c.state != WITHHELD
    if _count(connection, recent, c.client_hash == new.client_hash) >= limits.per_client:
        return False
    if _count(connection, recent, mailed) >= limits.mails_per_hour:
        return False
    earlier = _count(connection, c.asked_at > at - DAY, mailed, _is_same_mailbox(new))
    gets_mail = new.may_mail and earlier < limits.mails_per_address
    values = {
        "email": new.email if gets_mail else None, "address_hash": new.address_hash, "client_hash": new.client_hash,
        "language": new.language, "topics": sorted(new.topics), "form": new.form, "sender": dict(new.sender),
        "state": str(MailState.asked) if gets_mail else WITHHELD, "asked_at": at, "due_at": at,
    }  # fmt: skip
    connection.execute(SIGN_UP.insert().values(**values))
    return True


def _is_same_mailbox(new: NewSignUp) -> Clause:
    """Return the clause that a sign-up is for the same mailbox, whatever follows a plus sign in its local part.

    Most servers deliver `ada+news@example.com` to `ada@example.com` (RFC 5233), so a flood could use one tag a mail.
    """
    local, _, domain = address.fold_mailbox(new.email).rpartition("@")
    user, email = local.partition("+")[0], func.lower(SIGN_UP.c.email)
    tagged = and_(email.startswith(f"{user}+", autoescape=True), email.endswith(f"@{domain}", autoescape=True))
    return or_(SIGN_UP.c.address_hash == new.address_hash, email == f"{user}@{domain}", tagged)


def _count(connection: Connection, *clauses: Any) -> int:
    return int(connection.scalar(select(func.count()).select_from(SIGN_UP).where(*clauses)) or 0)


def find(connection: Connection, sign_up_id: int, mailbox: int, since: datetime) -> SignUp | None:
    """Return a sign-up that was made since a moment, None when there is none at that mailbox (`mailbox_number`)."""
    row = connection.execute(select(SIGN_UP).where(SIGN_UP.c.id == sign_up_id, SIGN_UP.c.asked_at > since)).first()
    if row is None or mailbox_number(row.address_hash) != mailbox or row.state == WITHHELD:
        return None
    return SignUp(**row._mapping)


def mailbox_number(address_hash: str) -> int:
    """Return the part of an address's hash that a link carries, because ids of deleted rows may be used again."""
    return int(address_hash[:15], 16)


def confirm(connection: Connection, sign_up_id: int, at: datetime) -> bool:
    """Mark a sign-up as confirmed and forget its address; False when it was confirmed before."""
    c = SIGN_UP.c
    unconfirmed = SIGN_UP.update().where(c.id == sign_up_id, c.confirmed_at.is_(None))
    return dialect.changed_one(connection, unconfirmed.values(confirmed_at=at, email=None))


def customers_at(connection: Connection, address_hash: str) -> Sequence[int]:
    """Return the customers with an address."""
    mine = select(CUSTOMER.c.id).where(CUSTOMER.c.address_hash == address_hash).order_by(CUSTOMER.c.id)
    return connection.scalars(mine).all()


def add_customer(connection: Connection, sign_up: SignUp, at: datetime) -> int:
    """Add a customer with the address of a sign-up and return the id.

    The shop's import may later add its own customer with this address: both share the inbox.
    """
    key = f"signup-{secrets.token_hex(8)}"
    values: dict[str, Any] = {
        "key": key, "email": sign_up.email, "address_hash": sign_up.address_hash, "language": sign_up.language,
        "lot": bucketing.bucket(key), "joined_at": at, "facts": {},
    }  # fmt: skip
    added = connection.execute(CUSTOMER.insert().values(**values).returning(CUSTOMER.c.id))
    return int(added.scalar_one())


def due_mails(connection: Connection, at: datetime) -> list[SignUp]:
    """Return the sign-ups whose mail is due, oldest first, at most BATCH_SIZE. A mail is tried for a day.

    Not those whose address was suppressed since the request.
    """
    c = SIGN_UP.c
    due = and_(c.state == MailState.asked, c.email.is_not(None), c.asked_at > at - DAY, c.due_at <= at)
    allowed = ~suppression.is_suppressed(c.address_hash, suppression.ERASED)
    rows = connection.execute(select(SIGN_UP).where(due, allowed).order_by(c.due_at, c.id).limit(BATCH_SIZE))
    return [SignUp(**row._mapping) for row in rows]


def move_mail(connection: Connection, request: SignUp, before: MailState, after: MailState, at: datetime) -> bool:
    """Move the mail of a sign-up to the next state (see `requested_mails.move_mail`)."""
    return requested_mails.move_mail(connection, SIGN_UP, request.id, before, after, at)


def delete_old(connection: Connection, before: datetime) -> int:
    """Delete the sign-ups made before a moment, confirmed or not, and return how many."""
    return int(connection.execute(SIGN_UP.delete().where(SIGN_UP.c.asked_at <= before)).rowcount)


def forget_addresses(connection: Connection, address_hashes: Collection[str]) -> None:
    """Delete the sign-ups at the addresses of an erased customer."""
    connection.execute(SIGN_UP.delete().where(SIGN_UP.c.address_hash.in_(sorted(address_hashes))))
