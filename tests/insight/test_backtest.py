"""Checks that a look back sees what was known then, sums it rightly, and leaves nothing behind."""

from __future__ import annotations

import tracemalloc
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, select

from mailshot.campaign import explain, plan
from mailshot.errors import Refused
from mailshot.facts.periods import Span
from mailshot.insight import backtest, past_response
from mailshot.insight.backtest import Backtest, Point, ResponseGoal, Series, Subject
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import audiences, consent, dialect, privacy, suppression, tables
from mailshot.store.engine import Store
from tests.support import answers, project
from tests.support.campaigns import add, buy, edition, everybody, insert, open_shop, sent, state, write
from tests.support.project import Shop

DAY = timedelta(days=1)
ZONE = ZoneInfo("America/New_York")
THEN = datetime(2026, 3, 1, tzinfo=ZONE)
LATER = THEN + 31 * DAY
WANTS = "audience: wants\nwho: {consent: offers}\n"
ANSWERS = """
diet: {title: Diet, values: {vegetarian: Vegetarian}}
frequency: {title: How often?, values: {never: {label: Never, at_most: {mails: 0, per: 1 day}}}}
"""
GREEN = "audience: green\nwho: {bought: {department: GREEN, within: 30 days}}\n"


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    made = open_shop(store, tmp_path / "shop")
    write(made, "rules/audiences/wants.yaml", WANTS)
    write(made, "rules/audiences/green.yaml", GREEN)
    write(made, "rules/audiences/veggies.yaml", "audience: veggies\nwho: {preference: {diet: vegetarian}}\n")
    return made


def say(shop: Shop, customer: int, given: bool, at: datetime) -> None:
    with shop.store.write() as connection:
        consent.record_consent(connection, customer, "offers", given, at, "test")


def subject(shop: Shop, name: str) -> Subject:
    if name == "week":
        return Subject.campaign(edition(shop))
    return Subject.audience(Rulebook.load(shop.folder).book.audience(name))


def looked(shop: Shop, name: str, *dates: datetime, aim: ResponseGoal | None = None) -> Backtest:
    """Look at dates a month apart, from the first to the last."""
    chosen = subject(shop, name)
    if aim:
        chosen = Subject(chosen.name, chosen.condition, aim, chosen.edition)
    series = Series(dates[0], dates[-1], Span(1, "month"))
    return backtest.run_backtest(shop.store, chosen, series, ZONE, lambda *_: None)


def point_at(shop: Shop, name: str, moment: datetime) -> Point:
    (point,) = looked(shop, name, moment).looks
    return point


def everything(store: Store) -> dict[str, list[str]]:
    with store.read() as connection:
        known = dialect.table(tables.Run).metadata.sorted_tables
        return {table.name: sorted(map(repr, connection.execute(select(table)))) for table in known}


def test_a_consent_withdrawn_later_counts_as_given_then(shop: Shop) -> None:
    who = add(shop, "a", consent=None, country="NO")
    say(shop, who, True, THEN - DAY)
    say(shop, who, False, THEN + DAY)
    for name in ("wants", "week"):
        assert [look.size for look in looked(shop, "wants", THEN, LATER).looks] == [1, 0], name
    assert [look.mails for look in looked(shop, "week", THEN, LATER).looks] == [1, 0]
    assert point_at(shop, "week", LATER).left_out == {"no consent": 1}


def test_one_given_later_is_not_given_yet_and_the_boundary_is_strict(shop: Shop) -> None:
    who = add(shop, "a", consent=None)
    for at, given in ((THEN - DAY, False), (THEN, True)):
        say(shop, who, given, at)
    moments = (THEN - 2 * DAY, THEN, THEN + timedelta(microseconds=1))
    assert [point_at(shop, "wants", moment).size for moment in moments] == [0, 0, 1]
    with shop.store.read() as connection:
        entries = [consent.latest_entries(connection, who, moment) for moment in moments]
        live = consent.latest_entries(connection, who)
    assert [entry["offers"].given if entry else None for entry in entries] == [None, False, True]
    assert live["offers"].given


def test_a_plan_that_may_be_sent_hears_the_newest_word_whatever_day_is_today(shop: Shop) -> None:
    who, other = (add(shop, name, consent=None, country="NO") for name in "ab")
    say(shop, who, True, THEN - DAY)
    say(shop, who, False, THEN + DAY)
    say(shop, other, True, THEN)
    made = plan.make_plan(shop.store, edition(shop), THEN, THEN)
    assert (made.mails, made.left_out) == (1, {"no consent": 1})
    back = explain.explain_audience(
        shop.store, Rulebook.load(shop.folder), subject_audience(shop), "a", THEN, back=True
    )
    assert back.audience.holds
    assert not explain.explain_audience(
        shop.store, Rulebook.load(shop.folder), subject_audience(shop), "a", THEN
    ).audience.holds


def subject_audience(shop: Shop) -> object:
    return Rulebook.load(shop.folder).book.audience("wants")


