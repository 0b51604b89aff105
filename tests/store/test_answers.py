"""Checks that the history of answers is complete, and that what counts now and what counted then follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DatabaseError

from mailshot.states import AnswerState
from mailshot.store import answers, dialect, erasures, installation, preferences
from mailshot.store.answers import ANSWER, PREFERENCE, AnswerEntry
from mailshot.store.engine import Connection, Store
from tests.support.answers import replay, say
from tests.support.query_plans import steps

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
YES, NO, UNSAID = AnswerState.yes, AnswerState.no, AnswerState.unsaid
MOMENTS = [NOON + HOUR * hours for hours in range(4)]
ENTRIES = st.lists(
    st.fixed_dictionaries(
        {
            "customer_id": st.sampled_from([1, 2]),
            "question": st.sampled_from(["diet", "größe"]),
            "value": st.sampled_from(["vegan", "XL"]),
            "at": st.sampled_from(MOMENTS),
            "state": st.sampled_from(list(AnswerState)),
            "source": st.just("page"),
        }
    ),
    max_size=12,
)


@pytest.fixture
def both(sqlite_url: str, postgres_url: str) -> Iterator[list[Store]]:
    stores = [Store.open(sqlite_url), Store.open(postgres_url)]
    yield stores
    for store in stores:
        store.close()


def stated(connection: Connection, customer: int, before: datetime | None) -> dict[tuple[str, str], bool]:
    rows = answers.stated(before).c
    mine = select(rows.name, rows.value, rows.holds).where(rows.customer_id == customer)
    return {(name, value): holds for name, value, holds in connection.execute(mine)}


@given(ENTRIES, st.randoms())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_arrival_ends_as_the_order_of_time(both: list[Store], entries: list[Any], draw: Any) -> None:
    arriving = [*entries, *entries]
    draw.shuffle(arriving)
    for store in both:
        # Nothing is committed: the next entries find the tables empty again.
        with store.engine.connect().execution_options(write=True) as connection, connection.begin() as transaction:
            for entry in arriving:
                answers.record_answer(connection, AnswerEntry(**entry))
            for customer in (1, 2):
                assert preferences.stated_answers(connection, customer) == replay(entries, customer)
                for before in (None, *MOMENTS, MOMENTS[-1] + HOUR):
                    assert stated(connection, customer, before) == replay(entries, customer, before)
            transaction.rollback()


def test_an_older_answer_that_arrives_later_changes_only_the_past(store: Store) -> None:
    with store.write() as connection:
        assert say(connection, 1, "diet", "vegan", NOON + 2 * HOUR, UNSAID) is False, "there was nothing to take back"
        assert not say(connection, 1, "diet", "vegan", NOON, YES, "import")
        assert preferences.stated_answers(connection, 1) == {}
        assert stated(connection, 1, NOON + HOUR) == {("diet", "vegan"): True}
        assert stated(connection, 1, NOON) == {}, "the moment itself does not count"


def test_of_answers_at_one_moment_the_one_that_protects_more_counts(store: Store) -> None:
    for customer, order in enumerate(permutations((YES, NO, UNSAID)), start=1):
        with store.write() as connection:
            for state in order:
                say(connection, customer, "diet", "vegan", NOON, state)
            assert preferences.stated_answers(connection, customer) == {("diet", "vegan"): True}
        with store.write() as connection:
            for state in order:
                say(connection, customer, "diet", "pork", NOON, state) if state != YES else None
            assert ("diet", "pork") not in preferences.stated_answers(connection, customer)


def test_what_is_said_now_counts_whatever_the_clock_says(store: Store) -> None:
    entry = {"customer_id": 1, "question": "diet", "value": "vegan", "source": "page", "at": NOON}
    with store.write() as connection:
        say(connection, 1, "diet", "vegan", NOON + HOUR)
        assert answers.record_present_answer(connection, AnswerEntry(**entry, state=NO))
        assert not answers.record_present_answer(connection, AnswerEntry(**entry, state=NO)), "it is said already"
        assert preferences.stated_answers(connection, 1) == {("diet", "vegan"): False}
        assert answers.record_present_answer(connection, AnswerEntry(**entry, state=UNSAID))
        assert not answers.record_present_answer(connection, AnswerEntry(**entry, state=UNSAID))
        assert preferences.stated_answers(connection, 1) == {}
        history = connection.execute(select(ANSWER.c.state).order_by(ANSWER.c.at)).scalars().all()
    assert history == [YES, NO, UNSAID]


@pytest.mark.parametrize("change", ["UPDATE answer SET state = 'no'", "DELETE FROM answer"])
def test_the_history_is_append_only_except_for_erasures(store: Store, change: str) -> None:
    with store.write() as connection:
        say(connection, 1, "diet", "vegan", NOON)
    with pytest.raises(DatabaseError, match="append-only"), store.write() as connection:
        connection.execute(text(change))
    with store.write() as connection:
        erasures.record_erasure(connection, 1, NOON)
        connection.execute(ANSWER.delete())
        say(connection, 1, "diet", "vegan", NOON)
    with pytest.raises(DatabaseError, match="append-only"), store.write() as connection:
        connection.execute(ANSWER.update().values(state=NO))


def test_a_look_back_finds_a_customers_answers_by_the_key(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    past = answers.stated(NOON).c
    with steps(store) as plan, store.read() as connection:
        connection.execute(select(past.value).where(past.customer_id == 1))
        connection.execute(select(past.customer_id).where(past.name == "diet", past.value == "vegan"))
    assert not any(step.startswith("SCAN") for step in plan), plan
    assert any("ix_answer_question (question=? AND value=?" in step for step in plan), plan
    store.close()


@pytest.mark.parametrize("database", ["sqlite_url", "postgres_url"])
def test_the_migration_begins_each_history_with_what_counts(database: str, request: pytest.FixtureRequest) -> None:
    store = Store.open(request.getfixturevalue(database))
    rows = [
        {"customer_id": 1, "name": "diet", "value": "vegan", "holds": True, "source": "preference page", "at": NOON},
        {"customer_id": 2, "name": "diet", "value": "pork", "holds": False, "source": "import", "at": NOON + HOUR},
    ]
    with store.write() as connection:
        command.downgrade(installation.config(connection), "0017")
    with store.write() as connection:
        connection.execute(insert(dialect.table(answers.Preference)), rows)
    installation.upgrade_schema(store)
    with store.read() as connection:
        history = connection.execute(select(ANSWER).order_by(ANSWER.c.customer_id)).mappings().all()
        assert [(row["state"], row["at"], row["source"], row["by"]) for row in history] == [
            ("yes", NOON, "preference page", "customer"),
            ("no", NOON + HOUR, "import", None),
        ]
        now = {row.customer_id: row.holds for row in connection.execute(select(PREFERENCE))}
    with store.write() as connection:
        then = {customer: list(stated(connection, customer, NOON + 2 * HOUR).values()) for customer in now}
    assert then == {1: [True], 2: [False]}
    store.close()
