"""Checks who may be mailed: an address is one inbox for all customers who share it, and earlier mails count."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from mailshot.campaign import explain, launch
from mailshot.facts.periods import Span
from mailshot.profile.preferences import Limit
from mailshot.states import Reason
from mailshot.store import consent, dialect, inboxes, suppression, tables
from mailshot.store.eligibility import Gates
from mailshot.store.engine import Store
from tests.campaign.test_plan import rows
from tests.support import answers, ledger_rows, project
from tests.support.campaigns import NOW, edition, insert, open_shop, planned, sent
from tests.support.ledger_rows import begin, claim, commit_intent, settle, states
from tests.support.project import TOPIC, Shop

DAY = timedelta(days=1)
CAMPAIGN = """campaign: {name}
topic: {topic}
sender: bay
audience: all
holdout: 0%
repeat: yes
content: [{{name: hello, template: hello}}]
"""
TOPICS = "offers: {title: Offers}\nservice: {title: Orders, requires_consent: false}\n"
FREQUENCY = """diet: {title: Diet, values: {vegetarian: Vegetarian}}
frequency:
  title: How often?
  values:
    always: Always
    weekly: {label: Weekly, at_most: {mails: 1, per: 7 days}}
    no_ads: {label: None, at_most: {mails: 0, per: 1 day}}
