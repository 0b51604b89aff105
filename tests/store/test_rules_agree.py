"""Checks that a rule means the same in plain Python, on SQLite and on PostgreSQL, and the same when written out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailshot import documents
from mailshot.audience import nodes
from mailshot.audience.evaluate import Judge
from mailshot.audience.nodes import Condition
from mailshot.audience.parse import Parser
from mailshot.documents import Node, Problems
from mailshot.profile.customer import Profile
from mailshot.store import audiences, profiles, tables
from mailshot.store.engine import Store
from tests.store.conditions import AS_OF, CONDITIONS, SALT, VOCABULARY, members, without_places, written
from tests.store.population import ZONE, Population, populations

EXAMPLES = int(os.environ.get("MAILSHOT_TEST_EXAMPLES", "400"))
RULES_EACH = 4
often = settings(
    max_examples=max(EXAMPLES // RULES_EACH, 1),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
# Europe's midday as "today": arithmetic on the company's wall clock must not shift what a day is.
MOMENTS = st.sampled_from([AS_OF, AS_OF.astimezone(ZONE)])
COMPILER = audiences.compiler(AS_OF, ZONE)


@pytest.fixture
def both(sqlite_url: str, postgres_url: str) -> Iterator[list[Store]]:
    stores = [Store.open(sqlite_url), Store.open(postgres_url)]
    yield stores
    for store in stores:
        store.close()


@given(populations(), st.lists(CONDITIONS, min_size=1, max_size=RULES_EACH), MOMENTS)
@often
def test_python_sqlite_and_postgresql_agree_on_every_customer(
    both: list[Store], population: Population, conditions: list[Condition], as_of: object
) -> None:
    for store in both:
        # Nothing is committed: the next population finds the tables empty again.
        with store.engine.connect().execution_options(write=True) as connection, connection.begin() as transaction:
            population.put(connection)
            people = [profiles.profile(connection, customer) for customer in population.ids]
            for condition in conditions:
                compiled = audiences.compiler(as_of, ZONE)  # type: ignore[arg-type]
                found = list(audiences.members(connection, compiled, condition))
                judged = [who.id for who in people if Judge(who, as_of, ZONE).verdict(condition).holds]  # type: ignore[arg-type]
                assert found == judged, store.engine.dialect.name
                assert audiences.count(connection, compiled, condition) == len(judged)
            transaction.rollback()


@given(CONDITIONS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_word_of_a_rule_stands_in_the_statement(both: list[Store], condition: Condition) -> None:
    for store in both:
        text = str(COMPILER.select(condition).compile(store.engine))
        assert "Lit-" not in text
        assert "'" not in text
        numbers = set(re.findall(r"(?<![\w.$])\d+", text.replace("NUMERIC(18, 4)", "")))
        assert numbers <= {"0", "1"}, text


@given(CONDITIONS)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_written_rule_reads_back_as_itself(condition: Condition) -> None:
    document = documents.parse(written(condition), "rule.yaml")
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
def test_a_negated_rule_holds_for_the_others(condition: Condition, population: Population) -> None:
    for row in population.rows[tables.Customer]:
        who = Profile(row["id"], row["lot"], {**row, **row["facts"]})
        judge = Judge(who, AS_OF, ZONE)
        assert judge.verdict(condition).holds is not judge.verdict(nodes.Not(0, condition)).holds
