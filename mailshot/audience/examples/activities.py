"""Parses the activities of an example's customer. Conditions on activities are parsed by `parse.activities`.

bought:
  - {group: vegetables, at: 10 days ago, times: 2}     # some product of the group, in two orders
  - {category: TOMATOES, at: [3 days ago, yesterday]}  # two orders, at two moments

What a line does not name is unknown, except `at` (yesterday), `quantity` (1) and `amount` (quantity times price).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from mailshot import documents
from mailshot.audience.examples import dates, products
from mailshot.audience.examples.dates import Today
from mailshot.audience.vocabulary import Vocabulary
from mailshot.documents import Node, Problems, Scalar
from mailshot.errors import nearest
from mailshot.facts import product_filters, yaml_values
from mailshot.facts.catalogue import Fact, FactType
from mailshot.profile.activity import KINDS, RETURNED, ActivityKind
from mailshot.profile.customer import Activity

AT, TIMES, ORDER, AMOUNT, QUANTITY = "at", "times", "order", "amount", "quantity"
WORDS = {
    AT: "when: '10 days ago', 'yesterday' (also when left out), 2026-03-01, 2026-03-01 18:05; a list for several times",
    TIMES: "how many times at that moment; for purchases, in how many orders",
    ORDER: "joins lines into one order; without it, each line is an order of its own",
    AMOUNT: "the amount of the line; without it, quantity times price, else 0",
    QUANTITY: "how many items, 1 without it; below zero for a return",
}
#: Limits of one line, and of one example.
MAX_TIMES, MAX_ACTIVITIES = 1_000, 10_000
#: The key of a product of which an example says nothing.
SOMETHING = "a product"


def own(history: ActivityKind) -> tuple[str, ...]:
    """Return the words of a line that are neither fields of the activity nor of its product."""
    if history.in_orders:
        return AT, TIMES, ORDER, AMOUNT, QUANTITY
    return (AT, TIMES, AMOUNT) if "amount" in history.measures else (AT, TIMES)


@dataclass(slots=True)
class _Line:
    """One line of an example: the same activity, once or several times."""

    node: documents.Mapping
    history: ActivityKind
    product: dict[str, Any] | None = None


@dataclass(slots=True)
class ActivityReader:
    """Reads the activities of one example."""

    vocabulary: Vocabulary
    clock: Today
    problems: Problems
    goods: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Products by key, so that lines about the same product share its facts."""
    number: int = 0
    """Activities so far."""

    def histories(self, node: documents.Mapping) -> dict[str, tuple[Activity, ...]]:
        """Return all activities, by the keyword that a profile keeps them under."""
        lines = [line for key, value in node if key.text in KINDS for line in self._lines(key, value)]
        for line in lines:  # before any amount is read: another line may have the price
            line.product = self._product(line)
        activities: dict[str, list[Activity]] = {}
        for line in lines:
            activities.setdefault(line.history.kept_as, []).extend(self._activities(line))
        return {keyword: tuple(sorted(kept, key=lambda activity: activity.at)) for keyword, kept in activities.items()}

    def _lines(self, key: Scalar, value: Node) -> Iterator[_Line]:
        for item in value.items if isinstance(value, documents.Sequence) else (value,):
            if isinstance(item, documents.Mapping):
                yield _Line(item, KINDS[key.text])
            else:
                remedy = f"For example '- {KINDS[key.text].activity}'."
                self.problems.add(item, f"expected what the customer {key.text.replace('_', ' ')}", remedy)

    def _activities(self, line: _Line) -> Iterator[Activity]:
        times = self._times(line.node)
        before = len(self.problems.found)
        about = self._about(line)
        numbers = {name: self._number(line, name) for name in (AMOUNT, QUANTITY)}
        orders = self._orders(line, len(times))
        if len(self.problems.found) > before:
            return
        if line.history.in_orders:
            numbers = _paid(numbers, line.product or {})
        if line.history is RETURNED:
            # As in a file of purchases.
            numbers = {name: -abs(number) for name, number in numbers.items() if number is not None}
        for at, order in zip(times, orders, strict=True):
            yield Activity(order, at, about, line.product, numbers[AMOUNT], numbers[QUANTITY])

    def _times(self, node: documents.Mapping) -> list[datetime]:
        """Return the moment of each activity of a line."""
        at_node = node.get(AT) or Scalar(node.line, node.column, "yesterday")
        items = at_node.items if isinstance(at_node, documents.Sequence) else (at_node,)
        moments = [dates.past(item, self.clock, self.problems) for item in items]
        times = node.get(TIMES)
        count = yaml_values.read_value(times, FactType.number, self.problems) if times else Decimal(1)
        if not items:
            self.problems.add(at_node, "the list is empty", "Leave the line out when it did not happen.")
        if not isinstance(count, Decimal):
            return []
        if times and count not in range(1, MAX_TIMES + 1):
            self.problems.add(times, f"'{TIMES}' must be a whole number from 1 to {MAX_TIMES:,}")
            return []
        self.number += len(items) * int(count)
        if self.number > MAX_ACTIVITIES:
            self.problems.add(node, f"more than {MAX_ACTIVITIES:,} activities in one example", "Make it simpler.")
            return []
        return [at for at in moments if at] * int(count)

    def _number(self, line: _Line, name: str) -> Decimal | None:
        value = line.node.get(name) if name in own(line.history) else None
        number = yaml_values.read_value(value, FactType.number, self.problems) if value else None
        return number if isinstance(number, Decimal) else None

    def _orders(self, line: _Line, number: int) -> list[str]:
        """Return what `times` counts, for each time: the order a line belongs to, else one of its own."""
        order = line.node.get(ORDER) if line.history.in_orders else None
        if order is None:
            return [f"line {line.node.line}.{line.node.column}, {n}" for n in range(1, number + 1)]
        if number > 1:
            self.problems.add(order, "one order, but several times", f"Leave out '{ORDER}', or write a line for each.")
        return [yaml_values.read_text(order, self.problems, f"'{ORDER}'") or ""] * number

    def _about(self, line: _Line) -> dict[str, Any]:
        known = line.history.known(self.vocabulary.catalogue)
        mine = known.keys() - own(line.history)
        fields = {key.text: (key, node) for key, node in line.node if key.text in mine}
        about: dict[str, Any] = dict(line.history.defaults)
        for name, (_, node) in fields.items():
            value = yaml_values.read_fact_value(node, known[name], self.problems)
            about[name] = None if value is None else products.stored_value(known[name], value)
        if line.history.declared == "events":
            self._check_event_facts(line.node, about, [key for key, _ in fields.values()])
        return about

    def _check_event_facts(self, node: documents.Mapping, about: Mapping[str, Any], keys: list[Scalar]) -> None:
        """Reject a line without event, and a fact that its event does not have."""
        events = self.vocabulary.catalogue.events
        if "event" not in about:
            self.problems.add(node, "'event' is missing", f"{nearest('', events)} For example '- {{event: viewed}}'.")
        event = events.get(str(about.get("event")))
        for key in keys if event else ():
            if event and key.text != "event" and key.text not in event.facts:
                self.problems.add(key, f"'{event.name}' has no fact '{key.text}'", nearest(key.text, event.facts))

    def _product(self, line: _Line) -> dict[str, Any] | None:
        """Read the product of a line; lines with the same fields, or the same key, have the same product."""
        own_words = {*own(line.history), *line.history.known(self.vocabulary.catalogue)}
        product_fields = [(key, value) for key, value in line.node if key.text not in own_words]
        if not line.history.of_products:
            for key, _ in product_fields:
                message = f"unknown word '{key.text}' in what the customer {line.history.keyword.replace('_', ' ')}"
                self.problems.add(key, message, nearest(key.text, own_words))
            return None
        facts = self._described(product_fields, own_words)
        if facts is None or (not facts and line.history.declared == "events"):
            return None
        facts.setdefault("key", ", ".join(f"{name} {facts[name]}" for name in sorted(facts)) or SOMETHING)
        return self._same(facts, product_fields, line.node)

    def _same(
        self, facts: dict[str, Any], product_fields: list[tuple[Scalar, Node]], node: documents.Mapping
    ) -> dict[str, Any] | None:
        good = self.goods.setdefault(facts["key"], {})
        for name in facts.keys() & good.keys():
            if facts[name] != good[name]:
                place = next((key for key, _ in product_fields if key.text == name), node)
                message = f"another line says that the product '{facts['key']}' has the {name} '{good[name]}'"
                self.problems.add(place, message, "Give one of them another key.")
                return None
        good |= facts
        return good

    def _described(self, product_fields: list[tuple[Scalar, Node]], own_words: set[str]) -> dict[str, Any] | None:
        before = len(self.problems.found)
        known, facts = self.vocabulary.catalogue.product, dict[str, Any]()
        group: Node | None = None
        for key, value in product_fields:
            if key.text == product_filters.GROUP:
                group = value
            elif fact := known.get(key.text):
                facts |= self._one(value, fact)
            elif key.text in (product_filters.EXCEPT, product_filters.ANY_OF):
                self.problems.add(key, f"'{key.text}' is for rules: an example names one product", "Say what it is.")
            else:
                message = f"unknown word or product field '{key.text}'"
                self.problems.add(key, message, nearest(key.text, {*own_words, *known, product_filters.GROUP}))
        product = self._of_group(group, facts) if group else facts
        return product if len(self.problems.found) == before else None

    def _one(self, value_node: Node, fact: Fact) -> dict[str, Any]:
        value = yaml_values.read_fact_value(value_node, fact, self.problems)
        return {} if value is None else {fact.name: products.stored_value(fact, value)}

    def _of_group(self, node: Node, facts: dict[str, Any]) -> dict[str, Any]:
        name = yaml_values.read_word(node, self.vocabulary.groups, self.problems, "product group")
        product = products.synthesize(self.vocabulary.groups[name], facts) if name else facts
        if product is None:
            with_these = " that has the other fields of this line" if facts else ""
            message = f"found no product of the group '{name}'{with_these}"
            self.problems.add(node, message, "Leave out the group, and say what the product's fields are.")
        return product or facts


def _paid(numbers: Mapping[str, Decimal | None], product: Mapping[str, Any]) -> dict[str, Decimal | None]:
    quantity = Decimal(1) if numbers[QUANTITY] is None else numbers[QUANTITY]
    assert quantity is not None
    usual = round(quantity * Decimal(product.get("price") or 0), 4)
    return {QUANTITY: quantity, AMOUNT: usual if numbers[AMOUNT] is None else numbers[AMOUNT]}
