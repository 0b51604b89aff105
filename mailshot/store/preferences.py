"""The rows of preferences that customers stated, and of traits that were inferred about them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from mailshot.audience.compile import in_list
from mailshot.profile.customer import TraitValue
from mailshot.profile.preferences import StatedPreference
from mailshot.store import dialect
from mailshot.store.engine import Connection
from mailshot.store.tables import Preference, Trait

PREFERENCE = dialect.table(Preference)
TRAIT = dialect.table(Trait)


@dataclass(frozen=True, slots=True)
class StoredTrait:
    """A trait as stored: confidence from 0 to 1, and the evidence by name."""

    name: str
    value: str
    confidence: float
    evidence: dict[str, Any]


def stated_answers(connection: Connection, customer_id: int) -> dict[tuple[str, str], bool]:
    """Return what the customer stated: (name, value) and whether it holds."""
    return stated_answers_of(connection, [customer_id])[customer_id]


def stated_answers_of(connection: Connection, customer_ids: Collection[int]) -> dict[int, dict[tuple[str, str], bool]]:
    """Return the same for many customers by id; for one who stated nothing it is empty."""
    c = PREFERENCE.c
    stated: dict[int, dict[tuple[str, str], bool]] = {customer_id: {} for customer_id in customer_ids}
    rows = connection.execute(
        select(c.customer_id, c.name, c.value, c.holds).where(in_list(c.customer_id, customer_ids))
    )
    for customer_id, name, value, holds in rows:
        stated[customer_id][name, value] = holds
    return stated


def trait_values_of(
    connection: Connection, customer_ids: Collection[int]
) -> dict[int, dict[tuple[str, str], TraitValue]]:
    """Return the confidence of each trait of many customers by id; without evidence."""
    c = TRAIT.c
    traits: dict[int, dict[tuple[str, str], TraitValue]] = {customer_id: {} for customer_id in customer_ids}
    rows = connection.execute(
        select(c.customer_id, c.name, c.value, c.confidence).where(in_list(c.customer_id, customer_ids))
    )
    for customer_id, name, value, confidence in rows:
        traits[customer_id][name, value] = TraitValue(confidence)
    return traits


def state(connection: Connection, customer_id: int, statement: StatedPreference, source: str, at: datetime) -> bool:
    """Store one statement, and return whether it counts: one that is older than the stored one does not."""
    values = {"holds": statement.holds, "source": source, "at": at}
    row = dialect.dialect_insert(connection, PREFERENCE).values(
        customer_id=customer_id, name=statement.name, value=statement.value, **values
    )
    c = PREFERENCE.c
    kept = row.on_conflict_do_update(
        index_elements=[c.customer_id, c.name, c.value], set_=values, where=c.at <= row.excluded.at
    )
    return dialect.changed_one(connection, kept)


def unsay(connection: Connection, customer_id: int, name: str, value: str) -> bool:
    """Delete one statement, and return whether there was one."""
    c = PREFERENCE.c
    gone = PREFERENCE.delete().where(c.customer_id == customer_id, c.name == name, c.value == value)
    return dialect.changed_one(connection, gone)


def inferred_traits(connection: Connection, customer_id: int) -> list[StoredTrait]:
    """Return what was inferred about a customer, the most confident first."""
    c = TRAIT.c
    rows = connection.execute(
        select(c.name, c.value, c.confidence, c.evidence)
        .where(c.customer_id == customer_id)
        .order_by(c.confidence.desc(), c.name, c.value)
    )
    return [StoredTrait(*row) for row in rows]
