"""Checks that imported answers keep their own times, whatever the order in which they arrive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy import select

from mailshot.states import AnswerState
from mailshot.store import answers, dialect, preferences, tables
from mailshot.store.answers import ANSWER, AnswerEntry
from tests.support.import_shop import CUSTOMERS, Shop

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ANSWERS = "{kind: answers, file: answers.csv, columns: {customer: id, question: q, value: v, at: at}}"
DENIALS = ANSWERS.replace("at: at", "at: at, holds: so, by: by")


@pytest.fixture
def people(shop: Shop) -> Shop:
    shop.one(CUSTOMERS)
    return shop


def put(shop: Shop, *rows: str, what: str = ANSWERS) -> tuple[int, list[str]]:
    """Import rows, and return how many answers were added and what was wrong or odd."""
    shop.put({"answers.csv": "id,q,v,at,so,by\n" + "\n".join(row + "," * (5 - row.count(",")) for row in rows) + "\n"})
    report = shop.one(what, now=NOW)
    return report.added, [note["reason"] for note in shop.rejected(report)] if report.notes else []


def stated(shop: Shop, before: datetime | None = None) -> dict[str, bool]:
    """Return what the customer 1 stated, by value."""
    rows = answers.stated(before).c
    with shop.store.read() as connection:
        mine = select(rows.value, rows.holds).where(rows.customer_id == who(shop))
        return {row.value: row.holds for row in connection.execute(mine)}


def who(shop: Shop) -> int:
    return next(number for number, key in shop.rows(tables.Customer, "id", "key") if key == "1")


LINES = (
    "1,diet,everything,2026-01-01",
    "1,diet,vegan,2026-02-01",
    "1,diet,vegetarian,2026-03-01",
    "1,hobby,garden,2026-01-15",
)


@pytest.mark.parametrize("order", [*permutations(LINES)][::3])
def test_a_single_choice_is_replaced_in_the_order_of_time(people: Shop, order: tuple[str, ...]) -> None:
    for line in order:
        assert put(people, line) == (1, [])
    assert put(people, *order) == (0, [])
    assert stated(people) == {"vegan": True, "vegetarian": True, "garden": True}
    assert stated(people, before=datetime(2026, 2, 15, tzinfo=UTC)) == {"vegan": True, "garden": True}
    assert stated(people, before=datetime(2026, 1, 10, tzinfo=UTC)) == {"everything": True}


def test_an_older_row_does_not_overwrite_what_was_said_on_the_page(people: Shop) -> None:
    with people.store.write() as connection:
        answer = {"customer_id": who(people), "question": "diet", "value": "vegetarian", "at": NOW - timedelta(days=30)}
        entry = AnswerEntry(**answer, state=AnswerState.yes, source="preference page")
        answers.record_present_answer(connection, entry)
    assert put(people, "1,diet,everything,2026-01-01") == (1, [])
    assert stated(people) == {"vegetarian": True}
    assert put(people, "1,diet,vegetarian,2026-01-02,no,anna", what=DENIALS) == (1, [])
    with people.store.read() as connection:
        assert preferences.stated_answers(connection, who(people)) == {("diet", "vegetarian"): True}
        note = connection.execute(select(ANSWER).where(ANSWER.c.state == AnswerState.no)).one()
    assert (note.by, note.source) == ("anna", "Shop")
    assert put(people, "1,diet,vegetarian,2026-05-30,no,anna", what=DENIALS) == (1, [])
    assert stated(people) == {"vegetarian": False}


def test_rows_that_cannot_be_are_rejected_or_named(people: Shop) -> None:
    rows = ("9,diet,vegan,2026-01-01", "1,diet,vegan,2027-01-01", "1,,vegan,2026-01-01", "1,diet,fish,2026-01-01")
    added, reasons = put(people, *rows)
    assert (added, stated(people)) == (0, {})
    assert len(reasons) == len(rows)
    assert "is not a known customer key" in reasons
    assert "is none of the answers to its question in rules/preferences.yaml" in reasons
    assert any("an answer cannot be given in the future" in reason for reason in reasons)


def test_a_misspelled_or_unreadable_answer_takes_nothing_back(people: Shop) -> None:
    put(people, "1,diet,vegan,2026-01-01")
    assert put(people, "1,diet,vegna,2026-02-01")[0] == 0
    added, reasons = put(people, "1,diet,everything,2026-02-01,perhaps", what=DENIALS)
    assert (added, len(reasons)) == (0, 1)
    assert reasons[0].startswith("is neither yes nor no")
    assert stated(people) == {"vegan": True}
    assert put(people, "1,deit,vegan,2026-02-01")[1] == ["warning: is not a question in rules/preferences.yaml"]


def test_an_import_outdates_mail_that_is_being_prepared(people: Shop) -> None:
    run = {"campaign": "week", "topic": "offers", "definition": "d", "as_of": NOW, "state": "running"}
    with people.store.write() as connection:
        runs, deliveries = dialect.table(tables.Run), dialect.table(tables.Delivery)
        run_id = connection.execute(runs.insert().returning(runs.c.id), run).scalar_one()
        mail = {"run_id": run_id, "customer_id": who(people), "state": "claimed", "attempts": 1}
        connection.execute(deliveries.insert(), mail)
    put(people, "1,diet,vegan,2026-02-01")
    put(people, "1,diet,everything,2026-01-01")  # changes the past only
    assert people.rows(tables.Delivery, "revision") == [(1,)]
