"""Workers that sleep past their lease, and databases that fail: no second dot, and no dot without a commit."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from mailshot.store.engine import Store
from tests.crash import siege
from tests.crash.conftest import Lay
from tests.crash.siege import CONNECTIONS
from tests.support import processes
from tests.support.project import Shop

LEASE = 1.0


def test_a_worker_that_slept_past_its_lease_sends_nothing_twice(lay: Lay) -> None:
    with lay(600) as laid:
        for share in (0.1, 0.5):
            processes.until(lambda share=share: laid.arrived() > share * 600, 60, "some are sent")  # type: ignore[misc]
            zombie = laid.workers[0]
            zombie.send_signal(signal.SIGSTOP)
            laid.add()
            time.sleep(LEASE * 2)
            zombie.send_signal(signal.SIGCONT)
        toll = laid.finish()
    assert toll.lost == toll.unknown == toll.twice == 0
    assert toll.unconfirmed <= CONNECTIONS * 2


def test_a_locked_database_gets_no_dot_and_the_run_goes_on(
    sqlite_url: str, sink: processes.Sink, tmp_path: Path
) -> None:
    store = Store.open(sqlite_url)
    shop = Shop.open(store, tmp_path / "shop", 900)
    with siege.siege(shop, sink, tmp_path, MAILSHOT_LEASE="30") as laid:
        processes.until(lambda: laid.arrived() > 300, 60, "some are sent")
        with closing(sqlite3.connect(store.engine.url.database or "", isolation_level=None, timeout=30)) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            dotting = laid.state("dotting")
            before = laid.sink.entries()
            time.sleep(12)
            during = laid.sink.entries()[len(before) :]
            foreign.execute("ROLLBACK")
        assert len(during) <= dotting <= CONNECTIONS, "what had its intent may arrive, nothing else"
        toll = laid.finish()
    assert toll.states == {"sent": 900}
    assert toll.lost == toll.unknown == toll.twice == 0
    assert laid.sound()
    store.close()


def test_terminated_backends_get_no_dot_and_the_run_goes_on(
    postgres_url: str, sink: processes.Sink, tmp_path: Path, redis_url: str
) -> None:
    store = Store.open(postgres_url)
    shop = Shop.open(store, tmp_path / "shop", 900)
    with siege.siege(shop, sink, tmp_path, 2, MAILSHOT_LEASE="5", MAILSHOT_REDIS=redis_url) as laid:
        with psycopg.connect(postgres_url, autocommit=True) as operator:
            for share in range(1, 4):
                processes.until(
                    lambda share=share: laid.arrived() > share * 200 or laid.finished_at_last(),  # type: ignore[misc]
                    60,
                    "some are sent",
                )
                operator.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        processes.until(laid.finished_at_last, 120, "the run is finished")
        toll = laid.finish()
    assert toll.lost == toll.unknown == toll.twice == 0
    assert toll.states == {"sent": 900}
    store.close()


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_fifty_zombies(lay: Lay) -> None:
    with lay(20_000) as laid:
        for number in range(50):
            processes.until(lambda n=number: laid.arrived() > n * 350, 120, "some are sent")  # type: ignore[misc]
            zombie = laid.workers[number % len(laid.workers)]
            zombie.send_signal(signal.SIGSTOP)
            if len(laid.workers) < 2:
                laid.add()
            time.sleep(LEASE * 1.5)
            zombie.send_signal(signal.SIGCONT)
        toll = laid.finish(600)
    print(toll)
    assert toll.lost == toll.unknown == toll.twice == 0
    assert toll.unconfirmed <= CONNECTIONS * 50
