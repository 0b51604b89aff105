"""Checks that every customer of the database can be written as an example, with the same verdicts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailshot import documents
from mailshot.audience.evaluate import Evaluator
from mailshot.audience.examples import example_reader as reading
from mailshot.audience.examples import products
from mailshot.audience.examples.dates import Today
from mailshot.audience.nodes import Condition
from mailshot.facts.catalogue import Fact
from mailshot.profile import activity
from mailshot.profile.activity import KINDS
from mailshot.profile.customer import Activity, Profile
from mailshot.store import audiences, example_rows, profiles
from mailshot.store.engine import Store
from tests.audience.test_rules_agree import EXAMPLES
from tests.support.conditions import AS_OF, CATALOGUE, CONDITIONS, VOCABULARY
from tests.support.population import ZONE, ZONES, Population, populations

MAILS = ("received", "opened", "clicked", "converted")
CLOCK = Today(AS_OF.astimezone(ZONE), pinned=True)


@pytest.fixture(scope="module")
def world() -> Iterator[Store]:
    with example_rows.scratch_store() as store:
        yield store


@given(populations(most=3), st.lists(CONDITIONS, min_size=1, max_size=4))
@settings(
    max_examples=max(EXAMPLES // 4, 1),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
def test_every_customer_can_be_written(world: Store, people: Population, conditions: list[Condition]) -> None:
    for who in _living(world, people):
        text = json.dumps({"audience": "a", "examples": [_written(who)]}, ensure_ascii=False)
        document = documents.parse_document(text, "a.yaml")
        problems = document.problems()
        (example,) = reading.read_examples(document, VOCABULARY, CLOCK, problems) or [None]
        problems.raise_if_any()
        assert example
        read_back = replace(example.profile, lot=who.lot)
        with example_rows.with_customer(world, read_back, AS_OF) as (connection, number):
            lived = profiles.profile(connection, number)
            assert _known(who) == _known(read_back) == _known(lived)
            compiled = audiences.compiler(AS_OF, ZONE)
            for condition in conditions:
                expected = Evaluator(who, AS_OF, ZONE).verdict(condition).holds
                assert Evaluator(read_back, AS_OF, ZONE).verdict(condition).holds is expected
                assert Evaluator(lived, AS_OF, ZONE).verdict(condition).holds is expected
                assert (number in set(audiences.members(connection, compiled, condition))) is expected


def test_no_rows_are_left_behind(world: Store) -> None:
    line = Activity("A", AS_OF, {}, {"key": "p"}, Decimal(1), Decimal(1))
    who = Profile(0, 1, {"key": "k"}, {"bought": (line, line), "referred": (line,)}, {"offers": True})
    for _ in range(2):
        with example_rows.with_customer(world, who, AS_OF) as (connection, number):
            assert len(profiles.profile(connection, number).histories["bought"]) == 2
            assert audiences.customers(connection) == 2
    with world.read() as connection:
        assert audiences.customers(connection) == 0


def _living(world: Store, people: Population) -> list[Profile]:
    """Return the customers of a population, less what an example cannot say: what is to come, or of a wrong type."""
    with world.write() as connection:
        step = connection.begin_nested()
        people.put(connection)
        customers = [profiles.profile(connection, number) for number in people.ids]
        step.rollback()
    return [_sayable(who) for who in customers]


def _sayable(who: Profile) -> Profile:
    facts = _typed(who.facts, CATALOGUE.customer)
    if facts.get("time_zone") == ZONES[-1]:
        del facts["time_zone"]
    lived = who.histories.items()
    histories = {word: tuple(filter(None, (_happened(word, line) for line in lines))) for word, lines in lived}
    # Nobody else has an example's address, so that only their own consent decides.
    return replace(who, facts=facts, histories=histories, tracked=who.consents.get("tracking", False))


def _happened(word: str, line: Activity) -> Activity | None:
    known = dict(KINDS[word].known(CATALOGUE))
    if word == "did" and (event := CATALOGUE.events.get(str(line.about["event"]))):
        known = {"event": known["event"], **event.facts}
    elif word == "did":
        return None
    if line.at >= AS_OF or (word in MAILS and line.about["campaign"] is None):
        return None
    about = _typed(line.about, known)
    about = {name: value for name, value in about.items() if value in (known[name].choices or (value,))}
    return replace(line, about=about, product=line.product and _typed(line.product, CATALOGUE.product))


def _typed(raw: Mapping[str, Any], facts: Mapping[str, Fact]) -> dict[str, Any]:
    """Return what is known, each of the type that is declared for it."""
    declared = {name: (facts[name], value) for name, value in raw.items() if name in facts}
    return {
        name: value if isinstance(value, datetime) else products.stored_value(fact, typed)
        for name, (fact, value) in declared.items()
        if (typed := fact.typed(value, ZONE)) is not None
    }


def _known(who: Profile) -> list[Any]:
    """Return all that a rule could ask of a customer, to compare; the numbers of rows are left out."""
    histories = {word: sorted(_asked(word, line) for line in lines) for word, lines in who.histories.items() if lines}
    sure = {pair: inferred.confidence for pair, inferred in who.traits.items()}
    return [_there(who.facts), histories, who.consents, who.preferences, sure]


def _asked(word: str, line: Activity) -> tuple[Any, ...]:
    known = KINDS[word].known(CATALOGUE)
    about = _there({name: value for name, value in line.about.items() if name in known})
    numbers = _there({"amount": line.amount, "quantity": line.quantity})
    order = line.occasion if word == "bought" else ""
    return line.at, str(about), str(_there(line.product or {})), str(numbers), order


def _there(facts: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: facts[name] for name in sorted(facts) if facts[name] not in (None, "")}
    return {name: value.normalize() if isinstance(value, Decimal) else value for name, value in known.items()}


def _written(who: Profile) -> dict[str, Any]:
    """Return an example as a marketer would write it."""
    example: dict[str, Any] = {"as_of": AS_OF.isoformat(), "customer": _texts(who.facts), "matches": "yes"}
    example |= {word: [_line(line) for line in lines] for word, lines in who.histories.items() if lines}
    example["consents"] = {topic: _text(given) for topic, given in who.consents.items()}
    example["preferences"], example["traits"] = {}, {}
    for (name, value), holds in who.preferences.items():
        example["preferences"].setdefault(name, []).append({"value": value, "says": _text(holds)})
    for (name, value), inferred in who.traits.items():
        example["traits"].setdefault(name, []).append({"value": value, "confidence": str(inferred.confidence)})
    return example


def _line(line: Activity) -> dict[str, Any]:
    fields = {**_texts(line.about), **_texts(line.product or {}), "at": line.at.isoformat()}
    if line.quantity is not None:
        fields |= {"order": line.occasion, "quantity": str(line.quantity)}
    return fields | ({} if line.amount is None else {"amount": str(line.amount)})


def _texts(facts: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in facts.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def test_every_kind_of_activity_can_be_written(world: Store) -> None:
    about = dict(activity.DID.defaults, event="e")
    histories = {word: (Activity("1", AS_OF, about, {"key": "p"}, Decimal(1), Decimal(1)),) for word in profiles.KEPT}
    with example_rows.with_customer(world, Profile(0, 1, {"key": "k"}, histories), AS_OF) as (connection, number):
        lived = profiles.profile(connection, number)
    assert {word: len(lines) for word, lines in lived.histories.items()} == dict.fromkeys(profiles.KEPT, 1)
