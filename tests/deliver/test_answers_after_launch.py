"""Preferences and addresses that change after a launch apply to mail that is already planned or rendered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailshot.bootstrap import App
from mailshot.campaign import explain
from mailshot.deliver import pipeline
from mailshot.feedback import preferences
from mailshot.feedback.preference_controls import RequestedChanges
from mailshot.feedback.preferences import PreferenceChange
from mailshot.profile.preferences import StatedPreference
from mailshot.rulebook.rulebook import Rulebook
from mailshot.states import DeliveryState
from mailshot.store import dialect, inboxes, ledger, suppression, tables, worker_ledger
from tests.support import campaigns, ledger_rows, project
from tests.support.processes import Sink
from tests.support.project import Shop

WEEK = """campaign: week
topic: offers
sender: bay
audience: all
holdout: 0%
content:
  - {name: meat, when: {country: "NO"}, template: hello, about: {department: MEAT}}
  - {name: picks, template: picks, offers: picks}
offers:
  picks: {products: {department: [GREEN, MEAT]}, take: 3, at_least: 1, fill: no}
"""
BODY = """<p>{% for offer in offers %}[{{ offer.name }}]{% endfor %}</p>
<p><a href="{{ links.unsubscribe }}">Unsubscribe</a>, {{ sender.postal_address }}</p>
"""
LATER = datetime.now(UTC) - timedelta(days=3)


@pytest.fixture
def shop(shop: Shop) -> Shop:
    opened = campaigns.open_shop(shop.store, shop.folder, WEEK)
    for name, text in {"subject.txt": "Picks", "body.html": BODY, "sample.yaml": "customer: {}\n"}.items():
        path = opened.folder / "templates" / "picks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return opened


def say(shop: Shop, customer: int, diet: str) -> None:
    """Answer the question of the preference page."""
    rules = Rulebook.load(shop.folder)
    requested = RequestedChanges(stated=[StatedPreference("diet", diet, True)])
    change = PreferenceChange(customer, None, requested, datetime.now(UTC))
    with shop.store.write() as connection:
        preferences.save_changes(connection, change, rules.topics, rules.statements)


def move(shop: Shop, customer: int, email: str) -> None:
    """Give a customer another address, in the row alone."""
    new, table = project.person("x", email), dialect.table(tables.Customer)
    with shop.store.write() as connection:
        values = {"email": new["email"], "address_hash": new["address_hash"]}
        connection.execute(table.update().where(table.c.id == customer).values(**values))


def launched(shop: Shop) -> int:
    return shop.launch(campaigns.edition(shop))


def sent(app: Callable[..., App], run_id: int) -> None:
    pipeline.send_batch(app().send_settings, run_id, 1000, threading.Event())


def became(shop: Shop, run_id: int, *who: int) -> list[Any]:
    """Return the reason, or else the state, of these customers' mails."""
    deliveries = ledger_rows.rows(shop.store, run_id)
    return [deliveries[customer]["reason"] or deliveries[customer]["state"] for customer in who]


def test_a_customer_who_turns_vegetarian_gets_no_meat(shop: Shop, sink: Sink, app: Callable[..., App]) -> None:
    eater, turned, back = (campaigns.add(shop, key, country="NO") for key in "abc")
    run_id = launched(shop)
    say(shop, turned, "vegetarian")
    say(shop, back, "vegetarian")
    say(shop, back, "everything")
    sent(app, run_id)
    assert became(shop, run_id, eater, turned, back) == ["sent", "guard", "sent"]
    assert sink.recipients() == {"a@mail.example", "c@mail.example"}