"""


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    made = open_shop(store, tmp_path / "shop", CAMPAIGN.format(name="week", topic="offers"))
    (made.folder / "rules/topics.yaml").write_text(TOPICS)
    (made.folder / "rules/preferences.yaml").write_text(FREQUENCY)
    for name, topic in (("other", "offers"), ("order", "service")):
        (made.folder / f"rules/campaigns/{name}.yaml").write_text(CAMPAIGN.format(name=name, topic=topic))
    return made


def person(
    shop: Shop, key: str, email: str = "guest@mail.example", consented_at: datetime | None = NOW - 30 * DAY
) -> int:
    """Add one customer, who consented at a moment (None: never)."""
    (customer_id,) = shop.add([project.person(key, email)], consent=False)
    if consented_at:
        say(shop, customer_id, True, consented_at)
    return customer_id


def say(shop: Shop, who: int, given: bool, at: datetime, topic: str = TOPIC) -> None:
    with shop.store.write() as connection:
        consent.record_consent(connection, who, topic, given, at, "test")


def withdraw_address(shop: Shop, email: str, at: datetime) -> None:
    hashed = project.person("x", email)["address_hash"]
    insert(shop.store, tables.AddressWithdrawal, [{"address_hash": hashed, "topic": TOPIC, "at": at, "source": "t"}])


def choose(shop: Shop, who: int, value: str) -> None:
    with shop.store.write() as connection:
        answers.say(connection, who, "frequency", value, NOW)


def move(shop: Shop, who: int, email: str, at: datetime) -> None:
    """Give a customer another address at a moment, as an import does."""
    new, customer = project.person("x", email), dialect.table(tables.Customer)
    with shop.store.write() as connection:
        inboxes.leave(connection, [who], at)
        values = {"email": new["email"], "address_hash": new["address_hash"]}
        connection.execute(customer.update().where(customer.c.id == who).values(**values))


def reasons(shop: Shop, name: str = "week", now: datetime = NOW) -> dict[int, str | None]:
    return {who: row["reason"] for who, row in rows(shop, planned(shop, now, name).id).items()}


def failing(shop: Shop, key: str, name: str = "week") -> dict[str, str]:
    explanation = explain.explain_campaign(shop.store, edition(shop, name), key, NOW)
    return {check.name: check.finding for check in explanation.obstacles()}


@pytest.mark.parametrize("who", ["first", "second"])
def test_a_withdrawal_by_either_customer_stops_the_topic_at_their_address(shop: Shop, who: str) -> None:
    ann, bob = person(shop, "Q1", "guest@mail.example"), person(shop, "Q2", "Guest@Mail.Example")
    say(shop, ann if who == "first" else bob, False, NOW - DAY)
    assert reasons(shop) == {ann: "no consent", bob: "no consent"}
    stays = "Q2" if who == "first" else "Q1"
    finding = failing(shop, stays)["consent to 'offers'"]
    assert finding == f"withdrawn at this address by customer '{'Q1' if who == 'first' else 'Q2'}'"


def test_a_withdrawal_applies_to_others_at_the_address_even_if_they_consented_later(shop: Shop) -> None:
    ann, bob = person(shop, "Q1", consented_at=NOW - DAY), person(shop, "Q2", consented_at=None)
    say(shop, bob, False, NOW - 9 * DAY)
    assert set(reasons(shop).values()) == {"no consent"}
    assert ann != bob


def test_a_withdrawal_of_another_topic_or_another_address_stops_nothing(shop: Shop) -> None:
    ann = person(shop, "Q1")
    say(shop, person(shop, "Q2"), False, NOW - DAY, topic="service")
    say(shop, person(shop, "Q3", "else@mail.example"), False, NOW - DAY)
    assert reasons(shop)[ann] is None


@pytest.mark.parametrize(("days", "reason"), [(10, None), (30, "no consent"), (40, "no consent")])
def test_a_withdrawal_of_the_address_applies_unless_the_customer_consented_later(
    shop: Shop, days: int, reason: str | None
) -> None:
    ann = person(shop, "Q1", consented_at=NOW - timedelta(days=days))
    withdraw_address(shop, "GUEST@mail.example", NOW - 30 * DAY)
    assert reasons(shop) == {ann: reason}
    if reason:
        assert "for this address" in failing(shop, "Q1")["consent to 'offers'"]


def test_a_withdrawal_of_the_address_stops_service_mail_too(shop: Shop) -> None:
    ann, hashed = person(shop, "Q1", consented_at=None), project.person("x", "guest@mail.example")["address_hash"]
    row = {"address_hash": hashed, "topic": "service", "at": NOW - DAY, "source": "t"}
    insert(shop.store, tables.AddressWithdrawal, [row])
    assert reasons(shop, "order") == {ann: "no consent"}


def test_joining_again_on_the_page_ends_the_withdrawal_of_the_others(shop: Shop) -> None:
    from mailshot.feedback import preferences
    from mailshot.feedback.preferences import PreferenceChange, RequestedChanges

    book = edition(shop).rulebook
    ann, bob = person(shop, "Q1"), person(shop, "Q2")
    say(shop, bob, False, NOW - DAY)
    withdraw_address(shop, "guest@mail.example", NOW - DAY)
    with shop.store.write() as connection:
        assert not preferences.current_preferences(connection, ann, NOW).consents[TOPIC].given
        change = PreferenceChange(ann, None, RequestedChanges(topics={TOPIC: True}), NOW)
        preferences.save_changes(connection, change, book.topics, book.statements)
    assert sorted(reasons(shop).values(), key=str) == [None, "same address"]


def test_two_customers_of_one_address_get_one_mail(shop: Shop) -> None:
    ann, bob, third = person(shop, "Q1"), person(shop, "Q2"), person(shop, "Q3", "else@mail.example")
    assert reasons(shop) == {ann: None, bob: "same address", third: None}
    explanation = explain.explain_campaign(shop.store, edition(shop), "Q2", NOW)
    assert "shared with 'Q1'" in failing(shop, "Q2")["inbox"]
    assert explanation.reason == Reason.same_address
    assert explanation.outcome().startswith("No mail: same address")


def test_the_inbox_gets_the_mail_of_the_first_who_qualifies(shop: Shop) -> None:
    ann, bob = person(shop, "Q1", consented_at=None), person(shop, "Q2")
    assert reasons(shop) == {ann: "no consent", bob: None}


def test_what_one_customer_received_counts_for_the_other(shop: Shop) -> None:
    text = CAMPAIGN.format(name="week", topic="offers").replace("repeat: yes", "repeat: no")
    (shop.folder / "rules/campaigns/week.yaml").write_text(text)
    ann, bob = person(shop, "Q1"), person(shop, "Q2")
    sent(shop.store, ann, "week", NOW - 100 * DAY)
    assert reasons(shop) == {ann: "already received", bob: "already received"}
    assert "first time" in failing(shop, "Q2")


def test_a_cap_counts_the_mails_of_the_whole_inbox(shop: Shop) -> None:
    text = CAMPAIGN.format(name="week", topic="offers") + "limits: {cap: {mails: 2, per: 7 days}}\n"
    (shop.folder / "rules/campaigns/week.yaml").write_text(text)
    ann, bob, third = person(shop, "Q1"), person(shop, "Q2"), person(shop, "Q3", "else@mail.example")
    sent(shop.store, ann, "other", NOW - 2 * DAY)
    sent(shop.store, third, "other", NOW - 2 * DAY)
    assert reasons(shop) == {ann: None, bob: "same address", third: None}
    sent(shop.store, bob, "more", NOW - DAY)
    assert reasons(shop) == {ann: "frequency cap", bob: "frequency cap", third: None}
    assert failing(shop, "Q1")["frequency cap"] == "2 of 2 mails in 7 days"


def test_a_cap_counts_each_mail_of_a_customer_who_left_and_returned_once(shop: Shop) -> None:
    text = CAMPAIGN.format(name="week", topic="offers") + "limits: {cap: {mails: 2, per: 7 days}}\n"
    (shop.folder / "rules/campaigns/week.yaml").write_text(text)
    ann, bob = person(shop, "Q1"), person(shop, "Q2")
    sent(shop.store, ann, "other", NOW - 3 * DAY)
    for days, email in ((2, "else@mail.example"), (1, "guest@mail.example")):
        move(shop, ann, email, NOW - days * DAY)
    assert reasons(shop) == {ann: None, bob: "same address"}
    sent(shop.store, bob, "more", NOW - DAY)
    assert reasons(shop) == {ann: "frequency cap", bob: "frequency cap"}


def test_mail_counts_for_the_inbox_that_the_customer_had_when_it_was_sent(shop: Shop) -> None:
    """Ann had the addresses A, B, A and C; the heirs of A and B have them now."""
    text = CAMPAIGN.format(name="week", topic="offers") + "limits: {cap: {mails: 2, per: 30 days}}\n"
    (shop.folder / "rules/campaigns/week.yaml").write_text(text)
    ann = person(shop, "Q1", "a@mail.example")
    for days, following in ((9, "b@mail.example"), (6, "a@mail.example"), (3, "c@mail.example")):
        sent(shop.store, ann, "other", NOW - (days + 1) * DAY)
        move(shop, ann, following, NOW - days * DAY)
    heirs = [person(shop, f"heir of {name}", f"{name}@mail.example") for name in "ab"]
    assert reasons(shop) == {ann: "frequency cap", heirs[0]: "frequency cap", heirs[1]: None}
    assert failing(shop, "heir of a")["frequency cap"] == "2 of 2 mails in 30 days"
    assert "frequency cap" not in failing(shop, "heir of b")


@pytest.mark.parametrize(("days", "reason"), [(6.9, "asked for less"), (7.1, None)])
def test_a_customer_who_asked_for_one_mail_a_week_gets_one(shop: Shop, days: float, reason: str | None) -> None:
    ann, bob = person(shop, "Q1"), person(shop, "Q2", "else@mail.example")
    choose(shop, ann, "weekly")
    for who in (ann, bob):
        sent(shop.store, who, "other", NOW - timedelta(days=days))
    assert reasons(shop) == {ann: reason, bob: None}
    if reason:
        assert failing(shop, "Q1") == {"customer's choice 'Weekly'": "1 of 1 mails in 7 days"}


@pytest.mark.parametrize("limit", ["cap", "choice"])
@pytest.mark.parametrize(("days", "held"), [(6.9, True), (7, False)])
def test_a_weekly_mail_reaches_the_same_people_every_week(shop: Shop, limit: str, days: float, held: bool) -> None:
    """The run takes an hour. Whoever was mailed at its end is mailed a week later too, and not before."""
    ann = person(shop, "Q1")
    if limit == "choice":
        choose(shop, ann, "weekly")
    else:
        text = CAMPAIGN.format(name="week", topic="offers") + "limits: {cap: {mails: 1, per: 7 days}}\n"
        (shop.folder / "rules/campaigns/week.yaml").write_text(text)
    launched(shop, "week", NOW)
    delivery, left = dialect.table(tables.Delivery), NOW + timedelta(minutes=50)
    with shop.store.write() as connection:
        connection.execute(delivery.update().values(state="sent", dotted_at=left, settled_at=left))
    later = NOW + timedelta(days=days)
    reason = {"cap": "frequency cap", "choice": "asked for less"}[limit] if held else None
    assert reasons(shop, now=later) == {ann: reason}
    explanation = explain.explain_campaign(shop.store, edition(shop), "Q1", later)
    assert [check.name for check in explanation.obstacles()] == ([] if reason is None else [failing_check(limit)])


def failing_check(limit: str) -> str:
    return {"cap": "frequency cap", "choice": "customer's choice 'Weekly'"}[limit]


def test_a_choice_applies_to_all_customers_of_the_address(shop: Shop) -> None:
    ann, bob = person(shop, "Q1"), person(shop, "Q2")
    choose(shop, bob, "weekly")
    sent(shop.store, bob, "other", NOW - DAY)
    assert reasons(shop) == {ann: "asked for less", bob: "asked for less"}


def test_customers_who_want_no_mail_get_service_mail_only(shop: Shop) -> None:
    ann = person(shop, "Q1")
    choose(shop, ann, "no_ads")
    assert reasons(shop) == {ann: "asked for less"}
    assert reasons(shop, "order") == {ann: None}


def test_service_mail_is_neither_counted_nor_limited(shop: Shop) -> None:
    ann = person(shop, "Q1")
    choose(shop, ann, "weekly")
    begun = launched(shop, "order")
    assert ledger_rows.head(shop.store, begun).service
    assert reasons(shop, now=NOW + DAY) == {ann: None}
    launched(shop, "week", NOW + DAY)
    assert reasons(shop, "other", now=NOW + 2 * DAY) == {ann: "asked for less"}
    assert reasons(shop, "order", now=NOW + 2 * DAY) == {ann: None}


def launched(shop: Shop, name: str, now: datetime = NOW) -> int:
    planned(shop, now, name)
    run_id = launch.launch_plan(shop.store, edition(shop, name), now, now).run_id
    assert run_id is not None
    return run_id


WEEKLY = ((("frequency", "weekly"), Limit(1, Span(7, "day"))),)


def add_customers(store: Store, number: int = 1, email: str | None = None) -> list[int]:
    """Add customers, all at one address where it is named."""
    people = ledger_rows.customers(store, number)
    if email:
        hashed = project.person("x", email)["address_hash"]
        customer = dialect.table(tables.Customer)
        with store.write() as connection:
            same = customer.update().where(customer.c.id.in_(people))
            connection.execute(same.values(email=email, address_hash=hashed))
    return people


def reason(store: Store, run_id: int) -> dict[int, str | None]:
    return {who: row["reason"] for who, row in ledger_rows.rows(store, run_id).items()}


def test_at_the_dot_a_withdrawal_by_another_customer_of_the_address_counts(store: Store) -> None:
    ann, bob = add_customers(store, 2, "guest@mail.example")
    run_id = begin(store, [ann])
    claim(store, run_id, 7)
    with store.write() as connection:
        consent.record_consent(connection, bob, TOPIC, False, ledger_rows.NOW, "test")
    assert commit_intent(store, run_id, 7, [ann]) == set()
    assert reason(store, run_id) == {ann: "no consent"}


def test_at_the_dot_a_withdrawal_of_the_address_counts(store: Store) -> None:
    (ann,) = add_customers(store, 1, "guest@mail.example")
    run_id = begin(store, [ann])
    claim(store, run_id, 7)
    hashed = project.person("x", "guest@mail.example")["address_hash"]
    late = datetime.now(UTC) + DAY
    insert(store, tables.AddressWithdrawal, [{"address_hash": hashed, "topic": TOPIC, "at": late, "source": "t"}])
    assert commit_intent(store, run_id, 7, [ann]) == set()
    assert reason(store, run_id) == {ann: "no consent"}


@pytest.mark.parametrize("together", [True, False])
def test_one_of_two_customers_who_share_an_address_since_the_launch_is_mailed(store: Store, together: bool) -> None:
    ann, bob = add_customers(store, 2)
    run_id = begin(store, [ann, bob])
    given_address(store, [ann, bob])
    claim(store, run_id, 7)
    if together:
        assert commit_intent(store, run_id, 7, [ann, bob]) == {ann}
    else:
        assert commit_intent(store, run_id, 7, [bob]) == set()
        assert commit_intent(store, run_id, 7, [ann]) == {ann}
    assert reason(store, run_id) == {ann: None, bob: "same address"}


def given_address(store: Store, people: list[int]) -> None:
    hashed = project.person("x", "both@mail.example")["address_hash"]
    customer = dialect.table(tables.Customer)
    with store.write() as connection:
        same = customer.update().where(customer.c.id.in_(people))
        connection.execute(same.values(email="both@mail.example", address_hash=hashed))


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        (Gates(TOPIC, True, cap=Limit(1, Span(7, "day"))), "frequency cap"),
        (Gates(TOPIC, True, choices=WEEKLY), "asked for less"),
        (Gates(TOPIC, False, choices=WEEKLY), None),
        (Gates(TOPIC, True, cap=Limit(2, Span(7, "day"))), None),
    ],
)
def test_at_the_dot_earlier_mails_to_the_inbox_count(store: Store, gates: Gates, expected: str | None) -> None:
    ann, bob = add_customers(store, 2, "guest@mail.example")
    with store.write() as connection:
        answers.say(connection, ann, "frequency", "weekly", NOW)
    first, second = begin(store, [bob]), begin(store, [ann])
    claim(store, first, 7)
    claim(store, second, 8)
    assert commit_intent(store, first, 7, [bob], gates=gates) == {bob}
    settle(store, first, 7, bob, ledger_rows.DeliveryState.sent)
    assert commit_intent(store, second, 8, [ann], gates=gates) == (set() if expected else {ann})
    assert reason(store, second) == {ann: expected}
    assert states(store, second) == {ann: "skipped" if expected else "dotting"}


def test_the_window_rolls_from_when_the_mail_left_not_from_the_launch(store: Store) -> None:
    """A mail that a slow run sent days after its launch still counts a week from then."""
    (ann,) = add_customers(store)
    gates = Gates(TOPIC, True, cap=Limit(1, Span(7, "day")))
    first, second = begin(store, [ann]), begin(store, [ann])
    late, start = timedelta(days=5), ledger_rows.NOW
    claim(store, first, 7, start + late)
    assert commit_intent(store, first, 7, [ann], start + late, gates) == {ann}
    settle(store, first, 7, ann, ledger_rows.DeliveryState.sent)
    claim(store, second, 8, start + timedelta(days=8))
    assert commit_intent(store, second, 8, [ann], start + timedelta(days=8), gates) == set()
    third = begin(store, [ann])
    claim(store, third, 9, start + timedelta(days=13))
    assert commit_intent(store, third, 9, [ann], start + timedelta(days=13), gates) == {ann}


def test_two_runs_at_one_moment_cannot_both_pass_the_cap(store: Store) -> None:
    ann, bob = add_customers(store, 2, "guest@mail.example")
    gates = Gates(TOPIC, True, cap=Limit(1, Span(1, "day")))
    for _ in range(5):
        pair = [(begin(store, [ann]), 7, ann), (begin(store, [bob]), 8, bob)]
        for run_id, token, _who in pair:
            claim(store, run_id, token)
        ready = threading.Barrier(2)

        def dot(job: tuple[int, int, int], ready: threading.Barrier = ready) -> set[int]:
            run_id, token, who = job
            ready.wait(30)
            return commit_intent(store, run_id, token, [who], gates=gates)

        with ThreadPoolExecutor(2) as pool:
            passed = [who for allowed in pool.map(dot, pair) for who in allowed]
        assert len(passed) == 1
        delivery = dialect.table(tables.Delivery)
        with store.write() as connection:
            connection.execute(delivery.delete())


def test_a_suppressed_address_is_suppressed_for_all_its_customers(shop: Shop) -> None:
    ann, bob = person(shop, "Q1"), person(shop, "Q2")
    with shop.store.write() as connection:
        suppression.add(connection, project.person("x", "guest@mail.example")["address_hash"], "bounced", "t", NOW)
    assert reasons(shop) == {ann: "suppressed", bob: "suppressed"}


def test_tracking_is_off_for_an_inbox_when_any_customer_refused_it(shop: Shop) -> None:
    ann, bob, free = person(shop, "Q1"), person(shop, "Q2"), person(shop, "Q3", "else@mail.example")
    for who in (ann, free):
        say(shop, who, True, NOW, "tracking")
    with shop.store.read() as connection:
        assert consent.may_track(connection, [ann, bob, free]) == {ann, free}
    say(shop, bob, False, NOW - DAY, "tracking")
    with shop.store.read() as connection:
        assert consent.may_track(connection, [ann, bob, free]) == {free}


def test_the_customers_of_an_inbox_are_found_by_indexes_alone(store: Store) -> None:
    """Every mail and every withdrawal asks for them: to go through all customers would cost more the larger a shop."""
    explain = "EXPLAIN QUERY PLAN" if store.sqlite else "EXPLAIN"
    asked = dialect.sharing([1, 2]).compile(store.engine, compile_kwargs={"literal_binds": True})
    with store.read() as connection:
        if not store.sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        steps = [str(row) for row in connection.execute(text(f"{explain} {asked}"))]
    assert [step for step in steps if "SCAN customer" in step or "Seq Scan" in step or "SCAN mine" in step] == []
