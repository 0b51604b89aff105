"""Parses conditions from YAML nodes. Activities and windows have modules of their own.

Every function reports what is wrong and returns None, so that one pass over a file finds all errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Literal

from mailshot import documents
from mailshot.audience import nodes
from mailshot.audience.nodes import Condition
from mailshot.audience.parse import activities, windows
from mailshot.audience.vocabulary import Vocabulary
from mailshot.documents import Node, Problems, Scalar, Sequence
from mailshot.facts import relative_dates, yaml_values
from mailshot.facts.catalogue import Fact, FactType
from mailshot.facts.comparison import ORDERED
from mailshot.profile.activity import KINDS, ActivityKind
from mailshot.profile.lifecycle import Stage

#: Finds the condition of another audience by its name; reports an error at the node and returns None otherwise.
Resolver = Callable[[str, Node, Problems], Condition | None]
Reader = Callable[["Parser", Node], Condition | None]
#: Least confidence of a trait if a rule names none.
DEFAULT_CONFIDENCE = 0.95
#: Limits of the size and depth of a rule with the audiences it names. Both databases run the largest rules
#: (tests/audience/test_large_rules.py), also an SQLite that is built with the lowest limits.
MAX_NODES = 500
MAX_LEVELS = 20

#: The words of conditions that are not activities or facts.
Word = Literal[
    "all",
    "any",
    "not",
    "of",
    "everyone",
    "lifecycle",
    "preference",
    "trait",
    "consent",
    "audience",
    "share",
]
WORDS: dict[str, str] = {
    "all": "every condition of a list holds",
    "any": "at least one condition of a list holds",
    "not": "the condition does not hold",
    "of": "a number of conditions of a list hold: 'at_least: 2' next to 'of: [...]'; also at_most, exactly, …",
    "everyone": "true of every customer: 'everyone: yes'",
    **{history.keyword: history.help for history in KINDS.values()},
    **{history.negated: f"not '{history.keyword}'" for history in KINDS.values() if history.negated},
    "lifecycle": "prospect, new, active, lapsing or lapsed",
    "preference": "what the customer stated: 'preference: {diet: vegetarian}'; 'says: no' for what was denied",
    "trait": "what was inferred, or stated: 'trait: {diet: vegetarian, confidence: 0.95}'",
    "consent": "consent to a topic is given",
    "audience": "is in another audience",
    "share": "a stable random share: 'share: 10%'",
}
OF = "of"
GROUPS = {"all", "any", "not", OF}


class Parser:
    """Parses one rule, with the audiences it names."""

    def __init__(self, vocabulary: Vocabulary, problems: Problems, name: str, resolve: Resolver) -> None:
        self.vocabulary = vocabulary
        #: Collects the errors.
        self.problems = problems
        #: Salt of the random shares.
        self.name = name
        self.resolve = resolve
        #: Size of what has been read so far.
        self.count = 0

    def condition(self, node: Node) -> Condition | None:
        """Read one condition; several words in one mapping must all hold."""
        if not isinstance(node, documents.Mapping) or not node.entries:
            self.problems.add(
                node, "expected a condition", "For example 'bought: {department: PRODUCE, within: 90 days}'."
            )
            return None
        parts = [self._counted(key, value) for key, value in self._entries(node)]
        valid = tuple(part for part in parts if part is not None)
        if len(valid) < len(parts):
            return None
        return valid[0] if len(valid) == 1 else nodes.All(node.line, valid)

    def _entries(self, node: documents.Mapping) -> list[tuple[Scalar, Node]]:
        """Return the entries of a mapping, `at_least: 2` and `of: [...]` as one."""
        if node.get(OF) is None:
            return list(node)
        comparisons = [entry for entry in node if entry[0].text in ORDERED]
        if len(comparisons) != 1:
            example = "For example 'at_least: 2' next to 'of: [...]'."
            self.problems.add(node, f"'{OF}' needs one comparison that says how many", example)
        others = [entry for entry in node if entry not in comparisons]
        return [
            (key, replace(node, entries=(*comparisons, (key, value))) if key.text == OF else value)
            for key, value in others
        ]

    def _counted(self, key: Scalar, node: Node) -> Condition | None:
        """Read one word unless the rule, with the audiences it names, has grown too large for a database."""
        if self.count > MAX_NODES:
            return None
        condition = self._word(key, node)
        # The parts of a group were counted when they were read.
        self.count += condition.size if condition and key.text not in GROUPS else 1
        if self.count > MAX_NODES:
            message = f"the rule comes to more than {MAX_NODES} conditions, with those of the audiences it names"
            self.problems.add(key, message, "Make it simpler; write lists of texts as one condition.")
            return None
        if condition and condition.depth > MAX_LEVELS:
            self.problems.add(key, f"the rule is nested deeper than {MAX_LEVELS} levels, with the audiences it names")
            return None
        return condition

    def _word(self, key: Scalar, node: Node) -> Condition | None:
        if reader := _READERS.get(key.text):
            return reader(self, node)
        if fact := self.vocabulary.catalogue.customer.get(key.text):
            return self._fact(key, fact, node)
        if key.text in ORDERED:
            example = "For example 'at_least: 2' and 'of: [...]'."
            self.problems.add(key, f"'{key.text}' needs '{OF}' next to it", example)
            return None
        known = {*WORDS, *self.vocabulary.catalogue.customer}
        self.problems.unknown(key, f"unknown condition or fact '{key.text}'", key.text, known)
        return None

    def _fact(self, key: Scalar, fact: Fact, node: Node) -> Condition | None:
        if fact.type is FactType.date and isinstance(node, documents.Mapping) and windows.relates(node):
            when, local = windows.dated(node, self.problems), windows.in_customer_zone(node, self.problems)
            if when and local and not fact.own and when.word == "anniversary_in":
                message = f"'{fact.name}' is a moment: its anniversary is kept by the company's calendar"
                self.problems.add(node, message, "Leave out 'zone'.")
                return None
            return nodes.Dated(key.line, fact, when, local) if when else None
        also = relative_dates.WORDS if fact.type is FactType.date else ()
        comparison = yaml_values.read_fact_comparison(node, fact, self.problems, also)
        return nodes.FactIs(key.line, fact, comparison) if comparison else None

    def group(self, node: Node) -> tuple[Condition, ...] | None:
        """Read a list of conditions; None after an error in any of them."""
        if not isinstance(node, Sequence) or not node.items:
            self.problems.add(node, "expected a list of conditions", "Start each with '- '.")
            return None
        parts = [self.condition(item) for item in node.items]
        return None if None in parts else tuple(part for part in parts if part)

    def pair(self, node: Node, what: str, known: dict[str, tuple[str, ...]], extra: str = "") -> tuple[str, str] | None:
        """Read `{name: value}` where both must be known; `extra` is another key that is allowed."""
        entries = [entry for entry in node if entry[0].text != extra] if isinstance(node, documents.Mapping) else []
        if len(entries) != 1:
            self.problems.add(
                node, f"expected one {what} and its value", f"For example '{what}: {{diet: vegetarian}}'."
            )
            return None
        key, value_node = entries[0]
        name = yaml_values.read_word(key, known, self.problems, what)
        value = yaml_values.read_word(value_node, known[name], self.problems, f"value of {name}") if name else None
        return (name, value) if name and value else None


def _all(parser: Parser, node: Node) -> Condition | None:
    parts = parser.group(node)
    return nodes.All(node.line, parts) if parts else None


def _any(parser: Parser, node: Node) -> Condition | None:
    parts = parser.group(node)
    return nodes.Any(node.line, parts) if parts else None


def _not(parser: Parser, node: Node) -> Condition | None:
    part = parser.condition(node)
    return nodes.Not(node.line, part) if part else None


def _of(parser: Parser, node: Node) -> Condition | None:
    if not isinstance(node, documents.Mapping) or len(node.entries) != 2:
        return None  # `_entries` has reported it
    (operator, number), (_, conditions) = node.entries
    pair = replace(node, entries=((operator, number),))
    comparison = yaml_values.read_comparison(pair, FactType.number, parser.problems, most=yaml_values.MAX_COUNTS)
    parts = parser.group(conditions)
    if comparison and any(value != int(value) for value in comparison.values if isinstance(value, Decimal)):
        parser.problems.add(number, f"'{operator.text}' counts whole conditions")
        return None
    if comparison and any(value < 0 for value in comparison.values if isinstance(value, Decimal)):
        parser.problems.add(
            number, f"'{operator.text}' counts conditions, so it is never less than 0", "Write 0 or more."
        )
        return None
    return nodes.Count(node.line, comparison, parts) if parts and comparison else None


def _everyone(parser: Parser, node: Node) -> Condition | None:
    if isinstance(node, Scalar) and node.text == "yes":
        return nodes.Everyone(node.line)
    parser.problems.add(node, "write 'everyone: yes'")
    return None


def _activity(kind: ActivityKind, never: bool, parser: Parser, node: Node) -> Condition | None:
    return activities.read_activity(node, kind, parser.vocabulary, parser.problems, never)


def _lifecycle(parser: Parser, node: Node) -> Condition | None:
    items = node.items if isinstance(node, Sequence) else (node,)
    known = tuple(stage.value for stage in Stage)
    names = [yaml_values.read_word(item, known, parser.problems, "lifecycle stage") for item in items]
    stages = tuple(Stage(name) for name in names if name)
    return nodes.InLifecycle(node.line, stages, parser.vocabulary.thresholds) if all(names) and names else None


def _preference(parser: Parser, node: Node) -> Condition | None:
    known = {name: tuple(values) for name, values in parser.vocabulary.preferences.items()}
    pair = parser.pair(node, "preference", known, extra="says")
    says_node = node.get("says") if isinstance(node, documents.Mapping) else None
    says = yaml_values.read_value(says_node, FactType.boolean, parser.problems) if says_node else True
    if pair is None or says is None:
        return None
    return nodes.HasPreference(node.line, pair[0], parser.vocabulary.closure(*pair), bool(says))


def _trait(parser: Parser, node: Node) -> Condition | None:
    # Traits with a value for each department accept any value (OpenValues): a copy of them as a tuple would not.
    traits = parser.vocabulary.traits.items()
    known = {name: values if isinstance(values, tuple) else tuple(values) for name, values in traits}
    pair = parser.pair(node, "trait", known, extra="confidence")
    confidence_node = node.get("confidence") if isinstance(node, documents.Mapping) else None
    confidence = (
        yaml_values.read_confidence(confidence_node, parser.problems) if confidence_node else DEFAULT_CONFIDENCE
    )
    if pair is None or confidence is None:
        return None
    return nodes.HasTrait(node.line, pair[0], parser.vocabulary.closure(*pair), confidence)


def _consent(parser: Parser, node: Node) -> Condition | None:
    topic = yaml_values.read_word(node, tuple(parser.vocabulary.topics), parser.problems, "topic")
    return nodes.HasConsent(node.line, topic) if topic else None


def _audience(parser: Parser, node: Node) -> Condition | None:
    name = yaml_values.read_text(node, parser.problems, "an audience")
    condition = parser.resolve(name, node, parser.problems) if name else None
    return nodes.InAudience(node.line, name, condition) if name and condition else None


def _share(parser: Parser, node: Node) -> Condition | None:
    parts = yaml_values.read_share(node, parser.problems, "'share'")
    return nodes.RandomShare(node.line, parts, parser.name) if parts is not None else None


_WORD_READERS: dict[str, Reader] = {
    "all": _all,
    "any": _any,
    "not": _not,
    "everyone": _everyone,
    "lifecycle": _lifecycle,
    "preference": _preference,
    "trait": _trait,
    "consent": _consent,
    "audience": _audience,
    "share": _share,
    "of": _of,
}
_READERS: dict[str, Reader] = {
    **_WORD_READERS,
    **{kind.keyword: partial(_activity, kind, False) for kind in KINDS.values()},
    **{kind.negated: partial(_activity, kind, True) for kind in KINDS.values() if kind.negated},
}
