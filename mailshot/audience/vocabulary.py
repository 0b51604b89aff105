"""Owns the names a rule may use in this shop; refuses to gather them (the rulebook does)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mailshot.facts.catalogue import Catalogue, builtin
from mailshot.facts.product_filters import ProductFilter, ProductNames
from mailshot.profile.implications import NONE, Closure, Implications
from mailshot.profile.lifecycle import DEFAULT, Thresholds


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Facts, product groups, topics, the values each trait and each preference can have, and lifecycle thresholds.

    `implications` says by name which values of a trait or preference follow from which.
    """

    catalogue: Catalogue = field(default_factory=builtin)
    topics: Collection[str] = ()
    traits: Mapping[str, Collection[str]] = field(default_factory=dict)
    preferences: Mapping[str, Collection[str]] = field(default_factory=dict)
    implications: Mapping[str, Implications] = field(default_factory=dict)
    groups: Mapping[str, ProductFilter] = field(default_factory=dict)
    thresholds: Thresholds = DEFAULT

    def closure(self, name: str, value: str) -> Closure:
        """Return a value of a trait or preference with the values that imply it."""
        return self.implications.get(name, NONE).closure(value)

    @property
    def products(self) -> ProductNames:
        """What a choice of products may name."""
        return ProductNames(self.catalogue.product, self.groups)
