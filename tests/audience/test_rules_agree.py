"""Checks that a rule matches the same customers in Python, on SQLite and on PostgreSQL, and reads back from YAML."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailshot import documents
from mailshot.audience import lint, nodes
from mailshot.audience.counterfactual import Counterfactual
from mailshot.audience.evaluate import Evaluator
from mailshot.audience.nodes import Condition
from mailshot.audience.parse.conditions import Parser
from mailshot.documents import Node, Problems
from mailshot.facts.product_filters import ProductFilter
from mailshot.profile.customer import Profile
from mailshot.store import audiences, profiles, tables
from mailshot.store.answers import AnswerEntry
from mailshot.store.engine import Store
from mailshot.store.selectivity import DataStatistics
from tests.support.answers import replay
from tests.support.conditions import AS_OF, CONDITIONS, SALT, VOCABULARY, members, without_places, written
from tests.support.population import SAID, ZONE, Population, populations

EXAMPLES = int(os.environ.get("MAILSHOT_TEST_EXAMPLES", "400"))
RULES_EACH = 4
often = settings(
    max_examples=max(EXAMPLES // RULES_EACH, 1),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
# Europe's midday as "today": arithmetic on the company's wall clock must not shift what a day is.


class Haphazard:
    """Statistics with arbitrary estimates, so that the compiler takes every access path."""

    def __init__(self, weights: DataStatistics, seed: int, marking: bool) -> None:
        self.weights, self.seed, self.marking = weights, seed, marking

    def selectivity(self, condition: Condition) -> float:
        return (len(repr(condition)) + self.seed) % 7 / 20

    def bitmap(self, products: ProductFilter) -> bytes | None:
        return self.weights.bitmap(products) if self.marking else None


WAYS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 20),
        "marking": st.booleans(),
    }
)
SCOPES = st.fixed_dictionaries(
    {
        "prefiltered": st.booleans(),
        "selectivity": st.sampled_from([1.0, 0.02]),
    }
)
MOMENTS = st.sampled_from([AS_OF, AS_OF.astimezone(ZONE)])
COMPILER = audiences.compiler(AS_OF, ZONE)


@pytest.fixture
def both(sqlite_url: str, postgres_url: str) -> Iterator[list[Store]]:
    stores = [Store.open(sqlite_url), Store.open(postgres_url)]
    yield stores
    for store in stores:
        store.close()


@given(populations(), st.lists(CONDITIONS, min_size=1, max_size=RULES_EACH), MOMENTS, WAYS, SCOPES)
@often
def test_python_sqlite_and_postgresql_agree_on_every_customer(
    both: list[Store],
    population: Population,
    conditions: list[Condition],
    as_of: datetime,
    way: dict[str, Any],
    scope: dict[str, Any],
) -> None:
    for store in both:
        # Nothing is committed: the next population finds the tables empty again.
        with store.engine.connect().execution_options(write=True) as connection, connection.begin() as transaction:
            population.put(connection)
            people = [profiles.profile(connection, customer) for customer in population.ids]
            for condition in conditions:
                compiled = audiences.compiler(as_of, ZONE)
                matched = list(audiences.members(connection, compiled, condition))
                judged = [who.id for who in people if Evaluator(who, as_of, ZONE).verdict(condition).holds]
                assert matched == judged, store.engine.dialect.name
                haphazard = Haphazard(DataStatistics(connection, compiled), **way)
                chosen = replace(compiled, statistics=haphazard, among=replace(compiled.scope, **scope))
                assert sorted(connection.scalars(chosen.select(condition))) == judged
                certain = lint.always(condition, as_of.astimezone(ZONE).date())
                assert certain is None or len(judged) == certain * len(people)
                # The parts of a profile that the rule names are enough to evaluate it.
                enough = (profiles.profile(connection, who.id, keywords=condition.words) for who in people)
                assert [who.id for who in enough if Evaluator(who, as_of, ZONE).verdict(condition).holds] == judged
                for who in people:
                    advisor = Counterfactual(Evaluator(who, as_of, ZONE))
                    assert (advisor.changes(condition) == ()) is (who.id in judged)
                halves = audiences.key_ranges(range(max(population.ids, default=0) + 1), 2)
                matched = [sorted(connection.scalars(chosen.within(some).select(condition))) for some in halves]
                assert [who for some in matched for who in some] == judged
            transaction.rollback()


@given(populations(), st.lists(CONDITIONS, min_size=1, max_size=RULES_EACH), MOMENTS | st.sampled_from(SAID))
@often
def test_they_agree_on_past_dates(
    both: list[Store], population: Population, conditions: list[Condition], as_of: datetime
) -> None:
    for store in both:
        with store.engine.connect().execution_options(write=True) as connection, connection.begin() as transaction:
            population.put(connection)
            people = [profiles.profile(connection, customer, as_of) for customer in population.ids]
            for who in people:
                assert who.preferences == replay(population.rows[AnswerEntry], who.id, as_of)
            known = [who for who in people if _there(who, as_of)]
            for condition in conditions:
                compiled = audiences.compiler(as_of, ZONE, back=True)
                judged = [who.id for who in known if Evaluator(who, as_of, ZONE).verdict(condition).holds]
                assert list(audiences.members(connection, compiled, condition)) == judged, store.engine.dialect.name
            transaction.rollback()


def _there(who: Profile, as_of: datetime) -> bool:
    joined = who.facts["joined_at"]
    return joined is None or joined < as_of or any(line.at < as_of for line in who.histories["bought"])


@given(CONDITIONS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_statement_contains_no_value_of_a_rule(both: list[Store], condition: Condition) -> None:
    for store in both:
        text = str(COMPILER.select(condition).compile(store.engine))
        assert "Lit-" not in text
        assert "'" not in text
        numbers = set(re.findall(r"(?<![\w.$])\d+", text.replace("NUMERIC(18, 4)", "")))
        assert numbers <= {"0", "1"}, text


@given(CONDITIONS)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_written_rule_reads_back_as_itself(condition: Condition) -> None:
    document = documents.parse_document(written(condition), "rule.yaml")
    problems = document.problems()
    others = iter(members(condition))

    def resolve(name: str, node: Node, problems: Problems) -> Condition:
        return next(others).condition

    read = Parser(VOCABULARY, problems, SALT, resolve).condition(document.root)
    problems.raise_if_any()
    assert without_places(read) == without_places(condition)


@given(CONDITIONS, populations(most=2))
@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_a_negated_rule_matches_the_other_customers(condition: Condition, population: Population) -> None:
    """Of customers who do not consent to tracking neither may hold, but never both."""
    for row, tracked in product(population.rows[tables.Customer], (True, False)):
        who = Profile(row["id"], row["lot"], {**row, **row["facts"]}, tracked=tracked)
        judge = Evaluator(who, AS_OF, ZONE)
        holds, denied = judge.verdict(condition).holds, judge.verdict(nodes.Not(0, condition)).holds
        assert not (holds and denied)
        assert holds or denied or (condition.unseen and not tracked)
