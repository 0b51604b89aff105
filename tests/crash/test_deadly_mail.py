"""A mail that crashes the worker rendering it is skipped after two certain crashes; all others are sent."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mailshot.states import Reason, RunState
from mailshot.store import dialect, runs, tables
from mailshot.store.engine import Store
from tests.support import processes
from tests.support.processes import Sink
from tests.support.project import Shop

DELIVERY = dialect.table(tables.Delivery)


def test_a_mail_that_crashes_two_workers_is_skipped(store: Store, sink: Sink, tmp_path: Path) -> None:
    shop = Shop.open(store, tmp_path / "shop", 30)
    run_id, deadly = shop.launch(), shop.customers[11]
    environment = shop.environment(MAILSHOT_SMTP=sink.url, MAILSHOT_CONNECTIONS="3", MAILSHOT_LEASE="1")
    deaths = 0
    for _ in range(8):
        command = [sys.executable, "-m", "tests.crash.deadly", str(deadly), str(run_id)]
        with processes.start(command, environment) as worker:
            deaths += worker.wait(60) != 0
        with store.read() as connection:
            run = runs.find_run(connection, run_id)
        if run and run.state is RunState.finished:
            break
        time.sleep(1.1)  # until the lease of the dead worker has lapsed
    with store.read() as connection:
        rows = connection.execute(DELIVERY.select().where(DELIVERY.c.run_id == run_id)).mappings().all()
    by_customer = {row["customer_id"]: row for row in rows}
    lost = by_customer.pop(deadly)
    # Nothing is known of the first, which wrote many mails; the next two wrote this one alone.
    assert deaths == 3
    assert (lost["state"], lost["reason"]) == ("skipped", Reason.render_failed)
    assert "a worker ended" in lost["reply"]
    # What stood between the dot and its reply when a worker died may be in doubt, and nothing else.
    states = [row["state"] for row in by_customer.values()]
    assert set(states) <= {"sent", "unconfirmed"}
    assert states.count("unconfirmed") <= 3 * deaths
    assert not sink.twice()
