"""Owns reading conditions out of YAML nodes; refuses files, and audiences as a whole (book does those).

Every function tells what is wrong and returns None, so that one pass over a file finds all its errors.
"""

from __future__ import annotations

from collections.abc import Callable

from mailshot import documents
from mailshot.audience import nodes, purchases
from mailshot.audience.nodes import Condition
from mailshot.audience.vocabulary import Vocabulary
from mailshot.documents import Node, Problems, Scalar, Sequence
from mailshot.errors import nearest
from mailshot.profile import scalars
from mailshot.profile.catalogue import FactType
from mailshot.profile.lifecycle import Stage

Resolver = Callable[[str, Node, Problems], Condition | None]
Reader = Callable[["Parser", Node], Condition | None]
SURE = 0.95
MOST_NODES = 500
MOST_LEVELS = 20

WORDS = {
    "all": "every condition of a list holds",
    "any": "at least one condition of a list holds",
    "not": "the condition does not hold",
    "everyone": "true of every customer: 'everyone: yes'",
    "bought": "purchases, filtered by product fields and a window, and counted",
    "never_bought": "no such purchase in the window",
    "lifecycle": "prospect, new, active, lapsing or lapsed",
    "preference": "what the customer stated: 'preference: {diet: vegetarian}'; 'says: no' for what was denied",
    "trait": "what was inferred, or stated: 'trait: {diet: vegetarian, confidence: 0.95}'",
    "consent": "consent to a topic is given",
    "audience": "belongs to another audience",
    "share": "a stable random share: 'share: 10%'",
}


class Parser:
    """Reads conditions with one vocabulary. `name` salts the shares; `resolve` finds other audiences."""

    def __init__(self, vocabulary: Vocabulary, problems: Problems, name: str, resolve: Resolver) -> None:
        self.vocabulary = vocabulary
        self.problems = problems
        self.name = name
        self.resolve = resolve
        self.count = 0

    def condition(self, node: Node) -> Condition | None:
        """Read one condition; several words in one mapping must all hold."""
        if not isinstance(node, documents.Mapping) or not node.entries:
            self.problems.add(
                node, "expected a condition", "For example 'bought: {department: PRODUCE, within: 90 days}'."
            )
            return None
        parts = [self._counted(key, given) for key, given in node]
        sound = tuple(part for part in parts if part is not None)
        if len(sound) < len(parts):
            return None
        return sound[0] if len(sound) == 1 else nodes.All(node.line, sound)

    def _counted(self, key: Scalar, node: Node) -> Condition | None:
        """Read one word unless the rule, with the audiences it names, has grown too large for a database."""
        if self.count > MOST_NODES:
            return None
        found = self._word(key, node)
        # Groups only pass on what their parts have been counted for.
        counted = found.size if isinstance(found, nodes.Member) or (found and not found.inner) else 1
        self.count += counted
        if self.count > MOST_NODES:
            told = f"the rule comes to more than {MOST_NODES} conditions, with those of the audiences it names"
            self.problems.add(key, told, "Make it simpler; write lists of texts as one condition.")
            return None
        if found and found.depth > MOST_LEVELS:
            self.problems.add(key, f"the rule is nested deeper than {MOST_LEVELS} levels, with the audiences it names")
            return None
        return found

    def _word(self, key: Scalar, node: Node) -> Condition | None:
        if reader := _READERS.get(key.text):
            return reader(self, node)
        if fact := self.vocabulary.catalogue.customer.get(key.text):
            comparison = scalars.comparison(node, fact.type, self.problems)
            return nodes.FactIs(key.line, fact, comparison) if comparison else None
        known = {*WORDS, *self.vocabulary.catalogue.customer}
        self.problems.add(key, f"unknown condition or fact '{key.text}'", nearest(key.text, known))
        return None

    def group(self, node: Node) -> tuple[Condition, ...] | None:
        if not isinstance(node, Sequence) or not node.items:
            self.problems.add(node, "expected a list of conditions", "Start each with '- '.")
            return None
        parts = [self.condition(item) for item in node.items]
        return None if None in parts else tuple(part for part in parts if part)

    def pair(self, node: Node, what: str, known: dict[str, tuple[str, ...]], extra: str = "") -> tuple[str, str] | None:
        """Read `{name: value}` where both must be known; `extra` is a key that may stand beside."""
        entries = [entry for entry in node if entry[0].text != extra] if isinstance(node, documents.Mapping) else []
        if len(entries) != 1:
            self.problems.add(
                node, f"expected one {what} and its value", f"For example '{what}: {{diet: vegetarian}}'."
            )
            return None
        key, given = entries[0]
        name = scalars.word(key, known, self.problems, what)
        value = scalars.word(given, known[name], self.problems, f"value of {name}") if name else None
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


