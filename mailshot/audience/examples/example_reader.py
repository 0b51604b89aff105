"""Owns reading the examples of a rule file: made-up customers, and whether the rule means them; refuses to judge any.

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
from mailshot.profile.activity import HISTORIES
from mailshot.profile.customer import Profile, TraitValue
from mailshot.profile.topics import TRACKING

Said = TypeVar("Said")
EXAMPLES = "examples"
WORDS = {
    "name": "what it shows; 'example 1' and so on without it",
    "as_of": "what counts as today: 2026-04-01, 2026-04-01 09:00; without it, the company's today",
    "customer": "facts: '{country: NO, joined_at: 2 years ago}'",
    **{history.keyword: f"a list of {history.help}" for history in HISTORIES.values()},
    "consents": "topics, and tracking: '{offers: yes, tracking: no}'",
    "preferences": "what was stated: '{diet: vegetarian}', or denied: '{diet: {value: vegan, says: no}}'",
    "traits": "what was inferred: '{diet: {value: vegetarian, confidence: 0.97}}'; surely, without confidence",
    "share": "no: outside of every random share that the rule names; inside without it",
    "matches": "whether the rule means this customer: yes or no",
}
HINTS = {history.negated: "An example says what happened; leave out what did not." for history in HISTORIES.values()}
HINTS |= {"lifecycle": "It follows from what the customer 'bought'.", "audience": "It follows from the rest."}
KEY = "example"
MOST_LOTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Example:
    """A customer as of a moment, and whether the rule means them; `pinned` says that the moment stays as it is."""

    name: str
    line: int
    as_of: datetime
    pinned: bool
    profile: Profile
    matches: bool


def read(
    document: Document, vocabulary: Vocabulary, clock: Today, problems: Problems, condition: Condition | None = None
) -> list[Example]:
    """Read the examples of an audience; `condition` is its rule, to lay customers into its shares."""
    node = document.root.get(EXAMPLES) if isinstance(document.root, documents.Mapping) else None
    if node is None:
        return []
    if not isinstance(node, documents.Sequence) or not node.items:
        problems.add(node, "expected a list of examples", "Start each with '- name: …'.")
        return []
    found: dict[str, Example] = {}
    for number, item in enumerate(node.items, 1):
        if isinstance(item, documents.Mapping):
            example = _Reader(item, vocabulary, clock, problems, condition).example(f"example {number}")
            if example and example.name in found:
                problems.add(item.get("name") or item, f"the example '{example.name}' is already there", "Rename one.")
            elif example:
                found[example.name] = example
        else:
            problems.add(item, "expected an example", "For example '- {customer: {country: NO}, matches: yes}'.")
    return list(found.values())


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
        self._refuse_strangers()
        name, pinned = self.node.get("name"), self.node.get("as_of")
        said = yaml_values.text(name, self.problems, "'name'") if name else unnamed
        self.clock = dates.pin(pinned, self.clock, self.problems) if pinned else self.clock
        profile = self._profile()
        matches = self._yes("matches")
        if self.node.get("matches") is None:
            self.problems.add(self.node, "'matches' is missing", "Say whether the rule means this customer: yes or no.")
        if len(self.problems.found) > before or matches is None or said is None:
            return None
        return Example(said, self.node.line, self.clock.today, self.clock.pinned, profile, matches)

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

    def _refuse_strangers(self) -> None:
        for key, _ in self.node:
            if key.text not in WORDS:
                hint = HINTS.get(key.text) or nearest(key.text, WORDS)
                if key.text in self.vocabulary.catalogue.customer:
                    hint = f"Facts stand under 'customer': 'customer: {{{key.text}: …}}'."
                self.problems.add(key, f"unknown word '{key.text}' in an example", hint)

    def _yes(self, word: str) -> bool | None:
        given = self.node.get(word)
        found = yaml_values.value(given, FactType.boolean, self.problems) if given else None
        return None if found is None else bool(found)

    def _entries(self, word: str, example: str) -> Iterator[tuple[documents.Scalar, Node]]:
        given = self.node.get(word)
        if isinstance(given, documents.Mapping):
            yield from given
        elif given is not None:
            self.problems.add(given, f"expected names and values under '{word}'", f"For example '{word}: {example}'.")

    def _facts(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        known = self.vocabulary.catalogue.customer
        for key, given in self._entries("customer", "{country: NO}"):
            if name := yaml_values.word(key, known, self.problems, "fact"):
                found[name] = self._fact(known[name], given)
        return {name: value for name, value in found.items() if value is not None}

    def _fact(self, fact: Fact, node: Node) -> object:
        if fact.type is FactType.date:
            at = dates.of_fact(node, self.clock, self.problems)
            return at if at is None or not fact.own else at.astimezone(self.clock.zone).date().isoformat()
        if fact.name == "time_zone":
            return yaml_values.word(node, tuple(time_zones.known()), self.problems, "time zone")
        value = yaml_values.of_fact(node, fact, self.problems)
        return None if value is None else products.kept(fact, value)

    def _consents(self) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for key, given in self._entries("consents", "{offers: yes}"):
            topic = yaml_values.word(key, tuple(self.vocabulary.topics), self.problems, "topic")
            value = yaml_values.value(given, FactType.boolean, self.problems)
            found |= {topic: bool(value)} if topic and value is not None else {}
        return found

    def _words(
        self,
        word: str,
        what: str,
        known: Mapping[str, Collection[str]],
        beside: str,
        said: Callable[[Node | None], Said | None],
    ) -> Iterator[tuple[tuple[str, str], Said]]:
        """Read `{diet: vegan}`, `{diet: {value: vegan, …}}` or a list of these: pairs, and what is said beside each."""
        for key, given in self._entries(word, "{diet: vegetarian}"):
            name = yaml_values.word(key, tuple(known), self.problems, what)
            if name is None:
                continue
            values = known[name]
            for item in given.items if isinstance(given, documents.Sequence) else (given,):
                value = self._value(item, values if isinstance(values, tuple) else tuple(values), key, beside)
                found = said(item.get(beside) if isinstance(item, documents.Mapping) else None)
                if value and found is not None:
                    yield (name, value), found

    def _value(self, node: Node, known: tuple[str, ...], name: documents.Scalar, beside: str) -> str | None:
        given: Node | None = node
        if isinstance(node, documents.Mapping):
            given = node.get("value")
            for key, _ in node:
                yaml_values.word(key, ("value", beside), self.problems, "word")
        if given is None:
            self.problems.add(node, "'value' is missing", f"For example '{name.text}: {{value: …, {beside}: …}}'.")
            return None
        return yaml_values.word(given, known, self.problems, f"value of {name.text}")

    def _says(self, node: Node | None) -> bool | None:
        value = yaml_values.value(node, FactType.boolean, self.problems) if node else True
        return None if value is None else bool(value)

    def _sure(self, node: Node | None) -> TraitValue | None:
        sure = yaml_values.confidence(node, self.problems) if node else 1.0
        return None if sure is None else TraitValue(sure)

    def _lot(self, key: str) -> int:
        """Return a lot that lies inside (or outside) of every random share that the rule names."""
        inside = self._yes("share") is not False
        asked = _shares(self.condition) if self.condition else frozenset()
        found = _drawn(asked, inside, key)
        if found is None:
            told = f"found no customer {'inside' if inside else 'outside'} of every random share that the rule names"
            remedy = f"Say 'share: {'no' if inside else 'yes'}', or make an audience of each share."
            self.problems.add(self.node, told, remedy)
        return found or 0


def _shares(condition: Condition) -> frozenset[tuple[str, int]]:
    """Return salt and size of every random share that lies between nobody and everybody."""
    if isinstance(condition, nodes.RandomShare):
        return frozenset({(condition.salt, condition.parts)}) if 0 < condition.parts < bucketing.PARTS else frozenset()
    return frozenset[tuple[str, int]]().union(*map(_shares, condition.children))


@lru_cache(maxsize=256)
def _drawn(shares: frozenset[tuple[str, int]], inside: bool, key: str) -> int | None:
    draws = [(bucketing.assigner(salt), parts) for salt, parts in shares]
    usual = bucketing.bucket(key)
    tried = (usual, *range(MOST_LOTS)) if draws else (usual,)
    return next((n for n in tried if all((draw.part(n) < parts) is inside for draw, parts in draws)), None)
