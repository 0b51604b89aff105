"""Owns reading what a rule says about things that happened: purchases, events, mails, conversations, referrals.

Refuses the other conditions. A happening is filtered by its fields, its product and a window, then counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from mailshot import documents
from mailshot.audience.nodes import ActivityCondition, Aggregate, Condition, Not
from mailshot.audience.parse import windows
from mailshot.audience.vocabulary import Vocabulary
from mailshot.documents import Node, Problems, Scalar
from mailshot.facts import product_filters, yaml_values
from mailshot.facts.catalogue import Fact, FactType
from mailshot.facts.comparison import Comparison
from mailshot.facts.product_filters import EVERYTHING, ProductFilter
from mailshot.profile.activity import DID, MEASURES, ActivityKind

MOST_DAYS = 36_500
UNTRACKED = "untracked"
EXAMPLES = {
    "bought": "{department: PRODUCE, within: 90 days}",
    "returned": "{department: PRODUCE, within: 90 days}",
    "did": "{event: viewed, within: 7 days}",
    "contacted": "{kind: call, within: 2 weeks}",
    "referred": "{within: 1 year}",
    "was_referred": "{within: 1 year}",
}


def read(
    node: Node, history: ActivityKind, vocabulary: Vocabulary, problems: Problems, never: bool
) -> Condition | None:
    """Read what stands under `bought:`, `never_opened:` and so on."""
    if not isinstance(node, documents.Mapping):
        told = "expected fields, a window or a measure"
        example = EXAMPLES.get(history.keyword, "{campaign: spring, within: 90 days}")
        problems.add(node, told, f"For example {example}; {{}} for any at all.")
        return None
    return _Reader(node, history, vocabulary, problems).condition(never)


class _Reader:
    """Reads one mapping of fields, windows and measures."""

    def __init__(
        self, node: documents.Mapping, history: ActivityKind, vocabulary: Vocabulary, problems: Problems
    ) -> None:
        self.node, self.history, self.problems = node, history, problems
        self.vocabulary = vocabulary
        self.known = history.known(vocabulary.catalogue)

    def condition(self, never: bool) -> Condition | None:
        before = len(self.problems.found)
        own = {*windows.WORDS, windows.ZONE, *MEASURES, *self.known, *({UNTRACKED} if self.history.tracked else ())}
        products = self._products(own)
        if not self.history.of_products:
            self._refuse_strangers(own)
        fields = self._fields()
        window = windows.read(self.node, self.problems)
        measures = tuple(filter(None, (self._measure(*entry) for entry in self.node if entry[0].text in MEASURES)))
        if never and measures:
            remedy = f"Use '{self.history.keyword}' with 'times: {{at_most: …}}'."
            self.problems.add(self.node, f"'{self.history.negated}' takes no measure", remedy)
        said = self.node.get(UNTRACKED) if self.history.tracked else None
        untracked = bool(yaml_values.value(said, FactType.boolean, self.problems)) if said else False
        if len(self.problems.found) > before or products is None:
            return None
        found = ActivityCondition(self.node.line, self.history, fields, products, window, measures, untracked)
        return Not(self.node.line, found) if never else found

    def _products(self, own: set[str]) -> ProductFilter | None:
        """Read what is left when the happening's own words are taken away: the product's."""
        if not self.history.of_products:
            return EVERYTHING
        entries = tuple(entry for entry in self.node if entry[0].text not in own)
        if not entries:
            return EVERYTHING
        meant = replace(self.node, entries=entries)
        return product_filters.read(meant, self.vocabulary.products, self.problems, also=own)

    def _refuse_strangers(self, own: set[str]) -> None:
        for key, _ in self.node:
            if key.text not in own:
                told = f"unknown word '{key.text}' for '{self.history.keyword}'"
                self.problems.unknown(key, told, key.text, own - {*MEASURES} | {*self.history.measures})

    def _fields(self) -> tuple[tuple[Fact, Comparison], ...]:
        found = []
        for key, node in self.node:
            if fact := self.known.get(key.text):
                comparison = yaml_values.fact(node, fact, self.problems)
                found += [(fact, comparison)] if comparison else []
        named = {fact.name for fact, _ in found}
        for name, usual in self.history.defaults.items():
            if name not in {key.text for key, _ in self.node}:
                found.append((self.known[name], Comparison("is", (usual,))))
        if self.history is DID:
            self._of_these_events({fact.name: how for fact, how in found}, named)
        return tuple(found)

    def _of_these_events(self, said: Mapping[str, Comparison], named: set[str]) -> None:
        """Refuse a fact that none of the named events carries."""
        events = self.vocabulary.catalogue.events
        about = [events[name] for name in _exactly(said.get("event")) if name in events] or list(events.values())
        for name in sorted(named - {"event"}):
            if not any(name in event.facts for event in about):
                key = next(key for key, _ in self.node if key.text == name)
                carried = {fact for event in about for fact in event.facts}
                told = " and ".join(f"'{event.name}'" for event in about)
                self.problems.unknown(key, f"{told} carries no '{name}'", name, carried)

    def _measure(self, key: Scalar, node: Node) -> Aggregate | None:
        if key.text not in self.history.measures:
            known = ", ".join(self.history.measures)
            self.problems.add(key, f"'{self.history.keyword}' has no '{key.text}'", f"It has: {known}.")
            return None
        found = yaml_values.comparison(node, FactType.number, self.problems, most=yaml_values.MOST_COUNTS)
        fault = _fault(key.text, found) if found else None
        if fault:
            self.problems.add(node, fault, _REMEDIES.get(fault.rpartition("' ")[2], ""))
        return Aggregate(key.text, found) if found and not fault else None


#: What is counted one by one. Amounts and items may be less than 0, by what was returned.
_NEVER_NEGATIVE = ("times", "distinct_products")
_KNOWN, _NEGATIVE = "is always known", "is never less than 0"
_REMEDIES = {_KNOWN: "Compare it with a number.", _NEGATIVE: "Write 0 or more."}


def _exactly(comparison: Comparison | None) -> tuple[str, ...]:
    named = comparison.values if comparison and comparison.operator in ("is", "one_of") else ()
    return tuple(str(value) for value in named)


def _fault(name: str, comparison: Comparison) -> str | None:
    numbers = [given for given in comparison.values if isinstance(given, Decimal)]
    if len(numbers) < len(comparison.values):
        return f"'{name}' {_KNOWN}"
    if name in _NEVER_NEGATIVE and any(given < 0 for given in numbers):
        return f"'{name}' {_NEGATIVE}"
    if not name.startswith("days_"):
        return None
    if any(given != int(given) for given in numbers):
        return f"'{name}' counts whole days"
    if any(not 0 <= given <= MOST_DAYS for given in numbers):
        return f"'{name}' counts from 0 to {MOST_DAYS:,} days"
    return None
