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
    exceptions: Selection | None = None

    def matches(self, product: Mapping[str, Any]) -> bool:
        fits = all(comparison.holds(product.get(fact.name)) for fact, comparison in self.fields)
        belongs = all(group.selection.matches(product) for group in self.groups)
        return fits and belongs and not (self.exceptions and self.exceptions.matches(product))

    def words(self) -> str:
        said = [group.name for group in self.groups]
        said += [f"{fact.name} {comparison.words()}" for fact, comparison in self.fields]
        unless = f" except {self.exceptions.words()}" if self.exceptions else ""
        return " and ".join(said) + unless


@dataclass(frozen=True, slots=True)
class Selection:
    """A product belongs when any of the filters matches; no filter at all means every product."""

    filters: tuple[Filter, ...] = ()

    def matches(self, product: Mapping[str, Any]) -> bool:
        """Say whether a product, given as a mapping of fact names to values, belongs."""
        return not self.filters or any(one.matches(product) for one in self.filters)

    def words(self) -> str:
        return " or ".join(one.words() for one in self.filters) or "any product"


@dataclass(frozen=True, slots=True)
class Group:
    """A selection with a name, so that rules, guards and traits mean the same by 'meat'."""

    name: str
    selection: Selection