def test_service_mail_goes_to_who_had_not_yet_withdrawn(shop: Shop) -> None:
    write(shop, "rules/topics.yaml", "offers: {title: Offers, requires_consent: no}\n")
    early, late, silent = (add(shop, name, consent=None, country="NO") for name in "abc")
    say(shop, early, False, THEN - DAY)
    say(shop, late, False, THEN + DAY)
    point = point_at(shop, "week", THEN)
    assert (point.mails, point.left_out) == (2, {"no consent": 1})
    assert silent


def test_what_came_later_is_not_known_yet(shop: Shop) -> None:
    who = {name: add(shop, name, consent=None, country="NO") for name in ("held", "received", "capped", "diet", "new")}
    for customer in who.values():
        say(shop, customer, True, THEN - 90 * DAY)
    later = THEN + DAY
    with shop.store.write() as connection:
        hashed = project.person("held", "held@mail.example")["address_hash"]
        suppression.add(connection, hashed, "bounced", "test", later)
    sent(shop.store, who["received"], "week", later)
    sent(shop.store, who["capped"], "another", later)
    state(shop.store, who["diet"], "vegetarian")  # in June
    new = add(shop, "joins", consent=None, country="NO", joined_at=later)
    say(shop, new, True, later)
    point = point_at(shop, "week", THEN)
    assert (point.size, point.mails, point.left_out) == (5, 5, {})
    after = point_at(shop, "week", THEN + 2 * DAY)
    assert (after.size, after.mails) == (6, 3)
    assert after.left_out == {"already received": 1, "frequency cap": 1, "suppressed": 1}
    assert point_at(shop, "week", datetime(2026, 6, 2, tzinfo=ZONE)).left_out["guard"] == 1


def test_an_answer_counts_as_it_was_at_the_date(shop: Shop) -> None:
    write(shop, "rules/preferences.yaml", ANSWERS)
    hashed = project.person("x", "veggie@mail.example")["address_hash"]
    who = {name: add(shop, name, consent=None, country="NO") for name in ("veggie", "rare")}
    who["mate"] = add(shop, "mate", consent=None, country="NO", email="veggie@mail.example", address_hash=hashed)
    for customer in who.values():
        say(shop, customer, True, THEN - 90 * DAY)
    history = [
        (who["veggie"], "diet", "vegetarian", {THEN - 9 * DAY: "no", THEN - DAY: "yes", LATER - DAY: "unsaid"}),
        (who["rare"], "frequency", "never", {THEN - DAY: "yes", LATER - DAY: "no"}),
    ]
    with shop.store.write() as connection:
        for customer, question, value, states in history:
            for at, answer in states.items():
                answers.say(connection, customer, question, value, at, answer)
    assert point_at(shop, "week", THEN - 2 * DAY).left_out == {"same address": 1}
    assert point_at(shop, "week", THEN).left_out == {"guard": 2, "asked for less": 1}
    assert point_at(shop, "week", LATER).left_out == {"same address": 1}
    assert not [note for note in looked(shop, "week", THEN).notes if "preference" in note]
    rules = Rulebook.load(shop.folder)
    veggies = rules.book.audience("veggies")
    assert explain.explain_audience(shop.store, rules, veggies, "veggie", THEN, back=True).audience.holds
    assert not explain.explain_audience(shop.store, rules, veggies, "veggie", THEN).audience.holds


def test_who_joined_later_but_had_bought_was_there(shop: Shop) -> None:
    add(shop, "a", joined_at=THEN + DAY)
    buyer = add(shop, "b", joined_at=THEN + DAY)
    buy(shop.store, buyer, {1: 1}, THEN - DAY)
    add(shop, "c")
    result = looked(shop, "all", THEN)
    assert (result.looks[0].size, result.looks[0].outside.customers) == (2, 0)
    assert any("have no joining date" in note for note in result.notes)


def test_a_look_back_at_today_decides_as_the_plan_does(shop: Shop) -> None:
    everybody(shop)
    now = project.NOW + timedelta(microseconds=1)
    made = plan.make_plan(shop.store, edition(shop), now, now)
    before = everything(shop.store)
    point = point_at(shop, "week", now)
    # Offers are not chosen again, and the notes say so.
    assert dict(point.contents) == {"meat": 1, "green": 2}
    assert dict(point.left_out) == {name: n for name, n in made.left_out.items() if name != "no offers"}
    assert point.size == made.audience
    assert everything(shop.store) == before
    assert any("'no offers'" in note for note in looked(shop, "week", now).notes)


def test_nothing_but_reading_reaches_the_database_and_writers_go_on(shop: Shop) -> None:
    everybody(shop)
    statements: list[str] = []
    event.listen(shop.store.engine, "before_cursor_execute", lambda *a: statements.append(a[2].split()[0].upper()))
    done: list[int] = []

    def written(number: int, of: int) -> None:
        done.append(number)

    backtest.run_backtest(shop.store, subject(shop, "week"), Series(THEN, LATER), ZONE, written)
    hindsight_refused(shop)
    assert done == [0, 1]
    # SET gives the transaction more memory, until it ends.
    assert set(statements) <= {"SELECT", "WITH", "BEGIN", "SET"}
    with shop.store.read() as reading:
        audiences.customers(reading)
        add(shop, "somebody")  # a writer does not wait for who reads


