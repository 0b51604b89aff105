"""The rows of consent: an append-only log, and the entry that counts for each customer and topic."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, exists, literal, or_, select

from mailshot.audience.compile import in_list, sources
from mailshot.profile.topics import ConsentEntry, newest_entry
from mailshot.store import dialect
from mailshot.store.audiences import SCHEMA
from mailshot.store.column_types import Instant
from mailshot.store.engine import Connection
from mailshot.store.tables import AddressWithdrawal, Consent, ConsentLog, Customer

CONSENT = dialect.table(Consent)
LOG = dialect.table(ConsentLog)
CUSTOMER, WITHDRAWAL = dialect.table(Customer), dialect.table(AddressWithdrawal)


def record_consent(
    connection: Connection,
    customer_id: int,
    topic: str,
    given: bool,
    at: datetime,
    source: str,
    proof: Mapping[str, Any] | None = None,
) -> bool:
    """Append one consent to the log, and return whether it is now the one that counts.

    Entries may arrive in any order and more than once: a newer one counts, and of two at the same moment the
    withdrawal. `proof` must contain no personal data, because the log is not erased.
    """
    dialect.lock_customers(connection, [customer_id], alone=True, inbox=True)
    row = {"customer_id": customer_id, "topic": topic, "given": given, "at": at}
    log = dialect.dialect_insert(connection, LOG).values(**row, source=source, proof=dict(proof or {}))
    connection.execute(log.on_conflict_do_nothing())
    state = dialect.dialect_insert(connection, CONSENT).values(**row)
    new, old = state.excluded, CONSENT.c
    newer = or_(old.at < new.at, and_(old.at == new.at, old.given, ~new.given))
    moved = state.on_conflict_do_update(
        index_elements=[old.customer_id, old.topic], set_={"given": new.given, "at": new.at}, where=newer
    )
    return dialect.changed_one(connection, moved)


def was_given_after(
    connection: Connection, customer_id: int, topic: str, at: datetime, sources: Collection[str]
) -> bool:
    """Return whether a customer consented to a topic after a moment, from one of these sources."""
    c = LOG.c
    mine = and_(c.customer_id == customer_id, c.topic == topic, c.given, c.at > at, c.source.in_(sources))
    return connection.execute(select(c.at).where(mine).limit(1)).first() is not None


def keep_for_address(connection: Connection, customer_ids: Sequence[int], at: datetime, source: str) -> None:
    """Store the withdrawals of customers for the address that each of them gives up `at` a moment.

    They still apply to the other customers of that inbox.
    """
    withdrawn = (
        select(CUSTOMER.c.address_hash, CONSENT.c.topic, literal(at, Instant()), literal(source))
        .join(CONSENT, CONSENT.c.customer_id == CUSTOMER.c.id)
        .where(CUSTOMER.c.id.in_(customer_ids), CUSTOMER.c.address_hash.is_not(None), CONSENT.c.given.is_(False))
        .distinct()
    )
    columns = ["address_hash", "topic", "at", "source"]
    row = dialect.dialect_insert(connection, WITHDRAWAL).from_select(columns, withdrawn)
    key = [WITHDRAWAL.c.address_hash, WITHDRAWAL.c.topic]
    newer = {"at": row.excluded.at, "source": row.excluded.source}
    connection.execute(
        row.on_conflict_do_update(index_elements=key, set_=newer, where=WITHDRAWAL.c.at < row.excluded.at)
    )


def may_track(connection: Connection, customer_ids: Collection[int]) -> set[int]:
    """Return the customers whose opens and clicks may be recorded: no customer of their inbox refuses tracking."""
    return set(connection.scalars(sources.tracked_customers(SCHEMA, None, customer_ids)))


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A withdrawal that applies to a customer through the address: by another customer, or for the address itself."""

    topic: str
    at: datetime
    #: Those of the other customer; None for a withdrawal for the address itself.
    customer_id: int | None = None
    key: str | None = None


