"""The rows of preferences that customers stated, and of traits that were inferred about them.

Both are only read here: `answers` writes preferences, an import or `mailshot traits` the traits.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from mailshot.audience.compile import in_list
from mailshot.profile.customer import TraitValue
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


def inferred_traits(connection: Connection, customer_id: int) -> list[StoredTrait]:
    """Return what was inferred about a customer, the most confident first."""
    c = TRAIT.c
    rows = connection.execute(
        select(c.name, c.value, c.confidence, c.evidence)
        .where(c.customer_id == customer_id)
        .order_by(c.confidence.desc(), c.name, c.value)
    )
    return [StoredTrait(*row) for row in rows]
