"""Guards: rules that apply to every campaign (`rules/guards.yaml`).

- guard: no meat to vegetarians
  why: A household that eats no meat is never sent a meat offer.
  customers: {trait: {diet: vegetarian, confidence: 0.5}}
  never: {group: meat}
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from mailshot import documents
from mailshot.audience.evaluate import Evaluator, Verdict
from mailshot.audience.nodes import Condition
from mailshot.audience.registry import AudienceRegistry
from mailshot.documents import Document, Node, Problems, Sequence
from mailshot.facts import product_filters
from mailshot.facts.product_filters import ProductFilter

KEYS = ("guard", "why", "customers", "never")


@dataclass(frozen=True, slots=True)
class Guard:
    """`customers` are never mailed about, nor offered, the products of `never`."""

    name: str
    why: str
    customers: Condition
    never: ProductFilter


def guard_verdicts(
    guards: Iterable[Guard], judge: Evaluator, answers: Collection[tuple[str, str]]
) -> dict[str, Verdict]:
    """Return by guard whether it applies to a customer; `answers` of other customers at the same address count, too.

    Those answers can only make a guard apply (see store.audiences, which computes the same in SQL).
    """
    profile = judge.profile
    stated = {**profile.preferences, **dict.fromkeys(answers, True)}
    together = replace(judge, profile=replace(profile, preferences=stated))
    by_name = {}
    for guard in guards:
        own = judge.verdict(guard.customers)
        alike = own.holds or stated == profile.preferences
        by_name[guard.name] = own if alike else together.verdict(guard.customers)
    return by_name


def read(document: Document | None, book: AudienceRegistry) -> tuple[Guard, ...]:
    """Read all guards. Raises InvalidInput with every problem."""
    if document is None:
        return ()
    problems = document.problems()
    if not isinstance(document.root, Sequence):
        problems.add(document.root, "expected a list of guards", "Start each with '- guard: <name>'.")
        problems.raise_if_any()
    assert isinstance(document.root, Sequence)
    guards = [_guard(node, book, problems) for node in document.root.items]
    problems.raise_if_any()
    return tuple(guard for guard in guards if guard)


def _guard(node: Node, book: AudienceRegistry, problems: Problems) -> Guard | None:
    if not isinstance(node, documents.Mapping):
        problems.add(node, "expected a guard", "For example '- guard: no meat to vegetarians'.")
        return None
    for key, _ in node:
        if key.text not in KEYS:
            problems.unknown(key, f"unknown word '{key.text}'", key.text, KEYS)
    name, why, customers, never = (node.get(key) for key in KEYS)
    if not isinstance(name, documents.Scalar) or customers is None or never is None:
        problems.add(node, "a guard needs 'guard', 'customers' and 'never'")
        return None
    condition = book.condition(customers, problems, name.text)
    products = product_filters.read_product_filter(never, book.vocabulary.products, problems)
    reason = why.text if isinstance(why, documents.Scalar) else ""
    return Guard(name.text, reason, condition, products) if condition and products else None
