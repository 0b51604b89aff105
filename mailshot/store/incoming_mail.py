"""Stores mail that came back, and events of mail providers: the raw message first, then what it was found to say.

A message is stored under the digest of its bytes, an event under the digest of the provider's id, so taking it twice
stores it once. `claim` marks a row as processed in the transaction that applies its effects, and only one process can:
nothing is applied twice, nothing is lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Index, LargeBinary, and_, func, or_, select, union
from sqlmodel import Field, SQLModel

from mailshot import metrics
from mailshot.audience.compile import in_list
from mailshot.incoming import attribution, contents
from mailshot.states import IncomingKind, IncomingSource
from mailshot.store import dialect, engine
from mailshot.store.column_types import Instant, Json, RowId
from mailshot.store.engine import Connection
from mailshot.store.inboxes import FormerAddress
from mailshot.store.tables import Customer, Delivery


class IncomingMail(SQLModel, table=True):
    """One message that came back, or event of a mail provider. What it says is NULL until it is processed."""

    __tablename__ = "incoming_mail"
    __table_args__ = (Index("ix_incoming_mail_customer", "customer_id"), Index("ix_incoming_mail_kind", "kind", "id"))
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    #: Hex SHA-256 of the envelope's recipient and the message, or of the provider and its id of the event.
    digest: str = Field(unique=True)
    #: `states.IncomingSource`: by which way it came.
    source: str
    #: The recipient of the envelope, None where the way it came does not tell it.
    recipient: str | None = None
    #: The message as received, or the event as JSON. None once it is older than `RETENTION`.
    raw: bytes | None = Field(default=None, sa_type=LargeBinary)
    received_at: datetime = Field(sa_type=Instant)
    #: `states.IncomingKind`.
    kind: str | None = None
    #: The mail that it is about; None for a message without a valid token.
    run_id: int | None = Field(default=None, sa_type=BigInteger)
    customer_id: int | None = Field(default=None, sa_type=BigInteger)
    #: What the parser read (see `feedback.incoming_mail`).
    verdict: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    #: What it changed, in words; "" for nothing.
    effect: str = ""
    parser_version: int = 0
    processed_at: datetime | None = Field(default=None, sa_type=Instant, index=True)


INCOMING, CUSTOMER, DELIVERY = dialect.table(IncomingMail), dialect.table(Customer), dialect.table(Delivery)
FORMER = dialect.table(FormerAddress)
C = INCOMING.c


@dataclass(frozen=True, slots=True)
class RawMail:
    """A message as received."""

    raw: bytes
    source: IncomingSource
    #: The envelope's, None where it is not known.
    recipient: str | None
    received_at: datetime

    @property
    def digest(self) -> str:
        return hashlib.sha256((self.recipient or "").lower().encode() + b"\0" + self.raw).hexdigest()


@dataclass(frozen=True, slots=True)
class EarlierReading:
    """What an older parser read in a message, and what followed from it."""

    kind: IncomingKind
    run_id: int | None
    customer_id: int | None
    effect: str


@dataclass(frozen=True, slots=True)
class StoredMail(RawMail):
    """A stored message."""

    id: int
    #: None for a message that has never been processed.
    earlier: EarlierReading | None = None


@dataclass(frozen=True, slots=True)
class Effects:
    """What processing a message found and did."""

    kind: IncomingKind
    verdict: dict[str, Any]
    parser_version: int
    run_id: int | None = None
    customer_id: int | None = None
    effect: str = ""


@dataclass(frozen=True, slots=True)
class IncomingRecord:
    """One row for people to look at."""

    id: int
    source: str
    received_at: datetime
    kind: IncomingKind | None
    run_id: int | None
    #: The customer's key; None for a message without a valid token.
    customer: str | None
    verdict: dict[str, Any]
    effect: str


def store_mail(connection: Connection, mail: RawMail) -> bool:
    """Store a message as received, and return whether it is new."""
    values = {"digest": mail.digest, "source": mail.source.value, "recipient": mail.recipient, "raw": mail.raw}
    row = dialect.dialect_insert(connection, INCOMING).values(
        **values, received_at=mail.received_at, verdict={}, effect="", parser_version=0
    )
    return dialect.changed_one(connection, row.on_conflict_do_nothing(index_elements=[C.digest]))


def store_event(connection: Connection, mail: RawMail, event_id: str) -> StoredMail | None:
    """Store a provider's event as processed, and return it; None when it is known.

    Its effects belong to the same transaction.
    """
    digest = hashlib.sha256(f"{mail.source}:{event_id}".encode("utf-8", "replace")).hexdigest()
    row = dialect.dialect_insert(connection, INCOMING).values(
        digest=digest, source=mail.source.value, raw=mail.raw, received_at=mail.received_at, verdict={}, effect="",
        parser_version=0, processed_at=mail.received_at,
    )  # fmt: skip
    if not dialect.changed_one(connection, row.on_conflict_do_nothing(index_elements=[C.digest])):
        return None
    number = connection.execute(select(C.id).where(C.digest == digest)).scalar_one()
    return StoredMail(mail.raw, mail.source, None, mail.received_at, number)


def waiting(connection: Connection, limit: int) -> list[int]:
    """Return the ids of the oldest messages that wait to be processed."""
    return list(connection.scalars(select(C.id).where(C.processed_at.is_(None)).order_by(C.id).limit(limit)))


def find_waiting(connection: Connection, mail_id: int) -> StoredMail | None:
    """Return a message that waits, None when it does no longer."""
    columns = (C.raw, C.source, C.recipient, C.received_at, C.id, C.kind, C.run_id, C.customer_id, C.effect)
    row = connection.execute(select(*columns).where(C.id == mail_id, C.processed_at.is_(None))).first()
    if row is None:
        return None
    kind = IncomingKind.of(row.kind) if row.kind else None
    earlier = EarlierReading(kind, row.run_id, row.customer_id, row.effect) if kind else None
    return StoredMail(row.raw or b"", IncomingSource.of(row.source), row.recipient, row.received_at, row.id, earlier)


def claim(connection: Connection, mail_id: int, customer_ids: Sequence[int], at: datetime) -> bool:
    """Mark a message as processed; return False if another process did. Its effects belong to the same transaction.

    The customers that it is about are locked first, as an erasure does: two transactions never wait for each other.
    """
    lock_customers(connection, customer_ids)
    mine = INCOMING.update().where(C.id == mail_id, C.processed_at.is_(None))
    return dialect.changed_one(connection, mine.values(processed_at=at))


def lock_customers(connection: Connection, customer_ids: Sequence[int]) -> None:
    """Lock the customers of messages or events that are about to be applied."""
    if customer_ids:
        dialect.lock_customers(connection, customer_ids, alone=True, inbox=True)


def delete(connection: Connection, mail_id: int) -> None:
    """Delete a message and all that was read from it."""
    connection.execute(INCOMING.delete().where(C.id == mail_id))


def record_effects(connection: Connection, mail_id: int, effects: Effects) -> None:
    """Store what a message says and what it changed."""
    connection.execute(
        INCOMING.update().where(C.id == mail_id).values(
            kind=effects.kind.value, run_id=effects.run_id, customer_id=effects.customer_id, verdict=effects.verdict,
            effect=effects.effect, parser_version=effects.parser_version,
        )
    )  # fmt: skip
    engine.after_commit(connection).append(partial(metrics.INCOMING.add, 1, effects.kind.value))


def process_again(connection: Connection, below_version: int) -> int:
    """Let messages that an older parser read be processed again, and return how many; their raw bytes must be there."""
    older = INCOMING.update().where(C.parser_version < below_version, C.raw.is_not(None), C.processed_at.is_not(None))
    return connection.execute(older.values(processed_at=None)).rowcount


def has_old(connection: Connection, before: datetime) -> bool:
    """Return whether `drop_old` would delete anything."""
    old = and_(C.received_at < before, C.processed_at.is_not(None))
    kept = select(C.id).where(old, or_(C.customer_id.is_(None), C.raw.is_not(None)))
    return connection.execute(kept.limit(1)).first() is not None


def drop_old(connection: Connection, before: datetime) -> int:
    """Delete the bytes of processed messages received before a moment, and messages without a token; return how many.

    What was read from the others stays.
    """
    old = and_(C.received_at < before, C.processed_at.is_not(None))
    unmatched = connection.execute(INCOMING.delete().where(old, C.customer_id.is_(None))).rowcount
    return unmatched + connection.execute(INCOMING.update().where(old, C.raw.is_not(None)).values(raw=None)).rowcount


def others_with_effect(connection: Connection, effect: str, address_hash: str, mail_id: int) -> list[IncomingRecord]:
    """Return the other messages with an effect that are about mails to an address, the oldest first.

    Those that wait to be read again are among them: their effect holds until they are.
    """
    now = select(CUSTOMER.c.id).where(CUSTOMER.c.address_hash == address_hash)
    then = select(FORMER.c.customer_id).where(FORMER.c.address_hash == address_hash)
    owners = connection.scalars(union(now, then)).all()
    where = [C.effect == effect, C.id != mail_id, C.customer_id.in_(owners)]
    rows = connection.execute(select(C.id, C.run_id, C.customer_id).where(*where).order_by(C.id)).all()
    ids = [row.id for row in rows if mailed_address(connection, row.run_id, row.customer_id) == address_hash]
    return sorted(_records(connection, [C.id.in_(ids)], len(ids)), key=lambda record: record.id)


def mailed_address(connection: Connection, run_id: int, customer_id: int) -> str | None:
    """Return the hash of the address that a mail went to; None if there was no such mail or no address is left.

    A customer may have got another address since: the mail went to the one that they had at its dot.
    """
    d = DELIVERY.c
    dotted_at = connection.execute(
        select(d.dotted_at).where(d.run_id == run_id, d.customer_id == customer_id)
    ).scalar_one_or_none()
    if dotted_at is None:
        return None
    f = FORMER.c
    held_then = and_(f.customer_id == customer_id, or_(f.since.is_(None), f.since <= dotted_at), f.until > dotted_at)
    former: str | None = connection.scalar(select(f.address_hash).where(held_then).order_by(f.until).limit(1))
    current = select(CUSTOMER.c.address_hash).where(CUSTOMER.c.id == customer_id)
    return former if former is not None else connection.scalar(current)


def has_mail(connection: Connection, run_id: int, customer_id: int) -> bool:
    """Return whether a delivery with these ids exists."""
    d = DELIVERY.c
    row = select(d.run_id).where(d.run_id == run_id, d.customer_id == customer_id)
    return connection.execute(row).first() is not None


def count_kinds(connection: Connection) -> dict[tuple[str, bool], int]:
    """Return the number of messages by kind, and whether they belong to a mail; "" for those that wait."""
    matched = C.customer_id.is_not(None)
    counted = select(C.kind, matched, func.count()).group_by(C.kind, matched)
    return {(str(kind or ""), bool(known)): int(number) for kind, known, number in connection.execute(counted)}


def latest(
    connection: Connection,
    kinds: Sequence[IncomingKind],
    unmatched: bool,
    limit: int,
    customer_id: int | None = None,
) -> list[IncomingRecord]:
    """Return the latest messages of some kinds (none: of all), or only those without a valid token.

    With a `customer_id`, only those about mails to this customer.
    """
    where: list[ColumnElement[bool]] = [C.kind.in_([kind.value for kind in kinds])] if kinds else []
    where += [C.customer_id.is_(None), C.kind.is_not(None)] if unmatched else []
    where += [C.customer_id == customer_id] if customer_id is not None else []
    return _records(connection, where, limit)


def find(connection: Connection, mail_id: int) -> tuple[IncomingRecord, bytes | None] | None:
    """Return one message with its raw bytes, None when there is no such message."""
    records = _records(connection, [C.id == mail_id], 1)
    raw: bytes | None = connection.scalar(select(C.raw).where(C.id == mail_id))
    return (records[0], raw) if records else None


def forget_address(connection: Connection, customer_id: int, address: str) -> None:
    """Delete an erased customer's address wherever it stands in messages.

    Messages without a token are deleted. Those about mails to others lose their bytes, and what was read with the
    address in it; those of customers who share the inbox stay, because the address is theirs as well. A message that
    waits stays if it may be about another customer, who must not lose an unsubscription.
    """
    inbox = set(connection.scalars(dialect.sharing([customer_id])))
    columns = (C.id, C.raw, C.recipient, C.verdict, C.kind, C.customer_id)
    gone, others = [], []
    for row in connection.execute(select(*columns).execution_options(yield_per=20)):
        written = json.dumps([row.recipient, row.verdict], ensure_ascii=False).lower()
        if row.customer_id in inbox or not (address.lower() in written or contents.mentions(row.raw or b"", address)):
            continue
        if row.customer_id is not None:
            others.append((row.id, row.verdict))
        elif row.kind is not None or not attribution.may_have_token(row.raw or b"", row.recipient):
            gone.append(row.id)
    connection.execute(INCOMING.delete().where(in_list(C.id, gone)))
    for mail_id, verdict in others:
        kept = {name: value for name, value in verdict.items() if address.lower() not in str(value).lower()}
        connection.execute(INCOMING.update().where(C.id == mail_id).values(raw=None, recipient=None, verdict=kept))


def _records(connection: Connection, where: Sequence[ColumnElement[bool]], limit: int) -> list[IncomingRecord]:
    columns = (C.id, C.source, C.received_at, C.kind, C.run_id, CUSTOMER.c.key, C.verdict, C.effect)
    rows = select(*columns).select_from(INCOMING.outerjoin(CUSTOMER, CUSTOMER.c.id == C.customer_id))
    return [
        IncomingRecord(row.id, row.source, row.received_at, IncomingKind.of(row.kind) if row.kind else None, row.run_id,
                       row.key, row.verdict, row.effect)
        for row in connection.execute(rows.where(*where).order_by(C.id.desc()).limit(limit))
    ]  # fmt: skip
