"""Parses the examples of a rule file: made-up customers, and whether the rule matches them.

examples:
  - name: three trips for greens
    as_of: 2026-04-01
    customer: {country: NO}
    bought: {group: vegetables, at: [80 days ago, 10 days ago, yesterday]}
    consents: {offers: yes}
    preferences: {diet: {value: vegan, says: no}}
    traits: {diet: {value: vegetarian, confidence: 0.97}}
    matches: yes
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from mailshot import documents
from mailshot.audience import nodes
from mailshot.audience.examples import dates, products
from mailshot.audience.examples.activities import ActivityReader
from mailshot.audience.examples.dates import Today
from mailshot.audience.nodes import Condition
from mailshot.audience.vocabulary import Vocabulary
from mailshot.documents import Document, Node, Problems
from mailshot.errors import nearest
from mailshot.facts import time_zones, yaml_values
from mailshot.facts.catalogue import Fact, FactType
from mailshot.profile import bucketing
from mailshot.profile.activity import KINDS
from mailshot.profile.customer import Profile, TraitValue
from mailshot.profile.topics import TRACKING

Setting = TypeVar("Setting")
EXAMPLES = "examples"
WORDS: dict[str, str] = {
    "name": "what it shows; 'example 1' and so on without it",
    "as_of": "what counts as today: 2026-04-01, 2026-04-01 09:00; without it, the company's today",
    "customer": "facts: '{country: NO, joined_at: 2 years ago}'",
    **{history.keyword: f"a list of {history.help}" for history in KINDS.values()},
    "consents": "topics, and tracking: '{offers: yes, tracking: no}'",
    "preferences": "what was stated: '{diet: vegetarian}', or denied: '{diet: {value: vegan, says: no}}'",
    "traits": "what was inferred: '{diet: {value: vegetarian, confidence: 0.97}}'; confidence 1 by default",
    "share": "no: outside of every random share that the rule names; inside without it",
    "matches": "whether the rule matches this customer: yes or no",
}
HINTS = {history.negated: "An example says what happened; leave out what did not." for history in KINDS.values()}
HINTS |= {"lifecycle": "It follows from what the customer 'bought'.", "audience": "It follows from the rest."}
#: The customer's key, if the example has none.
KEY = "example"
#: Buckets that are tried to find one inside (or outside) all random shares of a rule.
MAX_BUCKETS = 1_000_000


@dataclass(frozen=True, slots=True)
class Example:
    """A customer as of a moment, and whether the rule has to match."""

    name: str
    line: int
    as_of: datetime
    #: The example says `as_of`; otherwise it is the company's today.
    pinned: bool
    profile: Profile
    matches: bool


def read_examples(
    document: Document, vocabulary: Vocabulary, clock: Today, problems: Problems, condition: Condition | None = None
) -> list[Example]:
    """Read the examples of an audience. `condition` is its rule, with the random shares of the customers."""
    node = document.root.get(EXAMPLES) if isinstance(document.root, documents.Mapping) else None
    if node is None:
        return []
    if not isinstance(node, documents.Sequence) or not node.items:
        problems.add(node, "expected a list of examples", "Start each with '- name: …'.")
        return []
    examples: dict[str, Example] = {}
    for number, item in enumerate(node.items, 1):
        if isinstance(item, documents.Mapping):
            example = _Reader(item, vocabulary, clock, problems, condition).example(f"example {number}")
            if example and example.name in examples:
                problems.add(item.get("name") or item, f"there are two examples '{example.name}'", "Rename one.")
            elif example:
                examples[example.name] = example
        else:
            problems.add(item, "expected an example", "For example '- {customer: {country: NO}, matches: yes}'.")
    return list(examples.values())


@dataclass(slots=True)
class _Reader:
    """Reads one example."""

    node: documents.Mapping
    vocabulary: Vocabulary
    clock: Today
    problems: Problems
    condition: Condition | None

    def example(self, unnamed: str) -> Example | None:
        before = len(self.problems.found)
        self._reject_unknown()
        name_node, as_of = self.node.get("name"), self.node.get("as_of")
        name = yaml_values.read_text(name_node, self.problems, "'name'") if name_node else unnamed
        self.clock = dates.pin(as_of, self.clock, self.problems) if as_of else self.clock
        profile = self._profile()
        matches = self._yes("matches")
        if self.node.get("matches") is None:
            remedy = "Say whether the rule matches this customer: yes or no."
            self.problems.add(self.node, "'matches' is missing", remedy)
        if len(self.problems.found) > before or matches is None or name is None:
            return None
        return Example(name, self.node.line, self.clock.today, self.clock.pinned, profile, matches)

    def _profile(self) -> Profile:
        facts = {"key": KEY, **self._facts()}
        known, consents = self.vocabulary, self._consents()
        return Profile(
            id=0,
            lot=self._lot(str(facts["key"])),
            facts=facts,
            histories=ActivityReader(known, self.clock, self.problems).histories(self.node),
            consents=consents,
            tracked=consents.get(TRACKING, False),
            preferences=dict(self._words("preferences", "preference", known.preferences, "says", self._says)),
            traits=dict(self._words("traits", "trait", known.traits, "confidence", self._sure)),
        )

    def _reject_unknown(self) -> None:
        for key, _ in self.node:
            if key.text not in WORDS:
                hint = HINTS.get(key.text) or nearest(key.text, WORDS)
                if key.text in self.vocabulary.catalogue.customer:
                    hint = f"Put facts under 'customer': 'customer: {{{key.text}: …}}'."
                self.problems.add(key, f"unknown word '{key.text}' in an example", hint)

    def _yes(self, word: str) -> bool | None:
        node = self.node.get(word)
        value = yaml_values.read_value(node, FactType.boolean, self.problems) if node else None
        return None if value is None else bool(value)

    def _entries(self, word: str, example: str) -> Iterator[tuple[documents.Scalar, Node]]:
        node = self.node.get(word)
        if isinstance(node, documents.Mapping):
            yield from node
        elif node is not None:
            self.problems.add(node, f"expected names and values under '{word}'", f"For example '{word}: {example}'.")

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        known = self.vocabulary.catalogue.customer
        for key, node in self._entries("customer", "{country: NO}"):
            if name := yaml_values.read_word(key, known, self.problems, "fact"):
                facts[name] = self._fact(known[name], node)
        return {name: value for name, value in facts.items() if value is not None}

    def _fact(self, fact: Fact, node: Node) -> object:
        if fact.type is FactType.date:
            at = dates.read_date_fact(node, self.clock, self.problems)
            return at if at is None or not fact.own else at.astimezone(self.clock.zone).date().isoformat()
        if fact.name == "time_zone":
            return yaml_values.read_word(node, tuple(time_zones.all_zones()), self.problems, "time zone")
        value = yaml_values.read_fact_value(node, fact, self.problems)
        return None if value is None else products.stored_value(fact, value)

    def _consents(self) -> dict[str, bool]:
        consents: dict[str, bool] = {}
        for key, node in self._entries("consents", "{offers: yes}"):
            topic = yaml_values.read_word(key, tuple(self.vocabulary.topics), self.problems, "topic")
            value = yaml_values.read_value(node, FactType.boolean, self.problems)
            consents |= {topic: bool(value)} if topic and value is not None else {}
        return consents

    def _words(
        self,
        word: str,
        what: str,
        known: Mapping[str, Collection[str]],
        extra: str,
        read_extra: Callable[[Node | None], Setting | None],
    ) -> Iterator[tuple[tuple[str, str], Setting]]:
        """Read `{diet: vegan}`, `{diet: {value: vegan, extra: …}}` or a list of these: names, values and extras."""
        for key, node in self._entries(word, "{diet: vegetarian}"):
            name = yaml_values.read_word(key, tuple(known), self.problems, what)
            if name is None:
                continue
            values = known[name]
            for item in node.items if isinstance(node, documents.Sequence) else (node,):
                value = self._value(item, values if isinstance(values, tuple) else tuple(values), key, extra)
                setting = read_extra(item.get(extra) if isinstance(item, documents.Mapping) else None)
                if value and setting is not None:
                    yield (name, value), setting

    def _value(self, node: Node, known: tuple[str, ...], name: documents.Scalar, extra: str) -> str | None:
        value: Node | None = node
        if isinstance(node, documents.Mapping):
            value = node.get("value")
            for key, _ in node:
                yaml_values.read_word(key, ("value", extra), self.problems, "word")
        if value is None:
            self.problems.add(node, "'value' is missing", f"For example '{name.text}: {{value: …, {extra}: …}}'.")
            return None
        return yaml_values.read_word(value, known, self.problems, f"value of {name.text}")

    def _says(self, node: Node | None) -> bool | None:
        value = yaml_values.read_value(node, FactType.boolean, self.problems) if node else True
        return None if value is None else bool(value)

    def _sure(self, node: Node | None) -> TraitValue | None:
        sure = yaml_values.read_confidence(node, self.problems) if node else 1.0
        return None if sure is None else TraitValue(sure)

    def _lot(self, key: str) -> int:
        """Return a random number that is inside (or outside) of every random share that the rule names."""
        inside = self._yes("share") is not False
        shares = _shares(self.condition) if self.condition else frozenset()
        lot = _find_lot(shares, inside, key)
        if lot is None:
            message = f"found no customer {'inside' if inside else 'outside'} of every random share that the rule names"
            remedy = f"Say 'share: {'no' if inside else 'yes'}', or make an audience of each share."
            self.problems.add(self.node, message, remedy)
        return lot or 0


def _shares(condition: Condition) -> frozenset[tuple[str, int]]:
    """Return salt and size of every random share that is neither empty nor all customers."""
    shares = (part for part in nodes.walk_conditions(condition) if isinstance(part, nodes.RandomShare))
    return frozenset((share.salt, share.parts) for share in shares if 0 < share.parts < bucketing.PARTS)


@lru_cache(maxsize=256)
def _find_lot(shares: frozenset[tuple[str, int]], inside: bool, key: str) -> int | None:
    draws = [(bucketing.assigner(salt), parts) for salt, parts in shares]
    own = bucketing.bucket(key)
    candidates = (own, *range(MAX_BUCKETS)) if draws else (own,)
    return next((n for n in candidates if all((draw.part(n) < parts) is inside for draw, parts in draws)), None)
