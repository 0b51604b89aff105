"""Owns finding which product values a rule names, so that they can be held against the catalogue; refuses to look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mailshot.audience import nodes
from mailshot.audience.nodes import Condition
from mailshot.profile.catalogue import Fact, FactType
from mailshot.profile.products import Selection


@dataclass(frozen=True, slots=True)
class Mention:
    """A rule says that a product field is exactly `value`."""

    fact: Fact
    value: str


def of_rule(condition: Condition) -> Iterator[Mention]:
    """Give every product value that a condition names, groups and exceptions included."""
    if isinstance(condition, nodes.Happened):
        yield from of_products(condition.products)
    # An audience that is named has its own file, which tells its own mistakes.
    for part in () if isinstance(condition, nodes.Member) else condition.inner:
        yield from of_rule(part)


def of_products(selection: Selection) -> Iterator[Mention]:
    """Give every product value that a selection names."""
    for one in selection.filters:
        for fact, comparison in one.fields:
            if fact.type is FactType.text and comparison.operator in ("is", "one_of"):
                yield from (Mention(fact, str(value)) for value in comparison.values)
        for group in one.groups:
            yield from of_products(group.selection)
        if one.exceptions is not None:
            yield from of_products(one.exceptions)
