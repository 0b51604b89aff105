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
from mailshot.store.tables import Consent, ConsentLog

CONSENT = sql.table(Consent)
LOG = sql.table(ConsentLog)


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
    sql.hold(connection, [customer_id], alone=True)
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
    """Return those of the customers who consent to opens and clicks being noticed."""
    given = select(CONSENT.c.customer_id).where(
        CONSENT.c.customer_id.in_(customer_ids), CONSENT.c.topic == TRACKING, CONSENT.c.given.is_(True)
    )
    return set(connection.scalars(given))


def entries(connection: Connection, customer_id: int, before: datetime | None = None) -> dict[str, Entry]:
    """Return the entry that counts for each topic the customer ever said something about, or that counted `before`."""
    said: dict[str, list[Entry]] = {}
    for table in (CONSENT, LOG) if before else (CONSENT,):
        mine = select(table.c.topic, table.c.given, table.c.at).where(table.c.customer_id == customer_id)
        for topic, given, at in connection.execute(mine.where(table.c.at < before) if before else mine):
            said.setdefault(topic, []).append(Entry(given, at))
    return {topic: last for topic, found in said.items() if (last := newest(found))}