def test_a_mail_in_doubt_is_checked_again_before_resending(shop: Shop, sink: Sink, app: Callable[..., App]) -> None:
    turned, eater = (campaigns.add(shop, key, country="NO") for key in "ab")
    run_id, now = launched(shop), datetime.now(UTC)
    ledger_rows.claim(shop.store, run_id, 7, now, 100)
    assert ledger_rows.commit_intent(shop.store, run_id, 7, [turned, eater], now) == {turned, eater}
    for customer in (turned, eater):
        ledger_rows.settle(shop.store, run_id, 7, customer, DeliveryState.unconfirmed)
    say(shop, turned, "vegetarian")
    with shop.store.write() as connection:
        worker_ledger.unclaim(connection, run_id, 7)
        assert ledger.resolve_unconfirmed(connection, run_id, True, now) == 2
    sent(app, run_id)
    assert became(shop, run_id, turned, eater) == ["guard", "sent"]


def test_offers_that_have_become_forbidden_are_left_out(shop: Shop, sink: Sink, app: Callable[..., App]) -> None:
    both, meat = campaigns.add(shop, "a"), campaigns.add(shop, "b")
    campaigns.buy(shop.store, both, {1: 1, 4: 2}, LATER)
    campaigns.buy(shop.store, meat, {4: 1}, LATER)
    run_id = launched(shop)
    for customer in (both, meat):
        say(shop, customer, "vegetarian")
    sent(app, run_id)
    assert became(shop, run_id, both, meat) == ["sent", "guard"]
    (mail,) = sink.entries()
    assert "[Product 1]" in mail["data"]
    assert "[Product 4]" not in mail["data"]


def test_a_preference_of_one_account_applies_to_the_guards_of_its_inbox(shop: Shop) -> None:
    address = project.person("x", "both@mail.example")
    shared = {"email": address["email"], "address_hash": address["address_hash"], "country": "NO"}
    eater, vegetarian = campaigns.add(shop, "a", **shared), campaigns.add(shop, "b", **shared)
    other = campaigns.add(shop, "c", country="NO")
    say(shop, vegetarian, "vegetarian")
    say(shop, other, "everything")
    run_id = launched(shop)
    assert became(shop, run_id, eater, vegetarian, other) == ["guard", "guard", "pending"]
    explanation = explain.explain_campaign(shop.store, campaigns.edition(shop), "a", datetime.now(UTC))
    assert [check.name for check in explanation.obstacles()][:1] == ["guards"]
    assert explanation.obstacles()[0].remedy


def test_offers_of_a_shared_inbox_suit_all_its_customers(shop: Shop) -> None:
    address = project.person("x", "both@mail.example")
    shared = {"email": address["email"], "address_hash": address["address_hash"]}
    eater, vegetarian = campaigns.add(shop, "a", **shared), campaigns.add(shop, "b", **shared)
    campaigns.buy(shop.store, eater, {1: 1, 4: 2}, LATER)
    say(shop, vegetarian, "vegetarian")
    run_id = launched(shop)
    assert [product for product, _ in ledger_rows.rows(shop.store, run_id)[eater]["offers"]] == [1]


def test_a_mail_rendered_for_an_older_revision_is_rendered_again(shop: Shop) -> None:
    customer, other = campaigns.add(shop, "a", country="NO"), campaigns.add(shop, "b", country="NO")
    run_id, now = launched(shop), datetime.now(UTC)
    assert ledger_rows.claim(shop.store, run_id, 7, now, 100) == [customer, other]
    say(shop, customer, "everything")
    assert ledger_rows.commit_intent(shop.store, run_id, 7, [customer, other], now) == {other}
    assert became(shop, run_id, customer, other) == ["pending", "dotting"]
    with shop.store.write() as connection:
        (again,) = worker_ledger.claim(connection, run_id, 7, now, now + ledger_rows.LEASE, 10)
    assert (again.customer_id, again.revision) == (customer, 1)
    assert ledger_rows.commit_intent(shop.store, run_id, 7, [customer], now) == set(), "the first letter stays outdated"


