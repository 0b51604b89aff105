"""A pause stops mail at the plan and at the next dot, for the whole inbox, and ends by itself or when asked to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailshot.bootstrap import App
from mailshot.campaign import explain, plan
from mailshot.deliver import pipeline
from mailshot.feedback import preferences
from mailshot.feedback.preference_controls import RequestedChanges
from mailshot.feedback.preferences import PreferenceChange
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import pauses, privacy
from mailshot.store.engine import Store
from tests.support import ledger_rows, project
from tests.support.processes import Sink
from tests.support.project import Shop


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop.open(store, tmp_path / "shop", 3, {"rules/topics.yaml": TOPICS})


TOPICS = "offers: {title: Offers}\nservice: {title: Orders, requires_consent: no}\n"


def pause(shop: Shop, customer: int, days: int, at: datetime) -> dict[str, object]:
    """Ask for a pause as the preference page does."""
    rules = Rulebook.load(shop.folder)
    change = PreferenceChange(customer, None, RequestedChanges(pause_days=days), at)
    with shop.store.write() as connection:
        return preferences.save_changes(connection, change, rules.topics, rules.statements)


def left_out(shop: Shop, now: datetime, more: str = "") -> dict[str, int]:
    return plan.make_plan(shop.store, shop.campaign("hello", more), now, now).left_out


def test_a_pause_is_a_reason_in_the_plan_until_it_ends(shop: Shop) -> None:
    now = datetime.now(UTC)
    pause(shop, shop.customers[0], 30, now)
    assert left_out(shop, now) == {"paused": 1}
    assert left_out(shop, now + timedelta(days=29)) == {"paused": 1}
    assert left_out(shop, now + timedelta(days=30)) == {}
    report = explain.explain_campaign(shop.store, shop.campaign(), "c1", now)
    assert [check.name for check in report.obstacles()] == ["pause"]
    assert report.obstacles()[0].remedy == "the customer must resume the mail, or wait until then"


def test_the_latest_word_counts(shop: Shop) -> None:
    now = datetime.now(UTC)
    customer = shop.customers[0]
    pause(shop, customer, 90, now - timedelta(days=2))
    assert pause(shop, customer, 0, now - timedelta(days=1)) == {"pause": ""}
    assert pause(shop, customer, 0, now) == {}, "there is no pause to end"
    assert left_out(shop, now) == {}
    pause(shop, customer, 30, now)
    pause(shop, customer, 60, now - timedelta(hours=5))
    assert left_out(shop, now + timedelta(days=45)) == {}, "an older word that arrives late changes nothing"


def test_a_pause_does_not_stop_service_mail(shop: Shop) -> None:
    now = datetime.now(UTC)
    pause(shop, shop.customers[0], 30, now)
    edition = shop.campaign("orders")
    path = shop.folder / "rules/campaigns/orders.yaml"
    path.write_text(path.read_text().replace("topic: offers", "topic: service"))
    edition = project.editions.take_snapshot(Rulebook.load(shop.folder), shop.folder, "orders")
    assert plan.make_plan(shop.store, edition, now, now).left_out == {}


def test_a_pause_of_one_customer_binds_the_inbox(shop: Shop) -> None:
    now = datetime.now(UTC)
    first, second = (shop.add([project.person(key, "both@mail.example")])[0] for key in "ab")
    pause(shop, second, 30, now)
    assert left_out(shop, now) == {"paused": 2}
    with shop.store.read() as connection:
        assert pauses.paused_until(connection, [first]) is None


def test_a_pause_after_the_launch_stops_the_mail_at_the_dot(shop: Shop, sink: Sink, app: Callable[..., App]) -> None:
    mate = shop.add([project.person("mate", "c1@mail.example")])[0]
    run_id = shop.launch()
    pause(shop, mate, 30, datetime.now(UTC))
    pause(shop, shop.customers[1], 60, datetime.now(UTC))
    pipeline.send_batch(app().send_settings, run_id, 1000, threading.Event())
    rows = ledger_rows.rows(shop.store, run_id)
    reasons = {customer: rows[customer]["reason"] for customer in shop.customers[:3]}
    assert reasons == {shop.customers[0]: "paused", shop.customers[1]: "paused", shop.customers[2]: None}
    assert sink.recipients() == {"c3@mail.example"}


def test_a_backtest_knows_only_pauses_of_its_time(shop: Shop) -> None:
    now = datetime.now(UTC)
    pause(shop, shop.customers[0], 90, now)
    with shop.store.read() as connection:
        assert pauses.paused_until(connection, shop.customers, now) is None
        assert pauses.paused_until(connection, shop.customers, now + timedelta(seconds=1)) is not None


def test_export_and_erasure_reach_pauses(shop: Shop) -> None:
    customer = shop.customers[0]
    pause(shop, customer, 30, datetime.now(UTC))
    with shop.store.write() as connection:
        held = {name: list(rows) for name, rows in privacy.export(connection, customer)}
        assert len(held["pause"]) == 1
        privacy.erase(connection, customer, bytes.fromhex(project.ADDRESS_KEY), "test", datetime.now(UTC))
        assert pauses.paused_until(connection, [customer]) is None
