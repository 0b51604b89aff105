"""Owns reading what happened to the customer of an example; refuses rules, which ask about it (happenings reads those).

bought:
  - {group: vegetables, at: 10 days ago, times: 2}     # some product of the group, in two orders
  - {category: TOMATOES, at: [3 days ago, yesterday]}  # two orders, at two moments

What is not said is unknown, but for `at` (yesterday), `quantity` (1) and `amount` (the price, else 0).
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
from mailshot.profile.activity import BOUGHT, DID, HISTORIES, RETURNED, ActivityKind
from mailshot.profile.customer import Activity

AT, TIMES, ORDER, AMOUNT, QUANTITY = "at", "times", "order", "amount", "quantity"
WORDS = {
    AT: "when: '10 days ago', 'yesterday' (also when left out), 2026-03-01, 2026-03-01 18:05; a list for several times",
    TIMES: "so many times at that moment: for purchases, in so many orders",
    ORDER: "joins lines into one order; without it, each line is an order of its own",
    AMOUNT: "what the line came to; without it, quantity times price, else 0",
    QUANTITY: "how many items, 1 without it; below zero for a return",
}
MOST_TIMES, MOST_IN_ALL = 1_000, 10_000
A_LINE = {
    "bought": "{group: vegetables, at: 10 days ago}",
    "returned": "{group: vegetables, at: 5 days ago}",
    "did": "{event: viewed, at: 10 days ago}",
    "contacted": "{kind: call, at: 10 days ago}",
    "referred": "{at: 10 days ago}",
    "was_referred": "{at: 10 days ago}",
}
A_MAIL = "{campaign: spring, at: 10 days ago}"
SOMETHING = "a product"
LINES = (BOUGHT.keyword, RETURNED.keyword)


def own(history: ActivityKind) -> tuple[str, ...]:
    """Return the words of a line that are neither fields of the happening nor of its product."""
    more = dict.fromkeys(LINES, (ORDER, AMOUNT, QUANTITY)) | {DID.keyword: (AMOUNT,)}
    return (AT, TIMES, *more.get(history.keyword, ()))


@dataclass(slots=True)
class _Line:
    node: documents.Mapping
    history: ActivityKind
    product: dict[str, Any] | None = None


@dataclass(slots=True)
class ActivityReader:
    """Reads what happened in one example."""

    vocabulary: Vocabulary
    clock: Today
    problems: Problems
    goods: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Facts by key, so that lines that name one product share what each says of it."""
    number: int = 0

    def histories(self, node: documents.Mapping) -> dict[str, tuple[Activity, ...]]:
        """Return all that happened, by the word of its kind."""
        lines = [line for key, given in node if key.text in HISTORIES for line in self._lines(key, given)]
        for line in lines:  # before any amount is read: the price may stand in another line
            line.product = self._product(line)
        told: dict[str, list[Activity]] = {}
        for line in lines:
            told.setdefault(line.history.kept_as, []).extend(self._happenings(line))
        return {word: tuple(sorted(found, key=lambda each: each.at)) for word, found in told.items()}

    def _lines(self, key: Scalar, given: Node) -> Iterator[_Line]:
        for item in given.items if isinstance(given, documents.Sequence) else (given,):
            if isinstance(item, documents.Mapping):
                yield _Line(item, HISTORIES[key.text])
            else:
                remedy = f"For example '- {A_LINE.get(key.text, A_MAIL)}'."
                self.problems.add(item, f"expected what the customer {key.text.replace('_', ' ')}", remedy)

    def _happenings(self, line: _Line) -> Iterator[Activity]:
        times = self._times(line.node)
        before = len(self.problems.found)
        about = self._about(line)
        numbers = {name: self._number(line, name) for name in (AMOUNT, QUANTITY)}
        orders = self._orders(line, len(times))
        if len(self.problems.found) > before:
            return
        if line.history.keyword in LINES:
            numbers = _paid(numbers, line.product or {})
        if line.history is RETURNED:
            # As a file of purchases tells it.
            numbers = {name: -abs(number) for name, number in numbers.items() if number is not None}
        for at, order in zip(times, orders, strict=True):
            yield Activity(order, at, about, line.product, numbers[AMOUNT], numbers[QUANTITY])

    def _times(self, node: documents.Mapping) -> list[datetime]:
        """Return each moment at which it happened, as often as it did."""
        given = node.get(AT) or Scalar(node.line, node.column, "yesterday")
        items = given.items if isinstance(given, documents.Sequence) else (given,)
        found = [dates.past(item, self.clock, self.problems) for item in items]
        said = node.get(TIMES)
        count = yaml_values.value(said, FactType.number, self.problems) if said else Decimal(1)
        if not items:
            self.problems.add(given, "the list is empty", "Leave the line out when it did not happen.")
        if not isinstance(count, Decimal):
            return []
        if said and count not in range(1, MOST_TIMES + 1):
            self.problems.add(said, f"'{TIMES}' must be a whole number from 1 to {MOST_TIMES:,}")
            return []
        self.number += len(items) * int(count)
        if self.number > MOST_IN_ALL:
            self.problems.add(node, f"more than {MOST_IN_ALL:,} things happen in one example", "Make it simpler.")
            return []
        return [at for at in found if at] * int(count)

    def _number(self, line: _Line, name: str) -> Decimal | None:
        given = line.node.get(name) if name in own(line.history) else None
        found = yaml_values.value(given, FactType.number, self.problems) if given else None
        return found if isinstance(found, Decimal) else None

    def _orders(self, line: _Line, number: int) -> list[str]:
        """Return what `times` counts, for each time: the order a line belongs to, else one of its own."""
        given = line.node.get(ORDER) if line.history.keyword in LINES else None
        if given is None:
            return [f"line {line.node.line}.{line.node.column}, {n}" for n in range(1, number + 1)]
        if number > 1:
            self.problems.add(given, "one order, but several times", f"Leave out '{ORDER}', or write a line for each.")
        return [yaml_values.text(given, self.problems, f"'{ORDER}'") or ""] * number

    def _about(self, line: _Line) -> dict[str, Any]:
        known = line.history.known(self.vocabulary.catalogue)
        mine = known.keys() - own(line.history)
        said = {key.text: (key, given) for key, given in line.node if key.text in mine}
        about: dict[str, Any] = dict(line.history.defaults)
        for name, (_, given) in said.items():
            value = yaml_values.of_fact(given, known[name], self.problems)
            about[name] = None if value is None else products.kept(known[name], value)
        if line.history is DID:
            self._of_this_event(line.node, about, [key for key, _ in said.values()])
        return about

    def _of_this_event(self, node: documents.Mapping, about: Mapping[str, Any], said: list[Scalar]) -> None:
        """Refuse a line without event, and a fact that its event does not carry."""
        events = self.vocabulary.catalogue.events
        if "event" not in about:
            self.problems.add(node, "'event' is missing", f"{nearest('', events)} For example '- {{event: viewed}}'.")
        event = events.get(str(about.get("event")))
        for key in said if event else ():
            if event and key.text != "event" and key.text not in event.facts:
                self.problems.add(key, f"'{event.name}' carries no '{key.text}'", nearest(key.text, event.facts))

    def _product(self, line: _Line) -> dict[str, Any] | None:
        """Read what a line says of its product; lines that say the same, or the same key, name one product."""
        words = {*own(line.history), *line.history.known(self.vocabulary.catalogue)}
        said = [(key, given) for key, given in line.node if key.text not in words]
        if not line.history.of_products:
            for key, _ in said:
                told = f"unknown word '{key.text}' in what the customer {line.history.keyword.replace('_', ' ')}"
                self.problems.add(key, told, nearest(key.text, words))
            return None
        facts = self._described(said, words)
        if facts is None or (not facts and line.history is DID):
            return None
        facts.setdefault("key", ", ".join(f"{name} {facts[name]}" for name in sorted(facts)) or SOMETHING)
        return self._same(facts, said, line.node)

    def _same(
        self, facts: dict[str, Any], said: list[tuple[Scalar, Node]], node: documents.Mapping
    ) -> dict[str, Any] | None:
        good = self.goods.setdefault(facts["key"], {})
        for name in facts.keys() & good.keys():
            if facts[name] != good[name]:
                place = next((key for key, _ in said if key.text == name), node)
                told = f"another line says that the product '{facts['key']}' has the {name} '{good[name]}'"
                self.problems.add(place, told, "Give one of them another key.")
                return None
        good |= facts
        return good

    def _described(self, said: list[tuple[Scalar, Node]], words: set[str]) -> dict[str, Any] | None:
        before = len(self.problems.found)
        known, facts = self.vocabulary.catalogue.product, dict[str, Any]()
        group: Node | None = None
        for key, given in said:
            if key.text == product_filters.GROUP:
                group = given
            elif fact := known.get(key.text):
                facts |= self._one(given, fact)
            elif key.text in (product_filters.EXCEPT, product_filters.ANY_OF):
                self.problems.add(key, f"'{key.text}' is for rules: an example names one product", "Say what it is.")
            else:
                told = f"unknown word or product field '{key.text}'"
                self.problems.add(key, told, nearest(key.text, {*words, *known, product_filters.GROUP}))
        found = self._of_group(group, facts) if group else facts
        return found if len(self.problems.found) == before else None

    def _one(self, given: Node, fact: Fact) -> dict[str, Any]:
        value = yaml_values.of_fact(given, fact, self.problems)
        return {} if value is None else {fact.name: products.kept(fact, value)}

    def _of_group(self, node: Node, facts: dict[str, Any]) -> dict[str, Any]:
        name = yaml_values.word(node, self.vocabulary.groups, self.problems, "product group")
        found = products.synthesize(self.vocabulary.groups[name], facts) if name else facts
        if found is None:
            with_these = " that has the other fields of this line" if facts else ""
            told = f"found no product of the group '{name}'{with_these}"
            self.problems.add(node, told, "Leave out the group, and say what the product's fields are.")
        return found or facts


def _paid(numbers: Mapping[str, Decimal | None], product: Mapping[str, Any]) -> dict[str, Decimal | None]:
    quantity = Decimal(1) if numbers[QUANTITY] is None else numbers[QUANTITY]
    assert quantity is not None
    usual = round(quantity * Decimal(product.get("price") or 0), 4)
    return {QUANTITY: quantity, AMOUNT: usual if numbers[AMOUNT] is None else numbers[AMOUNT]}