def hindsight_refused(shop: Shop) -> None:
    with pytest.raises(Refused, match="no past campaign"):
        past_response.compare_responses(shop.store, subject(shop, "all"), Series(), ZONE, lambda *_: None)


def test_who_stays_enters_and_leaves(shop: Shop) -> None:
    stays, enters, leaves = (add(shop, name) for name in "abc")
    for customer, at in ((stays, THEN), (stays, LATER), (leaves, THEN), (enters, LATER)):
        buy(shop.store, customer, {1 if at == THEN else 2: 1}, at - DAY)
    first, second = looked(shop, "green", THEN, LATER).looks
    assert (first.size, first.kept, first.entered, first.left) == (2, None, None, None)
    assert (second.size, second.kept, second.entered, second.left) == (2, 1, 1, 1)


def test_bought_counts_goal_products_from_the_date_on_within_the_window(shop: Shop) -> None:
    inside, idle, outside = (add(shop, name) for name in "abc")
    for customer in (inside, idle):
        buy(shop.store, customer, {1: 1}, THEN - DAY)
    buy(shop.store, inside, {2: 2}, THEN)
    buy(shop.store, outside, {2: 1}, THEN + 14 * DAY - timedelta(microseconds=1))
    buy(shop.store, outside, {3: 1}, THEN + 14 * DAY)
    buy(shop.store, outside, {4: 3}, THEN + DAY)
    (point,) = looked(shop, "green", THEN).looks
    assert (point.inside.customers, point.inside.buyers, point.inside.spent) == (2, 1, Decimal("5.00"))
    assert (point.outside.customers, point.outside.buyers, point.outside.spent) == (1, 1, Decimal("10.00"))
    assert backtest.spent(point.inside).value == 2.5
    assert not point.difference.enough
    meat = Rulebook.load(shop.folder).guards[0].never
    (point,) = looked(shop, "green", THEN, aim=ResponseGoal(meat, Span(2, "day"))).looks
    assert (point.inside.buyers, point.outside.spent) == (0, Decimal("7.50"))


def test_erased_customers_are_counted_nowhere(shop: Shop) -> None:
    add(shop, "a")
    gone = add(shop, "b")
    with shop.store.write() as connection:
        privacy.erase(connection, gone, b"k" * 32, "test", project.NOW)
    result = looked(shop, "all", THEN)
    assert (result.looks[0].size, result.looks[0].outside.customers) == (1, 0)
    assert any(note.startswith("1 erased customers are excluded") for note in result.notes)


def test_no_customers_and_no_purchases(shop: Shop) -> None:
    result = looked(shop, "week", THEN, LATER)
    assert [look.size for look in result.looks] == [0, 0]
    assert "There are no purchases." in result.notes
    assert result.as_dict()["dates"][1]["in_audience"]["share"]["words"] == "too few to say"


def test_past_campaigns_are_held_against_the_audience_as_of_their_start(shop: Shop) -> None:
    inside, other, outside = (add(shop, name) for name in "abc")
    buy(shop.store, inside, {1: 1}, THEN - DAY)
    buy(shop.store, other, {1: 1}, THEN - DAY)
    buy(shop.store, outside, {1: 1}, THEN + DAY)
    run = {"id": 1, "campaign": "past", "topic": "offers", "definition": "d", "state": "past", "as_of": THEN,
           "launched_at": THEN, "finished_at": THEN + 7 * DAY, "at_least_once": False}  # fmt: skip
    insert(shop.store, tables.Run, [run])
    mailed = [{"run_id": 1, "customer_id": who, "state": "sent", "attempts": 1} for who in (inside, other, outside)]
    insert(shop.store, tables.Delivery, mailed)
    answers = [
        {"customer_id": who, "run_id": 1, "kind": "converted", "key": f"{who}-{n}", "at": THEN + DAY, "detail": {},
         "by": "human", "why": ""}
        for who, n in ((inside, 1), (inside, 2), (outside, 1))
    ]  # fmt: skip
    insert(shop.store, tables.Feedback, answers)
    response = past_response.compare_responses(shop.store, subject(shop, "green"), Series(), ZONE, lambda *_: None)
    (past,) = response.pasts
    assert (past.inside, past.outside) == ((2, 1), (1, 1))
    assert response.total() == ((2, 1), (1, 1))
    assert any("3 mails went to 3 customers, 2 responses came from 2" in note for note in response.notes)
    with pytest.raises(Refused):
        past_response.compare_responses(shop.store, subject(shop, "green"), Series(since=LATER), ZONE, lambda *_: None)


@pytest.fixture
def crowd(shop: Shop) -> Shop:
    shop.add([{**person, "joined_at": None} for person in project.people(20_000)], consent=False)
    return shop


def test_memory_does_not_grow_with_the_audience(crowd: Shop) -> None:
    point_at(crowd, "all", THEN)
    tracemalloc.start()
    point_at(crowd, "all", THEN)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A chunk of rows at a time, and a bit for each member.
    assert peak < 6_000_000