def address_withdrawals(connection: Connection, customer_id: int, before: datetime | None = None) -> list[Withdrawal]:
    """Return the withdrawals that apply to a customer through the address, made `before` a moment (None: all).

    One for the address itself applies unless the customer consented later.
    """
    own = latest_entries(connection, customer_id, before)
    address = select(CUSTOMER.c.address_hash).where(CUSTOMER.c.id == customer_id).scalar_subquery()
    mates = select(CUSTOMER.c.id, CUSTOMER.c.key).where(CUSTOMER.c.address_hash == address)
    applying = [
        Withdrawal(topic, entry.at, mate.id, mate.key)
        for mate in connection.execute(mates.where(CUSTOMER.c.id != customer_id).order_by(CUSTOMER.c.id)).all()
        for topic, entry in latest_entries(connection, mate.id, before).items()
        if not entry.given
    ]
    named = select(WITHDRAWAL.c.topic, WITHDRAWAL.c.at).where(WITHDRAWAL.c.address_hash == address)
    for topic, at in connection.execute(named.where(WITHDRAWAL.c.at < before) if before else named):
        entry = own.get(topic)
        if entry is None or not (entry.given and entry.at > at):
            applying.append(Withdrawal(topic, at))
    return applying


def binding_entries(connection: Connection, customer_id: int) -> dict[str, ConsentEntry]:
    """Return the entry that counts for each topic, withdrawals through the address included."""
    return binding_entries_of(connection, [customer_id])[customer_id]


def binding_entries_of(connection: Connection, customer_ids: Collection[int]) -> dict[int, dict[str, ConsentEntry]]:
    """Return the same for many customers by id."""
    binding: dict[int, dict[str, ConsentEntry]] = {customer_id: {} for customer_id in customer_ids}
    mine = select(CONSENT.c.customer_id, CONSENT.c.topic, CONSENT.c.given, CONSENT.c.at)
    for customer_id, topic, given, at in connection.execute(mine.where(in_list(CONSENT.c.customer_id, customer_ids))):
        binding[customer_id][topic] = ConsentEntry(given, at)
    applying = [row for select_rows in _WITHDRAWALS for row in connection.execute(select_rows(customer_ids))]
    for customer_id, topic, at in applying:
        own = binding[customer_id].get(topic)
        binding[customer_id][topic] = ConsentEntry(False, max(at, own.at) if own else at)
    return binding


def _mates_withdrawals(customer_ids: Collection[int]) -> Select[Any]:
    """Return the withdrawals by other customers at the address."""
    mate = CUSTOMER.alias()
    same_address = and_(mate.c.address_hash == CUSTOMER.c.address_hash, mate.c.id != CUSTOMER.c.id)
    rows = select(CUSTOMER.c.id, CONSENT.c.topic, CONSENT.c.at).join(mate, same_address)
    return rows.join(CONSENT, CONSENT.c.customer_id == mate.c.id).where(
        in_list(CUSTOMER.c.id, customer_ids), CONSENT.c.given.is_(False)
    )


def _withdrawals_for_address(customer_ids: Collection[int]) -> Select[Any]:
    """Return the withdrawals for the address itself, unless the customer consented later."""
    later = exists().where(
        CONSENT.c.customer_id == CUSTOMER.c.id,
        CONSENT.c.topic == WITHDRAWAL.c.topic,
        CONSENT.c.given.is_(True),
        CONSENT.c.at > WITHDRAWAL.c.at,
    )
    rows = select(CUSTOMER.c.id, WITHDRAWAL.c.topic, WITHDRAWAL.c.at)
    joined = rows.join(WITHDRAWAL, WITHDRAWAL.c.address_hash == CUSTOMER.c.address_hash)
    return joined.where(in_list(CUSTOMER.c.id, customer_ids), ~later)


_WITHDRAWALS = (_mates_withdrawals, _withdrawals_for_address)


def latest_entries(connection: Connection, customer_id: int, before: datetime | None = None) -> dict[str, ConsentEntry]:
    """Return the entry that counts for each topic on which the customer has any, or that counted `before` a moment."""
    by_topic: dict[str, list[ConsentEntry]] = {}
    for table in (CONSENT, LOG) if before else (CONSENT,):
        mine = select(table.c.topic, table.c.given, table.c.at).where(table.c.customer_id == customer_id)
        for topic, given, at in connection.execute(mine.where(table.c.at < before) if before else mine):
            by_topic.setdefault(topic, []).append(ConsentEntry(given, at))
    return {topic: last for topic, log in by_topic.items() if (last := newest_entry(log))}
