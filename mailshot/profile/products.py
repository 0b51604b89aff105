"""Owns which products a rule, guard, trait or offer means; refuses to look any product up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailshot.profile.catalogue import Fact
from mailshot.profile.comparison import Comparison


@dataclass(frozen=True, slots=True)
class Filter:
    """Every field must fit, the product belongs to every named group, and to nothing of `exceptions`."""

    fields: tuple[tuple[Fact, Comparison], ...] = ()
    groups: tuple[Group, ...] = ()
    exceptions: ProductFilter | None = None

    def matches(self, product: Mapping[str, Any]) -> bool:
        fits = all(comparison.holds(fact.typed(product.get(fact.name))) for fact, comparison in self.fields)
        belongs = all(group.selection.matches(product) for group in self.groups)
        return fits and belongs and not (self.exceptions and self.exceptions.matches(product))

    @property
    def size(self) -> int:
        """How many comparisons it comes to, with those of its groups and exceptions."""
        return sum(comparison.size for _, comparison in self.fields) + sum(inner.size for inner in self._inner)

    @property
    def depth(self) -> int:
        return 1 + max((inner.depth for inner in self._inner), default=0)

    @property
    def _inner(self) -> list[ProductFilter]:
        return [group.selection for group in self.groups] + ([self.exceptions] if self.exceptions else [])

    def words(self) -> str:
        said = [group.name for group in self.groups]
        said += [f"{fact.name} {comparison.words()}" for fact, comparison in self.fields]
        unless = f" except {self.exceptions.words()}" if self.exceptions else ""
        return " and ".join(said) + unless


@dataclass(frozen=True, slots=True)
class ProductFilter:
    """A product belongs when any of the filters matches; no filter at all means every product."""

    filters: tuple[Filter, ...] = ()

    @property
    def size(self) -> int:
        """How many comparisons it comes to."""
        return sum(one.size for one in self.filters)

    @property
    def depth(self) -> int:
        """How deep groups and exceptions lie within each other."""
        return max((one.depth for one in self.filters), default=0)

    def matches(self, product: Mapping[str, Any]) -> bool:
        """Say whether a product, given as a mapping of fact names to values, belongs."""
        return not self.filters or any(one.matches(product) for one in self.filters)

    def words(self) -> str:
        return " or ".join(one.words() for one in self.filters) or "any product"


@dataclass(frozen=True, slots=True)
class Group:
    """A selection with a name, so that rules, guards and traits mean the same by 'meat'."""

    name: str
    selection: ProductFilter


EVERYTHING = ProductFilter()
