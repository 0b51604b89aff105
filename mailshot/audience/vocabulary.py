"""The names that a rule may use in one shop. The rulebook collects them from its files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mailshot.facts.catalogue import Catalogue, builtin
from mailshot.facts.product_filters import ProductFilter, ProductNames
from mailshot.profile.implications import NONE, Closure, Implications
from mailshot.profile.lifecycle import DEFAULT, Thresholds


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All that a parser has to know besides the rule itself."""

    #: Facts of customers, products, events and interactions.
    catalogue: Catalogue = field(default_factory=builtin)
    topics: Collection[str] = ()
    #: The values of each trait and preference, by its name.
    traits: Mapping[str, Collection[str]] = field(default_factory=dict)
    preferences: Mapping[str, Collection[str]] = field(default_factory=dict)
    #: Which values of a trait or preference follow from which, by its name.
    implications: Mapping[str, Implications] = field(default_factory=dict)
    #: Product groups by name.
    groups: Mapping[str, ProductFilter] = field(default_factory=dict)
    thresholds: Thresholds = DEFAULT

    def closure(self, name: str, value: str) -> Closure:
        """Return a value of a trait or preference, with the values that imply it and those that it implies."""
        return self.implications.get(name, NONE).closure(value)

    @property
    def products(self) -> ProductNames:
        """The names that a product filter may use."""
        return ProductNames(self.catalogue.product, self.groups)
