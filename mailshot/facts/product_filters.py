"""Product filters of rules, guards, traits and offers, and how they are read from YAML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mailshot import documents
from mailshot.documents import Document, Node, Problems, Sequence
from mailshot.facts import yaml_values
from mailshot.facts.catalogue import Fact
from mailshot.facts.comparison import Comparison

ANY_OF = "any_of"
EXCEPT = "except"
GROUP = "group"
EXAMPLE = "For example {department: PRODUCE}."
MAX_PARTS = 500
MAX_LEVELS = 10


@dataclass(frozen=True, slots=True)
class Filter:
    """Every field must fit, the product belongs to every named group, and to nothing of `exceptions`."""

    fields: tuple[tuple[Fact, Comparison], ...] = ()
    groups: tuple[ProductGroup, ...] = ()
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
        parts = [group.name for group in self.groups]
        parts += [f"{fact.name} {comparison.words()}" for fact, comparison in self.fields]
        unless = f" except {self.exceptions.words()}" if self.exceptions else ""
        return " and ".join(parts) + unless


@dataclass(frozen=True, slots=True)
class ProductFilter:
    """A product belongs when any of the filters matches; no filter at all means every product."""

    filters: tuple[Filter, ...] = ()

    @property
    def size(self) -> int:
        """How many comparisons it comes to."""
        return sum(alternative.size for alternative in self.filters)

    @property
    def depth(self) -> int:
        """How deep groups and exceptions lie within each other."""
        return max((alternative.depth for alternative in self.filters), default=0)

    def matches(self, product: Mapping[str, Any]) -> bool:
        """Say whether a product, given as a mapping of fact names to values, belongs."""
        return not self.filters or any(alternative.matches(product) for alternative in self.filters)

    def words(self) -> str:
        return " or ".join(alternative.words() for alternative in self.filters) or "any product"


@dataclass(frozen=True, slots=True)
class ProductGroup:
    """A selection with a name, so that rules, guards and traits mean the same by 'meat'."""

    name: str
    selection: ProductFilter


EVERYTHING = ProductFilter()


@dataclass(frozen=True, slots=True)
class ProductNames:
    """What a choice of products may name: facts about products, and groups."""

    facts: Mapping[str, Fact]
    groups: Mapping[str, ProductFilter]


def groups(document: Document, facts: Mapping[str, Fact]) -> dict[str, ProductFilter]:
    """Read `rules/products.yaml`: names and what belongs to each; a later group may build on earlier ones."""
    problems = document.problems()
    by_name: dict[str, ProductFilter] = {}
    if not isinstance(document.root, documents.Mapping):
        problems.add(document.root, "expected names of product groups", "For example 'meat: {department: MEAT}'.")
        problems.raise_if_any()
    assert isinstance(document.root, documents.Mapping)
    for key, node in document.root:
        selection = read_product_filter(node, ProductNames(facts, by_name), problems)
        if selection:
            by_name[key.text] = selection
    problems.raise_if_any()
    return by_name


def read_product_filter(
    node: Node, products: ProductNames, problems: Problems, also: Iterable[str] = ()
) -> ProductFilter | None:
    """Read one choice of products; `also` are further words that are known where it stands."""
    if not isinstance(node, documents.Mapping) or not node.entries:
        problems.add(node, "expected product fields", EXAMPLE)
        return None
    product_filter = _selection(node, products, problems, also)
    if product_filter and (product_filter.size > MAX_PARTS or product_filter.depth > MAX_LEVELS):
        message = f"comes to more than {MAX_PARTS} comparisons or {MAX_LEVELS} levels, with the groups it names"
        problems.add(node, f"the choice of products {message}", "Make it simpler.")
        return None
    return product_filter


def _selection(
    node: documents.Mapping, products: ProductNames, problems: Problems, also: Iterable[str]
) -> ProductFilter | None:
    several = node.get(ANY_OF)
    if several is None:
        alternative = _filter(node, products, problems, also)
        return ProductFilter((alternative,)) if alternative else None
    if len(node.entries) > 1 or not isinstance(several, Sequence) or not several.items:
        problems.add(node, f"'{ANY_OF}' stands alone and holds a list of product fields")
        return None
    parts = [read_product_filter(item, products, problems) for item in several.items]
    if None in parts:
        return None
    return ProductFilter(tuple(alternative for part in parts if part for alternative in part.filters))


def _filter(node: documents.Mapping, products: ProductNames, problems: Problems, also: Iterable[str]) -> Filter | None:
    before = len(problems.found)
    fields = []
    named: tuple[ProductGroup, ...] = ()
    exceptions: ProductFilter | None = None
    for key, value in node:
        if key.text == EXCEPT:
            exceptions = read_product_filter(value, products, problems)
        elif key.text == GROUP:
            named = _groups(value, products, problems)
        elif fact := products.facts.get(key.text):
            comparison = yaml_values.read_fact_comparison(value, fact, problems)
            fields += [(fact, comparison)] if comparison else []
        else:
            known = {*products.facts, *also, EXCEPT, GROUP, ANY_OF}
            problems.unknown(key, f"unknown product field '{key.text}'", key.text, known)
    return Filter(tuple(fields), named, exceptions) if len(problems.found) == before else None


def _groups(node: Node, products: ProductNames, problems: Problems) -> tuple[ProductGroup, ...]:
    name = yaml_values.read_word(node, products.groups, problems, "product group")
    return (ProductGroup(name, products.groups[name]),) if name else ()
