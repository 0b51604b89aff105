"""Owns holding the product names of rules against the catalogue; refuses to call them errors (products come and go)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mailshot.audience import mentions
from mailshot.audience.mentions import Mention
from mailshot.campaign.rulebook import Rulebook
from mailshot.errors import nearest
from mailshot.store import products
from mailshot.store.engine import Connection


def strangers(connection: Connection, rulebook: Rulebook) -> list[str]:
    """Return a warning for each product value that rules name and no product has; none while there are no products."""
    found: dict[str, None] = {}
    known: dict[str, dict[str, int]] = {}
    for where, mention in _mentions(rulebook):
        fact = mention.fact
        if fact.name not in known:
            known[fact.name] = products.values(connection, fact)
        if known[fact.name] and mention.value not in known[fact.name]:
            hint = nearest(mention.value, known[fact.name])
            found[f"{where}: no product has the {fact.name} '{mention.value}'. {hint}"] = None
    return list(found)


def _mentions(rulebook: Rulebook) -> Iterator[tuple[str, Mention]]:
    for audience in rulebook.audiences():
        yield from _at(audience.file, mentions.of_rule(audience.condition))
    for name, selection in rulebook.groups.items():
        yield from _at(f"rules/products.yaml, {name}", mentions.of_products(selection))
    for name in rulebook.campaigns:
        read = rulebook.campaign(name)
        for selection in (*read.offered.values(), *read.about.values(), read.goal):
            yield from _at(read.file, mentions.of_products(selection))


def _at(where: str, found: Iterable[Mention]) -> Iterator[tuple[str, Mention]]:
    return ((where, mention) for mention in found)
