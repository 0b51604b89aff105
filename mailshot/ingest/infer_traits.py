"""Infers every trait of every customer, and stores what was inferred."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from mailshot.facts.catalogue import Fact
from mailshot.profile import traits
from mailshot.profile.traits import InferredTrait, TraitDefinition
from mailshot.store import traits as store_traits
from mailshot.store.engine import Connection, Store


def infer(
    store: Store, definitions: Sequence[TraitDefinition], facts: Mapping[str, Fact], as_of: datetime, zone: ZoneInfo
) -> dict[str, int]:
    """Infer all traits as of a date, replacing the previous ones; return the number of conclusions per trait."""
    with store.write() as connection:
        return {
            trait.name: store_traits.replace(
                connection, trait.name, _concluded(connection, trait, facts, as_of, zone), as_of
            )
            for trait in definitions
        }


def _concluded(
    connection: Connection, trait: TraitDefinition, facts: Mapping[str, Fact], as_of: datetime, zone: ZoneInfo
) -> Iterator[InferredTrait]:
    window = trait.window.bounds(as_of, zone)
    for never in trait.nevers:
        yield from traits.abstentions(
            trait, never, store_traits.count_trait_lines(connection, trait.among, never.products, window, as_of)
        )
    if trait.each:
        for value, counts in store_traits.count_trait_lines_by(
            connection, trait.among, facts[trait.each], window, as_of
        ).items():
            yield from traits.favourites(trait, value, counts)
