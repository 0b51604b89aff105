"""Checks that `rules explain CAMPAIGN` explains every difference between its outcome and its checks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailshot.campaign import explain, launch, plan
from mailshot.campaign import snapshot as editions
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import consent
from mailshot.store.engine import Store
from tests.support import project
from tests.support.project import Shop

NOW = datetime(2026, 10, 3, 18, 5, tzinfo=UTC)  # 14:05 in New York
LATER = NOW + timedelta(hours=2)
WHEN = "The plan of 2026-10-03 14:05 EDT"


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    """Return a shop whose only customer is planned to get a mail."""
    made = Shop.open(store, tmp_path, 1)
    plan.make_plan(store, made.campaign(), NOW, NOW)
    return made


def edition(shop: Shop) -> editions.Snapshot:
    return editions.take_snapshot(Rulebook.load(shop.folder), shop.folder, "hello")


def explained(shop: Shop, key: str = "c1", as_of: datetime = LATER) -> explain.Explanation:
    return explain.explain_campaign(shop.store, edition(shop), key, as_of)


def test_an_unchanged_customer_is_explained_by_the_plan(shop: Shop) -> None:
    explanation = explained(shop)
    assert (explanation.outcome(), explanation.obstacles()) == ("Gets the mail 'hello'.", [])


def test_a_customer_newer_than_the_plan_is_explained_so(shop: Shop) -> None:
    shop.add([project.person("new", "new@mail.example")])
    explanation = explained(shop, "new")
    assert all(check.passes for check in explanation.checks)
    assert explanation.outcome() == (
        f"{WHEN} has no row for this customer. Current result: Gets the mail 'hello'. "
        "To plan again: mailshot plan 'hello'."
    )


def test_a_withdrawal_since_the_plan_is_explained(shop: Shop) -> None:
    with shop.store.write() as connection:
        consent.record_consent(connection, shop.customers[0], "offers", False, LATER, "page")
    (shop.folder / "rules/audiences/everyone.yaml").write_text("audience: everyone\nwho: {everyone: yes}\n")
    explanation = explained(shop)
    assert [check.name for check in explanation.obstacles()] == ["consent to 'offers'"]
    assert explanation.outcome().startswith(f"{WHEN} says: Gets the mail 'hello'. Current result: No mail: no consent")
    assert "Changed since: audience 'everyone'." in explanation.outcome()


def test_leaving_the_audience_since_the_plan_is_explained(shop: Shop) -> None:
    with shop.store.write() as connection:
        consent.record_consent(connection, shop.customers[0], "offers", False, LATER, "page")
    assert "Current result: Not in the audience: no mail." in explained(shop).outcome()


def test_a_reason_that_no_longer_holds_is_explained(shop: Shop) -> None:
    (shop.folder / "rules/audiences/everyone.yaml").write_text("audience: everyone\nwho: {everyone: yes}\n")
    shop.add([project.person("shy", "shy@mail.example")], consent=False)
    again = NOW + timedelta(minutes=10)
    plan.make_plan(shop.store, edition(shop), again, again)
    assert explained(shop, "shy").outcome().startswith("No mail: no consent")
    with shop.store.write() as connection:
        consent.record_consent(connection, shop.customers[1], "offers", True, LATER, "page")
    outcome = explained(shop, "shy").outcome()
    assert "The plan of 2026-10-03 14:15 EDT says: No mail: no consent" in outcome
    assert "Current result: Gets the mail 'hello'." in outcome


def test_a_launched_plan_is_named_with_its_run(shop: Shop) -> None:
    run_id = launch.launch_plan(shop.store, edition(shop), NOW, NOW).run_id
    explanation = explained(shop)
    assert [check.name for check in explanation.obstacles()] == ["first time"]
    assert f"{WHEN}, launched as run {run_id}, says: Gets the mail 'hello'." in explanation.outcome()
    assert "Current result: No mail: already received" in explanation.outcome()
    assert explanation.deliveries == (f"run {run_id} of 2026-10-03 14:05 EDT: pending",)


def test_without_a_plan_it_says_what_one_would_decide(store: Store, tmp_path: Path) -> None:
    shop = Shop.open(store, tmp_path, 1)
    shop.campaign()
    outcome = explained(shop).outcome()
    assert outcome.startswith("No plan covers this customer yet. Current result: Gets the mail 'hello'.")


def test_a_run_without_a_row_for_a_customer_who_fits_today_says_why(shop: Shop) -> None:
    run_id = launch.launch_plan(shop.store, edition(shop), NOW, NOW).run_id
    assert run_id is not None
    shop.add([project.person("new", "new@mail.example")])
    explanation = explain.explain_run(shop.store, "hello", run_id, "new")
    assert "has no row for this customer" in explanation.outcome()
    if explanation.audience.holds:
        assert "no history" in explanation.outcome()