def _everyone(parser: Parser, node: Node) -> Condition | None:
    if isinstance(node, Scalar) and node.text == "yes":
        return nodes.Everyone(node.line)
    parser.problems.add(node, "write 'everyone: yes'")
    return None


def _lifecycle(parser: Parser, node: Node) -> Condition | None:
    items = node.items if isinstance(node, Sequence) else (node,)
    known = tuple(stage.value for stage in Stage)
    found = [scalars.word(item, known, parser.problems, "lifecycle stage") for item in items]
    return nodes.InStage(node.line, tuple(Stage(name) for name in found if name)) if all(found) and found else None


def _preference(parser: Parser, node: Node) -> Condition | None:
    known = {name: tuple(values) for name, values in parser.vocabulary.preferences.items()}
    found = parser.pair(node, "preference", known, extra="says")
    said = node.get("says") if isinstance(node, documents.Mapping) else None
    says = scalars.value(said, FactType.boolean, parser.problems) if said else True
    return nodes.Prefers(node.line, *found, bool(says)) if found and says is not None else None


def _trait(parser: Parser, node: Node) -> Condition | None:
    # A trait with a value for every department knows any word: its values must not be copied into a list.
    traits = parser.vocabulary.traits.items()
    known = {name: values if isinstance(values, tuple) else tuple(values) for name, values in traits}
    found = parser.pair(node, "trait", known, extra="confidence")
    sure = node.get("confidence") if isinstance(node, documents.Mapping) else None
    confidence = _confidence(parser, sure) if sure else SURE
    return nodes.Shows(node.line, *found, confidence) if found and confidence is not None else None


def _confidence(parser: Parser, node: Node) -> float | None:
    try:
        found = float(node.text) if isinstance(node, Scalar) else 0.0
    except ValueError:
        found = 0.0
    if not 0 < found <= 1:
        parser.problems.add(node, "confidence must be more than 0 and at most 1", "For example 0.95.")
        return None
    return found


def _consent(parser: Parser, node: Node) -> Condition | None:
    topic = scalars.word(node, tuple(parser.vocabulary.topics), parser.problems, "topic")
    return nodes.Consents(node.line, topic) if topic else None


def _audience(parser: Parser, node: Node) -> Condition | None:
    name = scalars.text(node, parser.problems, "an audience")
    condition = parser.resolve(name, node, parser.problems) if name else None
    return nodes.Member(node.line, name, condition) if name and condition else None


def _share(parser: Parser, node: Node) -> Condition | None:
    parts = scalars.share(node, parser.problems, "'share'")
    return nodes.Share(node.line, parts, parser.name) if parts is not None else None


_READERS: dict[str, Reader] = {
    "all": _all,
    "any": _any,
    "not": _not,
    "everyone": _everyone,
    "bought": lambda parser, node: purchases.bought(node, parser.vocabulary.products, parser.problems),
    "never_bought": lambda parser, node: purchases.bought(
        node, parser.vocabulary.products, parser.problems, never=True
    ),
    "lifecycle": _lifecycle,
    "preference": _preference,
    "trait": _trait,
    "consent": _consent,
    "audience": _audience,
    "share": _share,
}
