"""Kills workers and a relay at the same time: no mail is lost, and none arrives at two relays."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from mailshot.store import dialect, tables
from tests.support import processes, project
from tests.support.ledger_rows import DELIVERY, rows, states
from tests.support.processes import Sink
from tests.support.project import FILES, Shop

NAMES = ("own", "ses", "third")
THROUGH = "  through: [{relay: own, weight: 2}, {relay: ses}, {relay: third}]\n"
KILLS, CUSTOMERS, CONNECTIONS = 6, 1200, 8


@pytest.fixture
def sinks(tmp_path: Path) -> Iterator[dict[str, Sink]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(processes.sink(tmp_path, "--delay", "0.02")) for name in NAMES}


def restarted(sink: Sink) -> subprocess.Popen[str]:
    """Start a killed sink again, at the same port and with the same books."""
    options = ["--port", str(sink.port), "--log", str(sink.log), "--delay", "0.02"]
    return processes.start([sys.executable, "-m", "tests.support.smtp_server", *options], stdout=subprocess.DEVNULL)


def retry_at_once(shop: Shop) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    with shop.store.write() as connection:
        connection.execute(update(DELIVERY).where(DELIVERY.c.state == "deferred").values(next_attempt_at=past))


def arrivals(sinks: dict[str, Sink]) -> dict[str, Counter[str]]:
    """Return, by recipient, how often each relay accepted the mail."""
    counted: dict[str, Counter[str]] = {}
    for name, sink in sinks.items():
        for entry in sink.entries():
            counted.setdefault(entry["rcpt"], Counter())[name] += 1
    return counted


def finish(shop: Shop, run_id: int, environment: dict[str, str], log: Path, patience: float = 180) -> None:
    """Let a worker work until every row is settled."""
    worker, end_at = processes.worker(environment, log), time.monotonic() + patience
    try:
        while not set(states(shop.store, run_id).values()) <= {"sent", "unconfirmed"}:
            assert time.monotonic() < end_at, Counter(states(shop.store, run_id).values())
            retry_at_once(shop)
            time.sleep(0.3)
    finally:
        processes.end(worker, signal.SIGTERM)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("in_doubt", ["at_most_once", "at_least_once"])
def test_workers_and_a_relay_killed_during_a_run(
    shop: Shop, sinks: dict[str, Sink], tmp_path: Path, in_doubt: str
) -> None:
    shop.add(project.people(CUSTOMERS - len(shop.customers), first=10_000))
    (shop.folder / "rules/senders.yaml").write_text(FILES["rules/senders.yaml"] + THROUGH, encoding="utf-8")
    run_id = shop.launch(shop.campaign(more=f"in_doubt: {in_doubt}\n"))
    addresses = {f"MAILSHOT_RELAY_{name.upper()}": sink.url for name, sink in sinks.items()}
    environment = shop.environment(**addresses, MAILSHOT_CONNECTIONS=str(CONNECTIONS), MAILSHOT_LEASE="1")
    log, chance = tmp_path / "worker.log", random.Random(7)
    for kill in range(KILLS):
        worker = processes.worker(environment, log)
        before = sum(len(sink.entries()) for sink in sinks.values())
        more = before + chance.randrange(20, 120)
        processes.until(lambda more=more: sum(len(sink.entries()) for sink in sinks.values()) >= more, 60, "some mails")
        if kill == KILLS // 2:
            processes.end(sinks["own"].process)
            time.sleep(0.3)
        processes.end(worker)
    with ExitStack() as stack:
        # Rows in doubt wait for the relay that may have them.
        again = restarted(sinks["own"])
        stack.callback(processes.end, again)
        finish(shop, run_id, environment, log)
    ledger = rows(shop.store, run_id)
    arrived = arrivals(sinks)
    assert len(ledger) == CUSTOMERS
    assert [who for who, by in arrived.items() if len(by) > 1] == [], "a mail changed relay"
    twice = [who for who, by in arrived.items() if by.total() > 1]
    unconfirmed = [row for row in ledger.values() if row["state"] == "unconfirmed"]
    assert len(unconfirmed) <= CONNECTIONS * (KILLS + 1)
    assert not (twice if in_doubt == "at_most_once" else unconfirmed)
    # The ledger names the relay in whose books the mail is.
    by_recipient = {f"c{number}@mail.example": row for number, row in _by_key(shop, ledger).items()}
    assert {who: next(iter(by)) for who, by in arrived.items()} == {who: by_recipient[who]["relay"] for who in arrived}
    sent = {who for who, row in by_recipient.items() if row["state"] == "sent"}
    assert sent <= arrived.keys(), "lost"


def _by_key(shop: Shop, ledger: dict[int, dict[str, object]]) -> dict[str, dict[str, object]]:
    customer = dialect.table(tables.Customer)
    with shop.store.read() as connection:
        keys = connection.execute(customer.select().with_only_columns(customer.c.id, customer.c.key)).all()
    return {key.removeprefix("c"): ledger[number] for number, key in keys if number in ledger}
