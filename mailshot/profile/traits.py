"""Traits: what can be inferred about customers, and with which confidence.

trait: diet
help: What a household never eats, judged by what it never buys.
among: {group: food}              the purchase lines that could have shown it
within: 365 days
values:
  vegetarian: {label: Vegetarian household, never: {group: meat}, prior: 5%}

trait: favourite_department
each: department                  a value for every department
more_than: 1.5                    times the share an ordinary household gives it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from mailshot import documents
from mailshot.documents import Document, Node, Problems
from mailshot.facts import product_filters, yaml_values
from mailshot.facts.catalogue import FactType
from mailshot.facts.periods import Span, Window
from mailshot.facts.product_filters import ProductFilter, ProductNames
from mailshot.stats import beta_binomial

KEYS = ("trait", "help", "among", "within", "values", "each", "label", "more_than")
VALUE_KEYS = ("label", "never", "prior")
LEAST_CONFIDENCE = 0.2


@dataclass(frozen=True, slots=True)
class Abstention:
    """`value` holds for those who never buy `products`; `prior` is the share of such people known from elsewhere."""

    value: str
    label: str
    products: ProductFilter
    prior: float | None


@dataclass(frozen=True, slots=True)
class TraitDefinition:
    """One trait: either values judged by what is never bought, or the values of the product field `each`."""

    name: str
    help: str
    among: ProductFilter
    window: Window
    nevers: tuple[Abstention, ...] = ()
    each: str = ""
    label: str = "{value}"
    more_than: float = 1.5


@dataclass(frozen=True, slots=True)
class TraitCounts:
    """Of `lines` purchase lines that could have shown it, `hits` did."""

    customer_id: int
    lines: int
    hits: int


@dataclass(frozen=True, slots=True)
class InferredTrait:
    customer_id: int
    name: str
    value: str
    confidence: float
    evidence: Mapping[str, Any]


def abstentions(trait: TraitDefinition, never: Abstention, counts: Iterable[TraitCounts]) -> Iterator[InferredTrait]:
    """Conclude who abstains from `never.products`, from the counts of the whole base."""
    seen = list(counts)
    base = beta_binomial.fit((count.lines, count.hits) for count in seen)
    if base is None:
        return
    base = replace(base, abstain=never.prior) if never.prior is not None else base
    for count in seen:
        confidence = base.abstains(count.lines) if not count.hits else 0.0
        if confidence >= LEAST_CONFIDENCE:
            evidence = _evidence(trait, never.label, never.products.words(), count, base)
            yield InferredTrait(count.customer_id, trait.name, never.value, confidence, evidence)


def favourites(trait: TraitDefinition, value: str, counts: Iterable[TraitCounts]) -> Iterator[InferredTrait]:
    """Conclude who gives `value` of the product field far more of the basket than others do."""
    seen = list(counts)
    base = beta_binomial.fit((count.lines, count.hits) for count in seen)
    if base is None:
        return
    for count in seen:
        confidence = base.exceeds(count.lines, count.hits, trait.more_than) if count.hits else 0.0
        if confidence >= 0.5:
            label = trait.label.replace("{value}", value.title())
            yield InferredTrait(
                count.customer_id, trait.name, value, confidence, _evidence(trait, label, value, count, base)
            )


def _evidence(
    trait: TraitDefinition, label: str, what: str, count: TraitCounts, base: beta_binomial.Prior
) -> dict[str, Any]:
    usual = base.mean * count.lines
    among = trait.among.words()
    text = f"{count.hits} {what} lines of {count.lines} {among} lines {trait.window.words()}"
    text += f"; an ordinary customer would have {usual:.0f}"
    if not count.hits:
        text += f", and none only once in {1 / max(base.chance_of_none(count.lines), 1e-9):,.0f} times"
    return {"label": label, "words": text, "hits": count.hits, "lines": count.lines, "usual": round(usual, 1)}


def read(document: Document, products: ProductNames) -> TraitDefinition:
    """Read one file of `rules/traits/`. Raises InvalidInput with every problem in it."""
    problems = document.problems()
    root = document.root
    if not isinstance(root, documents.Mapping):
        problems.add(root, "is not a trait", "Begin with 'trait: <name>'.")
        problems.raise_if_any()
    assert isinstance(root, documents.Mapping)
    _known(root, KEYS, problems)
    name, among = root.get("trait"), root.get("among")
    if not isinstance(name, documents.Scalar) or name.empty:
        problems.add(root, "'trait' is missing", "Name what is inferred, for example 'trait: diet'.")
    span = root.get("within")
    window = Window(yaml_values.read_span(span, problems, "'within'") if span else Span(1, "year"))
    nevers = _nevers(root, products, problems)
    trait = TraitDefinition(
        name=name.text if isinstance(name, documents.Scalar) else "",
        help=_text(root, "help"),
        among=(product_filters.read_product_filter(among, products, problems) if among else None) or ProductFilter(),
        window=window,
        nevers=nevers,
        each=_each(root, products, problems),
        label=_text(root, "label") or "{value}",
        more_than=_times(root, problems),
    )
    problems.raise_if_any()
    return trait


def _nevers(root: documents.Mapping, products: ProductNames, problems: Problems) -> tuple[Abstention, ...]:
    values = root.get("values")
    if values is None:
        if root.get("each") is None:
            problems.add(root, "says neither 'values' nor 'each'", "Name the values, or a product field in 'each'.")
        return ()
    if not isinstance(values, documents.Mapping):
        problems.add(values, "expected the values by name", "For example 'vegetarian: {never: {department: MEAT}}'.")
        return ()
    return tuple(filter(None, (_never(key, node, products, problems) for key, node in values)))


def _never(key: documents.Scalar, node: Node, products: ProductNames, problems: Problems) -> Abstention | None:
    meant = node.get("never") if isinstance(node, documents.Mapping) else None
    if not isinstance(node, documents.Mapping) or meant is None:
        problems.add(
            node, f"'{key.text}' does not say which products are never bought", "Add 'never: {department: …}'."
        )
        return None
    _known(node, VALUE_KEYS, problems)
    prior = node.get("prior")
    share = yaml_values.read_share(prior, problems, "'prior'") if prior else None
    chosen = product_filters.read_product_filter(meant, products, problems)
    label = _text(node, "label") or key.text
    return Abstention(key.text, label, chosen, None if share is None else share / 10_000) if chosen else None


def _each(root: documents.Mapping, products: ProductNames, problems: Problems) -> str:
    node = root.get("each")
    return (yaml_values.read_word(node, products.facts, problems, "product field") or "") if node else ""


def _times(root: documents.Mapping, problems: Problems) -> float:
    node = root.get("more_than")
    value = yaml_values.read_value(node, FactType.number, problems) if node else Decimal("1.5")
    if node and isinstance(value, Decimal) and value <= 0:
        problems.add(node, "'more_than' must be more than 0", "For example 1.5: half as often again.")
    return float(value) if isinstance(value, Decimal) else 1.5


def _known(node: documents.Mapping, keys: tuple[str, ...], problems: Problems) -> None:
    for key, _ in node:
        if key.text not in keys:
            problems.unknown(key, f"unknown word '{key.text}'", key.text, keys)


def _text(node: documents.Mapping, key: str) -> str:
    value = node.get(key)
    return value.text if isinstance(value, documents.Scalar) else ""
