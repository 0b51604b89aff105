"""Checks workers and the clock with a queue in process and on a Redis that is killed, flushed, restarted or missing."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailshot import tasks
from mailshot.bootstrap import App
from mailshot.deliver import pipeline
from mailshot.errors import Busy, Unavailable
from mailshot.settings import Settings
from mailshot.store import engine, erasures, leases, scrubbing
from mailshot.store.engine import Store
from tests.deliver.test_pipeline import Apps, assert_all_once, finished
from tests.support import processes, project
from tests.support.processes import Sink
from tests.support.project import Shop


class Workers:
    """Workers and a clock of this process, each in a thread."""

    def __init__(self, *apps: App) -> None:
        self.stop = threading.Event()
        self._threads = [threading.Thread(target=tasks.work_until, args=(app, 2, self.stop)) for app in apps]
        self._threads.append(threading.Thread(target=tasks.tick_until, args=(apps[0], self.stop)))

    def __enter__(self) -> Workers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads)


def own(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what Mailshot logged; threads of dramatiq that lost their Redis go on complaining after their test."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("mailshot")]


def test_workers_in_process_find_a_run_by_themselves(shop: Shop, sink: Sink, app: Apps) -> None:
    worker_app = app(batch=7, lease=2)
    with Workers(worker_app):
        run_id = shop.launch()
        for _ in range(10):
            worker_app.doorbell.ring(run_id)
        processes.until(lambda: finished(shop, run_id), 60, "the run is finished")
    assert_all_once(shop, sink, run_id, 60)


@pytest.mark.parametrize("trouble", ["none", "killed", "flushed", "restarted", "absent"])
def test_a_run_ends_whatever_happens_to_redis(shop: Shop, sink: Sink, app: Apps, trouble: str) -> None:
    shop.add(project.people(240, first=1000))
    with processes.own_redis() as redis:
        if trouble == "absent":
            redis.kill()
        both = [app(redis=redis.url, batch=20, lease=2) for _ in range(2)]
        with Workers(*both):
            run_id = shop.launch(shop.campaign(more="limits: {rate: 6000}\n"))
            for _ in range(10):
                both[0].doorbell.ring(run_id)
            processes.until(lambda: len(sink.entries()) > 30, 60, "some are sent")
            if trouble == "flushed":
                redis.flush()
            if trouble in ("killed", "restarted"):
                redis.kill()
            if trouble == "restarted":
                redis.begin()
            processes.until(lambda: finished(shop, run_id), 90, "the run is finished")
    assert_all_once(shop, sink, run_id, 300)


def test_checking_for_due_mail_waits_for_no_writer(shop: Shop) -> None:
    run_id, now = shop.launch(), datetime.now(UTC)
    with shop.store.write() as writer:
        leases.acquire(writer, "other", "import", now, now)
        assert pipeline.runs_with_due_mail(shop.store, now) == [run_id]
    with shop.store.write() as connection:
        assert leases.acquire(connection, tasks.CLOCK_LEASE, "me", now, now + tasks.LEASE_LENGTH)
    worker_app = App(Settings(project=shop.folder), shop.store)
    with shop.store.write() as writer:
        leases.acquire(writer, "other", "import", now, now)
        assert tasks._is_clock(worker_app, "me", now + timedelta(seconds=1))
        assert not tasks._is_clock(worker_app, "you", now + timedelta(seconds=1))


def test_an_idle_clock_and_worker_log_nothing_during_a_long_import(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine, "PRAGMAS", [*engine.PRAGMAS, "PRAGMA busy_timeout=20"])
    refused: list[Busy] = []
    monkeypatch.setattr(tasks.BusyWatch, "busy", lambda _, error: refused.append(error))
    store = Store.open(sqlite_url)
    worker_app = App(Settings(project=tmp_path), store)

    def has_clock() -> bool:
        with store.read() as connection:
            return leases.holder(connection, tasks.CLOCK_LEASE, datetime.now(UTC)) is not None

    with ExitStack() as both, caplog.at_level(logging.WARNING):
        long_import = both.enter_context(ExitStack())
        long_import.enter_context(store.write())
        both.enter_context(Workers(worker_app))
        processes.until(lambda: len(refused) > 1, 60, "the clock has been refused twice")
        long_import.close()
        processes.until(has_clock, 60, "the clock ticks again")
    assert own(caplog) == []
    store.close()


def test_a_database_locked_for_very_long_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr(tasks.time, "monotonic", lambda: now[0])
    watch, counts = tasks.BusyWatch("the clock"), []
    for now[0] in (0.0, 300.0, tasks.LONG_BUSY_SECONDS, 1000.0):
        watch.busy(Busy("It is locked."))
        counts.append(len(own(caplog)))
    assert counts == [0, 0, 1, 1]
    watch.free()
    watch.busy(Busy("It is locked."))
    assert len(own(caplog)) == 1
    assert isinstance(Busy(""), Unavailable)


def test_the_clock_scrubs_erased_data(shop: Shop, app: Apps) -> None:
    with shop.store.write() as connection:
        erasures.record_erasure(connection, 1, datetime.now(UTC))

    def done() -> bool:
        with shop.store.read() as connection:
            return erasures.count_pending(connection).number == 0

    stop = threading.Event()
    clock = threading.Thread(target=tasks.tick_until, args=(app(), stop))
    clock.start()
    try:
        processes.until(done, 60, "the clock has scrubbed")
    finally:
        stop.set()
        clock.join(30)


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_tables_too_large_to_be_locked_wait_for_the_operator(
    shop: Shop, app: Apps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrubbing, "MAX_LOCKED_BYTES", 0)
    now = datetime.now(UTC)
    with shop.store.write() as connection:
        erasures.record_erasure(connection, 1, now)
    assert tasks._scrub(app(), now, now) == now + tasks.LARGE_SCRUB_GAP
    assert "purchase" in scrubbing.too_large(shop.store)
    assert scrubbing.work(shop.store, now, whole=True) == 1
