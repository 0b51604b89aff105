"""Owns finding which words a rule takes for granted, so that they can be held against what is kept; refuses to look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailshot.audience import nodes
from mailshot.audience.nodes import Condition
from mailshot.profile.catalogue import Fact, FactType
from mailshot.profile.comparison import Comparison
from mailshot.profile.products import ProductFilter

PRODUCT, CUSTOMER = "product", "customer"


@dataclass(frozen=True, slots=True)
class LiteralUse:
    """A rule says in `line` (0: not known) that a text of a product, a customer or a history is exactly `value`."""

    of: str
    fact: Fact
    value: str
    line: int = 0


def of_rule(condition: Condition) -> Iterator[LiteralUse]:
    """Give every text that a condition names; groups of products and other audiences tell their own."""
    if isinstance(condition, nodes.FactIs):
        yield from _texts(CUSTOMER, [(condition.fact, condition.comparison)], condition.line)
    if isinstance(condition, nodes.ActivityCondition):
        yield from _texts(condition.history.keyword, condition.fields, condition.line)
        yield from of_products(condition.products, condition.line)
    for part in () if isinstance(condition, nodes.InAudience) else condition.children:
        yield from of_rule(part)


def of_products(selection: ProductFilter, line: int = 0) -> Iterator[LiteralUse]:
    """Give every product value that a selection names itself."""
    for one in selection.filters:
        yield from _texts(PRODUCT, one.fields, line)
        if one.exceptions is not None:
            yield from of_products(one.exceptions, line)


def _texts(of: str, fields: Iterable[tuple[Fact, Comparison]], line: int) -> Iterator[LiteralUse]:
    for fact, comparison in fields:
        # Words from a list that is given have been held against it already.
        if fact.type is FactType.text and not fact.choices and comparison.operator in ("is", "one_of"):
            yield from (LiteralUse(of, fact, str(value), line) for value in comparison.values)