def test_mail_of_an_inbox_still_counts_for_it_when_its_customer_moves(shop: Shop) -> None:
    """A shop gives customers new keys: the inbox under the new key has already received the campaign."""
    old, other = campaigns.add(shop, "a", country="NO"), campaigns.add(shop, "b", country="NO")
    for customer in (old, other):
        campaigns.sent(shop.store, customer, "week", datetime.now(UTC) - timedelta(days=2))
    with shop.store.write() as connection:
        inboxes.leave(connection, [old], datetime.now(UTC) - timedelta(days=1))
    move(shop, old, "new@mail.example")
    left = project.person("a", "a@mail.example")
    heir = campaigns.add(shop, "h", email=left["email"], address_hash=left["address_hash"], country="NO")
    fresh = campaigns.add(shop, "f", country="NO")
    run_id = launched(shop)
    assert became(shop, run_id, old, other, heir, fresh) == [*["already received"] * 3, "pending"]
    explanation = explain.explain_campaign(shop.store, campaigns.edition(shop), "h", datetime.now(UTC))
    assert [check.name for check in explanation.obstacles()] == ["first time"]


def test_mail_to_a_new_address_does_not_count_for_the_old_inbox(shop: Shop) -> None:
    gone = campaigns.add(shop, "a", country="NO")
    with shop.store.write() as connection:
        inboxes.leave(connection, [gone], datetime.now(UTC) - timedelta(days=5))
    move(shop, gone, "new@mail.example")
    campaigns.sent(shop.store, gone, "week", datetime.now(UTC) - timedelta(days=2))
    left = project.person("a", "a@mail.example")
    heir = campaigns.add(shop, "h", email=left["email"], address_hash=left["address_hash"], country="NO")
    run_id = launched(shop)
    assert became(shop, run_id, gone, heir) == ["already received", "pending"]


def test_mail_goes_to_the_new_address_of_a_customer(shop: Shop, sink: Sink, app: Callable[..., App]) -> None:
    moved, stays = campaigns.add(shop, "a", country="NO"), campaigns.add(shop, "b", country="NO")
    run_id, now = launched(shop), datetime.now(UTC)
    ledger_rows.claim(shop.store, run_id, 7, now, 100)
    with shop.store.write() as connection:
        ledger.revise(connection, [moved])
        suppression.add(connection, project.person("a", "a@mail.example")["address_hash"], "bounced", "test", now)
    move(shop, moved, "new@mail.example")
    assert ledger_rows.commit_intent(shop.store, run_id, 7, [moved], now) == set()
    with shop.store.write() as connection:
        worker_ledger.unclaim(connection, run_id, 7)
    sent(app, run_id)
    assert became(shop, run_id, moved, stays) == ["sent", "sent"]
    assert {"new@mail.example", "b@mail.example"} <= sink.recipients()
    assert "a@mail.example" not in sink.recipients()


def test_a_preference_saved_during_a_run_applies_from_its_commit(
    shop: Shop, sink: Sink, app: Callable[..., App]
) -> None:
    who = shop.add([row | {"country": "NO"} for row in project.people(200, first=1000)])
    run_id = launched(shop)
    saved_at: dict[int, datetime] = {}

    def turn_vegetarian() -> None:
        for customer in reversed(who):
            say(shop, customer, "vegetarian")
            saved_at[customer] = datetime.now(UTC)

    with ThreadPoolExecutor(1) as pool:
        turning = pool.submit(turn_vegetarian)
        while not turning.done() or any(
            state == "pending" for state in ledger_rows.states(shop.store, run_id).values()
        ):
            sent(app, run_id)
        turning.result(0)
    deliveries = ledger_rows.rows(shop.store, run_id)
    rows = [deliveries[customer] for customer in who]
    assert {row["state"] for row in rows} <= {"sent", "skipped"}
    assert all(row["dotted_at"] <= saved_at[row["customer_id"]] for row in rows if row["state"] == "sent")
    assert {row["reason"] for row in rows if row["state"] == "skipped"} <= {"guard"}
    assert not sink.twice()
