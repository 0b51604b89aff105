"""Owns the rows of consent: the log that only grows and its newest entries; refuses to decide what they allow."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_, select

from mailshot.profile.consent import Entry, newest
from mailshot.profile.topics import TRACKING
from mailshot.store import sql
from mailshot.store.engine import Connection
from mailshot.store.tables import AddressWithdrawal, Consent, ConsentLog, Customer

CONSENT = sql.table(Consent)
LOG = sql.table(ConsentLog)
CUSTOMER, WITHDRAWAL = sql.table(Customer), sql.table(AddressWithdrawal)


def record(
    connection: Connection,
    customer_id: int,
    topic: str,
    given: bool,
    at: datetime,
    source: str,
    proof: Mapping[str, Any] | None = None,
) -> bool:
    """Append one consent to the log and return whether it is now the one that counts.

    Entries may arrive in any order and more than once: `consent` only moves to a newer one, and of two at the same
    moment to the withdrawal. `proof` must hold no personal data, for the log cannot be erased.
    """
    sql.hold(connection, [customer_id], alone=True, inbox=True)
    row = {"customer_id": customer_id, "topic": topic, "given": given, "at": at}
    log = sql.insert(connection, LOG).values(**row, source=source, proof=dict(proof or {}))
    connection.execute(log.on_conflict_do_nothing())
    state = sql.insert(connection, CONSENT).values(**row)
    new, old = state.excluded, CONSENT.c
    newer = or_(old.at < new.at, and_(old.at == new.at, old.given, ~new.given))
    moved = state.on_conflict_do_update(
        index_elements=[old.customer_id, old.topic], set_={"given": new.given, "at": new.at}, where=newer
    )
    return sql.changed(connection, moved)


def tracked(connection: Connection, customer_ids: Collection[int]) -> set[int]:
    """Return those of the customers who consent to opens and clicks being noticed, and nobody at their address refuses.

    An address is one inbox, so a refusal by any of its customers binds all of them.
    """
    given = select(CONSENT.c.customer_id, CONSENT.c.at).where(
        CONSENT.c.customer_id.in_(customer_ids), CONSENT.c.topic == TRACKING, CONSENT.c.given.is_(True)
    )
    mine, theirs, refused = CUSTOMER.alias("mine"), CUSTOMER.alias("theirs"), CONSENT.alias("refused")
    mates = mine.join(theirs, theirs.c.address_hash == mine.c.address_hash)
    mates = mates.join(refused, and_(refused.c.customer_id == theirs.c.id, refused.c.topic == TRACKING))
    by_mates = select(mine.c.id).select_from(mates).where(mine.c.id.in_(customer_ids), refused.c.given.is_(False))
    own = given.subquery()
    address = own.join(mine, mine.c.id == own.c.customer_id)
    address = address.join(WITHDRAWAL, WITHDRAWAL.c.address_hash == mine.c.address_hash)
    newer = and_(WITHDRAWAL.c.topic == TRACKING, WITHDRAWAL.c.at >= own.c.at)
    by_address = select(own.c.customer_id).select_from(address).where(newer)
    return set(connection.scalars(given)) - {*connection.scalars(by_mates), *connection.scalars(by_address)}


def binding(connection: Connection, customer_id: int) -> dict[str, Entry]:
    """Return the entry that counts for each topic, with what was withdrawn at the address by others or for it."""
    found = entries(connection, customer_id)
    address = select(CUSTOMER.c.address_hash).where(CUSTOMER.c.id == customer_id).scalar_subquery()
    for withdrawal in connection.execute(select(WITHDRAWAL).where(WITHDRAWAL.c.address_hash == address)):
        own = found.get(withdrawal.topic)
        if own is None or own.at <= withdrawal.at:
            found[withdrawal.topic] = Entry(False, withdrawal.at)
    for mate, _, topic, at in withdrawals(connection, customer_id):
        if mate != customer_id:
            own = found.get(topic)
            found[topic] = Entry(False, max(at, own.at) if own else at)
    return found


def withdrawals(connection: Connection, customer_id: int) -> list[tuple[int, str, str, datetime]]:
    """Return (customer, key, topic, moment) of each withdrawal by anybody at the customer's address."""
    mine, theirs = CUSTOMER.alias("mine"), CUSTOMER.alias("theirs")
    mates = mine.join(theirs, theirs.c.address_hash == mine.c.address_hash)
    mates = mates.join(CONSENT, CONSENT.c.customer_id == theirs.c.id)
    found = select(theirs.c.id, theirs.c.key, CONSENT.c.topic, CONSENT.c.at).select_from(mates)
    rows = connection.execute(found.where(mine.c.id == customer_id, CONSENT.c.given.is_(False)))
    return [(int(row[0]), row[1], row[2], row[3]) for row in rows]


def entries(connection: Connection, customer_id: int, before: datetime | None = None) -> dict[str, Entry]:
    """Return the entry that counts for each topic the customer ever said something about, or that counted `before`."""
    said: dict[str, list[Entry]] = {}
    for table in (CONSENT, LOG) if before else (CONSENT,):
        mine = select(table.c.topic, table.c.given, table.c.at).where(table.c.customer_id == customer_id)
        for topic, given, at in connection.execute(mine.where(table.c.at < before) if before else mine):
            said.setdefault(topic, []).append(Entry(given, at))
    return {topic: last for topic, found in said.items() if (last := newest(found))}
