"""Four workers send two runs at once: no customer gets more mails than they asked for after the launch."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailshot.feedback import preferences
from mailshot.feedback.preference_controls import RequestedChanges
from mailshot.feedback.preferences import PreferenceChange
from mailshot.profile.preferences import StatedPreference
from mailshot.rulebook.rulebook import Rulebook
from mailshot.states import OPEN
from mailshot.store import profiles
from mailshot.store.engine import Store
from tests.support import ledger_rows, processes
from tests.support.processes import Sink
from tests.support.project import Shop

FREQUENCY = """
frequency:
  title: How often?
  values: {every_mail: Always, weekly: Weekly, monthly: Monthly}
"""
ANSWERS = ("every_mail", "weekly", "monthly")
FEW, MANY = 600, 10_000
WORKERS = 4
#: Until 20,000 mails are settled on SQLite, by four workers on two cores.
PATIENCE_SECONDS = 1500


def _check(store: Store, sink: Sink, folder: Path, customers: int) -> None:
    shop = Shop.open(store, folder / "shop", customers, {"rules/preferences.yaml": FREQUENCY})
    runs = [shop.launch(shop.campaign(name)) for name in ("first", "second")]
    rules = Rulebook.load(shop.folder)
    stated = {customer: ANSWERS[number % 3] for number, customer in enumerate(shop.customers)}
    for customer, answer in stated.items():
        requested = RequestedChanges(stated=[StatedPreference("frequency", answer, True)])
        change = PreferenceChange(customer, None, requested, datetime.now(UTC))
        with store.write() as connection:
            preferences.save_changes(connection, change, rules.topics, rules.statements)
    environment = shop.environment(MAILSHOT_SMTP=sink.url, MAILSHOT_CONNECTIONS="5")
    workers = [processes.worker(environment, folder / f"worker{number}.log") for number in range(WORKERS)]
    try:
        processes.until(
            lambda: not any(_is_open(store, run_id) for run_id in runs), PATIENCE_SECONDS, "both runs are settled"
        )
    finally:
        for worker in workers:
            processes.end(worker)
    mails = Counter(entry["rcpt"] for entry in sink.entries())
    with store.read() as connection:
        addresses = {who: facts["email"] for who, facts in profiles.facts_of(connection, shop.customers).items()}
    numbers = {answer: Counter[int]() for answer in ANSWERS}
    for customer, answer in stated.items():
        numbers[answer][mails[addresses[customer]]] += 1
    third = customers // 3
    assert numbers == {"every_mail": {2: third}, "weekly": {1: third}, "monthly": {1: third}}


def _is_open(store: Store, run_id: int) -> bool:
    return any(state in OPEN for state in ledger_rows.states(store, run_id).values())


def test_no_customer_gets_more_than_they_asked_for(store: Store, sink: Sink, tmp_path: Path) -> None:
    _check(store, sink, tmp_path, FEW)


@pytest.mark.torture
def test_ten_thousand_customers(store: Store, sink: Sink, tmp_path: Path) -> None:
    _check(store, sink, tmp_path, MANY // 3 * 3)
