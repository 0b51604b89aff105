"""Owns holding the words of rules against what is kept; refuses to call them errors: products come and go.

A name that nothing has is silent otherwise: `never_received: {campaign: sprnig}` is true of everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mailshot.audience import mentions
from mailshot.audience.mentions import CUSTOMER, PRODUCT, LiteralUse
from mailshot.campaign.rulebook import Rulebook
from mailshot.errors import nearest
from mailshot.store import spellings
from mailshot.store.engine import Connection


def unknown_values(connection: Connection, rulebook: Rulebook) -> list[str]:
    """Return a warning for each value that rules name and nothing has; none of what is not imported yet."""
    found: dict[str, None] = {}
    for where, mention in _mentions(rulebook):
        expected = _expected(rulebook, mention)
        # What a campaign's contents are called stands in its file, and may be new.
        if mention.fact.name == "content" or mention.value in expected or spellings.kept(connection, mention):
            continue
        if known := sorted({*expected, *spellings.usual(connection, mention)}):
            place = f"{where}:{mention.line}" if mention.line else where
            whose = mention.of if mention.of in (PRODUCT, CUSTOMER) else f"'{mention.of}'"
            told = f"{place}: no {whose} has the {mention.fact.name} '{mention.value}'."
            found[f"{told} {nearest(mention.value, known)}"] = None
    return list(found)


def _expected(rulebook: Rulebook, mention: LiteralUse) -> set[str]:
    """Return what a value may be before anything of the kind has happened."""
    known = {"campaign": rulebook.campaigns, "topic": rulebook.topics.by_name}
    return set(known.get(mention.fact.name, ())) if mention.of != PRODUCT and not mention.fact.own else set()


def _mentions(rulebook: Rulebook) -> Iterator[tuple[str, LiteralUse]]:
    for audience in rulebook.audiences():
        yield from _at(audience.file, mentions.of_rule(audience.condition))
    for guard in rulebook.guards:
        yield from _at("rules/guards.yaml", mentions.of_rule(guard.customers))
    for name, selection in rulebook.groups.items():
        yield from _at(f"rules/products.yaml, {name}", mentions.of_products(selection))
    for name in rulebook.campaigns:
        read = rulebook.campaign(name)
        for condition in read.when.values():
            yield from _at(read.file, mentions.of_rule(condition))
        for selection in (*read.offered.values(), *read.about.values(), read.goal):
            yield from _at(read.file, mentions.of_products(selection))


def _at(where: str, found: Iterable[LiteralUse]) -> Iterator[tuple[str, LiteralUse]]:
    return ((where, mention) for mention in found)
