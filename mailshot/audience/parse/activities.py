"""Parses conditions on activities: purchases, events, mails, interactions, referrals.

An activity is filtered by its own fields, its product and a window, then counted.
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
from mailshot.profile.activity import MEASURES, ActivityKind

#: A hundred years.
MAX_DAYS = 36_500
UNTRACKED = "untracked"
#: Aggregates that are never negative. Amounts and items may be less than 0, because of returns.
_NEVER_NEGATIVE = ("times", "distinct_products")
_KNOWN, _NEGATIVE = "is always known", "is never less than 0"
_REMEDIES = {_KNOWN: "Compare it with a number.", _NEGATIVE: "Write 0 or more."}


def read_activity(
    node: Node, history: ActivityKind, vocabulary: Vocabulary, problems: Problems, never: bool
) -> Condition | None:
    """Read the value of `bought:`, `never_opened:` and so on; None after an error."""
    if not isinstance(node, documents.Mapping):
        remedy = f"For example {history.condition}; {{}} for any at all."
        problems.add(node, "expected fields, a window or a measure", remedy)
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
            self._reject_unknown(own)
        fields = self._fields()
        window = windows.read_window(self.node, self.problems)
        measures = tuple(filter(None, (self._measure(*entry) for entry in self.node if entry[0].text in MEASURES)))
        if never and measures:
            remedy = f"Use '{self.history.keyword}' with 'times: {{at_most: …}}'."
            self.problems.add(self.node, f"'{self.history.negated}' takes no measure", remedy)
        answer = self.node.get(UNTRACKED) if self.history.tracked else None
        untracked = bool(yaml_values.read_value(answer, FactType.boolean, self.problems)) if answer else False
        if len(self.problems.found) > before or products is None:
            return None
        condition = ActivityCondition(self.node.line, self.history, fields, products, window, measures, untracked)
        return Not(self.node.line, condition) if never else condition

    def _products(self, own: set[str]) -> ProductFilter | None:
        """Read the words that are not the activity's own: they are fields of the product."""
        if not self.history.of_products:
            return EVERYTHING
        entries = tuple(entry for entry in self.node if entry[0].text not in own)
        if not entries:
            return EVERYTHING
        node = replace(self.node, entries=entries)
        return product_filters.read_product_filter(node, self.vocabulary.products, self.problems, also=own)

    def _reject_unknown(self, own: set[str]) -> None:
        for key, _ in self.node:
            if key.text not in own:
                message = f"unknown word '{key.text}' for '{self.history.keyword}'"
                self.problems.unknown(key, message, key.text, own - {*MEASURES} | {*self.history.measures})

    def _fields(self) -> tuple[tuple[Fact, Comparison], ...]:
        fields = []
        for key, node in self.node:
            if fact := self.known.get(key.text):
                comparison = yaml_values.read_fact_comparison(node, fact, self.problems)
                fields += [(fact, comparison)] if comparison else []
        if self.history.declared == "events":
            self._check_event_facts({fact.name: comparison for fact, comparison in fields})
        for name, value in self.history.defaults.items():
            if name not in {key.text for key, _ in self.node}:
                fields.append((self.known[name], Comparison("is", (value,))))
        return tuple(fields)

    def _check_event_facts(self, fields: Mapping[str, Comparison]) -> None:
        """Reject facts that none of the named events has."""
        known = self.vocabulary.catalogue.events
        events = [known[name] for name in _exactly(fields.get("event")) if name in known] or list(known.values())
        for name in sorted(fields.keys() - {"event"}):
            if not any(name in event.facts for event in events):
                key = next(key for key, _ in self.node if key.text == name)
                facts = {fact for event in events for fact in event.facts}
                names = " and ".join(f"'{event.name}'" for event in events)
                self.problems.unknown(key, f"{names} has no fact '{name}'", name, facts)

    def _measure(self, key: Scalar, node: Node) -> Aggregate | None:
        if key.text not in self.history.measures:
            known = ", ".join(self.history.measures)
            self.problems.add(key, f"'{self.history.keyword}' has no '{key.text}'", f"It has: {known}.")
            return None
        comparison = yaml_values.read_comparison(node, FactType.number, self.problems, most=yaml_values.MAX_COUNTS)
        error = _error(key.text, comparison) if comparison else None
        if error:
            self.problems.add(node, error, _REMEDIES.get(error.rpartition("' ")[2], ""))
        return Aggregate(key.text, comparison) if comparison and not error else None


def _exactly(comparison: Comparison | None) -> tuple[str, ...]:
    """Return the texts that satisfy a comparison, if it names them."""
    values = comparison.values if comparison and comparison.operator in ("is", "one_of") else ()
    return tuple(str(value) for value in values)


def _error(name: str, comparison: Comparison) -> str | None:
    numbers = [value for value in comparison.values if isinstance(value, Decimal)]
    if len(numbers) < len(comparison.values):
        return f"'{name}' {_KNOWN}"
    if name in _NEVER_NEGATIVE and any(number < 0 for number in numbers):
        return f"'{name}' {_NEGATIVE}"
    if not name.startswith("days_"):
        return None
    if any(number != int(number) for number in numbers):
        return f"'{name}' counts whole days"
    if any(not 0 <= number <= MAX_DAYS for number in numbers):
        return f"'{name}' counts from 0 to {MAX_DAYS:,} days"
    return None
