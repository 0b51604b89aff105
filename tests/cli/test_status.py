"""`mailshot status` of running runs: pace, end and what they wait for, read from the ledger."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from mailshot.store import dialect, send_progress, tables
from mailshot.store.engine import Store
from mailshot.store.send_progress import SendProgress
from tests.cli.test_errors import tried
from tests.support import processes
from tests.support.processes import Sink
from tests.support.project import Shop

DELIVERY = dialect.table(tables.Delivery)
NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test have its own NOW: `status` looks at the clock."""
    monkeypatch.setattr(sys.modules[__name__], "NOW", datetime.now(UTC))


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop.open(store, tmp_path / "shop", 400)


def change(shop: Shop, first: int, last: int, **values: Any) -> None:
    """Change the rows of some customers, by their place in the shop."""
    chosen = DELIVERY.c.customer_id.in_(shop.customers[first:last])
    with shop.store.write() as connection:
        connection.execute(DELIVERY.update().where(chosen).values(**values))


def send(shop: Shop, first: int, last: int, ago: float, reply: float = 0.5, state: str = "sent") -> None:
    """Settle some rows as one round: their dots so many seconds ago, the replies `reply` seconds later."""
    dotted = NOW - timedelta(seconds=ago + reply)
    change(shop, first, last, state=state, dotted_at=dotted, settled_at=NOW - timedelta(seconds=ago))


def progress(shop: Shop, run_id: int) -> SendProgress:
    with shop.store.read() as connection:
        return send_progress.read_progress(connection, run_id, NOW)


def test_a_rate_is_that_of_the_last_minute_of_all_workers(shop: Shop) -> None:
    run_id = shop.launch()
    for number in range(12):  # twice as fast as before
        send(shop, number * 20, number * 20 + 20, ago=number * 5 if number < 8 else 40 + (number - 8) * 40)
    for token, place in ((1, 300), (2, 310), (3, 320)):
        lease = NOW + timedelta(seconds=-1 if token == 3 else 30)
        change(shop, place, place + 10, state="claimed", token=token, lease_until=lease)
    seen = progress(shop, run_id)
    assert seen.mails_per_minute == pytest.approx(9 * 20)
    assert seen.workers == 2
    assert seen.mails_per_commit == pytest.approx(20)
    assert seen.reply_seconds == pytest.approx(0.5)
    assert seen.next_attempt_at is None


def test_a_slow_rate_is_that_of_the_last_five_minutes(shop: Shop) -> None:
    run_id = shop.launch()
    for number in range(8):
        send(shop, number, number + 1, ago=20 + number * 40)  # one more than five minutes ago
    assert progress(shop, run_id).mails_per_minute == pytest.approx(8 / 5)


def test_the_first_round_is_not_taken_for_a_rate_of_its_own(shop: Shop) -> None:
    run_id = shop.launch()
    send(shop, 0, 20, ago=0.01)
    assert progress(shop, run_id).mails_per_minute == pytest.approx(20 * 60 / send_progress.LEAST_SECONDS)


def test_what_is_left_becomes_fewer_by_refused_and_skipped_mails_too(shop: Shop) -> None:
    run_id = shop.launch()
    send(shop, 0, 30, ago=1)
    send(shop, 30, 60, ago=59, state="refused")
    change(shop, 60, 90, state="skipped", settled_at=NOW - timedelta(seconds=60), reason="suppressed")
    seen = progress(shop, run_id)
    assert (seen.mails_per_minute, seen.settled_per_minute) == (30, 90)
    assert seen.done_at(180, NOW) == NOW + timedelta(minutes=2)
    assert seen.done_at(0, NOW) is None


def test_a_run_that_nobody_sends_has_no_end(shop: Shop) -> None:
    seen = progress(shop, shop.launch())
    assert seen == SendProgress(0, 0, 0, None, None, None)
    assert seen.done_at(400, NOW) is None


def test_status_tells_the_pace_and_the_end(shop: Shop) -> None:
    run_id = shop.launch()
    send(shop, 0, 300, ago=30)
    retry = datetime.now(UTC) + timedelta(minutes=30)
    change(shop, 300, 303, state="deferred", next_attempt_at=retry)
    code, printed = tried(shop, "status")
    assert code == 0
    text = " ".join(printed.split())
    assert f"Run {run_id}: 100 to go, " in text
    assert " mails a minute, done in less than a minute (" in text
    assert "3 mails to be tried again from " in text
    assert "300 mails a commit, 0.50 seconds from a mail to the server's reply." in text
    run = json.loads(tried(shop, "status", "--json")[1])["runs"][-1]
    assert run["progress"]["left"] == 100
    assert run["progress"]["due"] == 97
    assert run["progress"]["mails_per_minute"] > 100
    assert run["progress"]["done_at"] > str(NOW)


def test_status_says_that_a_worker_is_missing(shop: Shop) -> None:
    run_id = shop.launch(now=NOW - timedelta(minutes=1))
    printed = " ".join(tried(shop, "status")[1].split())
    assert f"Run {run_id}: 400 to go, and no worker is sending (start one: mailshot up, or mailshot worker)." in printed
    change(shop, 0, 10, state="claimed", token=1, lease_until=datetime.now(UTC) + timedelta(seconds=60))
    assert "no worker" not in tried(shop, "status")[1]


def test_status_says_how_a_paused_run_goes_on(shop: Shop) -> None:
    run_id = shop.launch()
    send(shop, 0, 100, ago=10)
    assert tried(shop, "pause", "hello")[0] == 0
    assert f"Run {run_id} is paused, 300 to go: mailshot resume hello" in " ".join(tried(shop, "status")[1].split())
    assert json.loads(tried(shop, "status", "--json")[1])["runs"][-1]["progress"] is None


def test_a_finished_and_an_empty_run_say_nothing(shop: Shop) -> None:
    run_id = shop.launch()
    send(shop, 0, 400, ago=1)
    assert "to go" not in tried(shop, "status")[1]
    with shop.store.write() as connection:
        connection.execute(DELIVERY.delete())
        assert connection.execute(select(DELIVERY.c.run_id)).first() is None
    assert "to go" not in tried(shop, "status")[1]
    assert json.loads(tried(shop, "status", "--json")[1])["runs"][-1]["run"] == run_id


def test_watch_ends_with_the_run(shop: Shop, sink: Sink, tmp_path: Path) -> None:
    run_id = shop.launch()
    environment = shop.environment(MAILSHOT_SMTP=sink.url, TERM="xterm", FORCE_COLOR="1", COLUMNS="150")
    command = [sys.executable, "-m", "mailshot", "status", "--watch"]
    watch = processes.start(command, environment, stdout=subprocess.PIPE)
    worker = processes.worker(environment, tmp_path / "worker.log")
    try:
        printed = watch.communicate(timeout=120)[0]
    finally:
        processes.end(worker)
        processes.end(watch)
    assert watch.returncode == 0
    assert f"Run {run_id}: 400 to go" in printed
    assert "finished" in printed.splitlines()[-2] or "finished" in printed.splitlines()[-1]
