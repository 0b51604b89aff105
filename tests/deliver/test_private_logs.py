"""Checks that no personal data is logged, even at the lowest level and when the server echoes addresses."""

from __future__ import annotations

from pathlib import Path

from mailshot.store.engine import Store
from tests.support import processes, project
from tests.support.processes import Sink
from tests.support.project import Shop


def test_a_worker_logs_no_address_name_or_mail(sqlite_url: str, tmp_path: Path, sink: Sink) -> None:
    store = Store.open(sqlite_url)
    shop = Shop.open(store, tmp_path / "shop", 5)
    for turn, fault in enumerate(["557-rcpt", "554-dot", "450-rcpt"]):
        people = project.people(8, fault + "-canary{n}", 100 * (turn + 1))
        shop.add([{**row, "first_name": "Canaryname"} for row in people])
    shop.launch()
    log = tmp_path / "worker.log"
    worker = processes.worker(shop.environment(MAILSHOT_SMTP=sink.url, LOGLEVEL="DEBUG"), log)
    try:
        processes.until(lambda: "objects to the sender" in log.read_text(), 60, "the server objects to the sender")
    finally:
        processes.end(worker)
    store.close()
    text = log.read_text()
    assert "@mail.example" in text
    assert [word for word in ("canary", "Canaryname", "List-Unsubscribe", "Dear Ann") if word in text] == []
