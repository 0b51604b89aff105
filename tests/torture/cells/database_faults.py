"""Databases that restart, crash, are locked or full, and a power cut that takes what was not yet on disk."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg

from tests.support import servers
from tests.torture import durable_files, small_disk
from tests.torture.cell import Cell
from tests.torture.setup import CONNECTIONS, Setup
from tests.torture.trial import Trial

#: One lock longer than any busy timeout; the others are short. In seconds.
LONG_LOCK, SHORT_LOCK = 12.0, 1.5
#: How long the disk is full.
FULL_SECONDS = 2.0
TERMINATE = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
)


def fail_postgres(trial: Trial) -> None:
    """End connections, lose the replies to COMMIT, restart and crash PostgreSQL, in turn."""
    server, proxy = trial.databases.postgres, trial.proxies["database"]
    proxy.lose_reply_to = b"COMMIT"
    name = str(trial.store.engine.url.database)
    for index in trial.moments():
        verb = ("terminate", "lose the reply to COMMIT", "restart", "terminate", "lose the reply to COMMIT", "crash")[
            index % 6
        ]
        if verb == "terminate":
            with psycopg.connect(server.url, autocommit=True) as operator:
                operator.execute(TERMINATE, (name,))
        elif verb == "lose the reply to COMMIT":
            proxy.replies_to_lose = trial.random.randint(1, 3)
        else:
            server.restart("fast" if verb == "restart" else "immediate")
        trial.faults[verb] += 1
    trial.detail["replies to COMMIT lost"] = proxy.replies_lost


def replies_were_lost(trial: Trial) -> list[str]:
    return [] if trial.detail["replies to COMMIT lost"] else ["no reply to COMMIT was lost"]


def lock_database(trial: Trial) -> None:
    """Lock the ledger against writers, with a reader that keeps SQLite from cleaning its log all the while."""
    with _reader(trial):
        for index in trial.moments():
            _lock(trial, LONG_LOCK if index % 10 == 4 else 0.2 + SHORT_LOCK * trial.random.random())


def _lock(trial: Trial, seconds: float) -> None:
    with _foreign_writer(trial):
        allowed, before = trial.state_of("dotting"), trial.arrived()
        time.sleep(seconds)
        during = trial.arrived() - before
    trial.faults["lock"] += 1
    if during > allowed:
        trial.problems.append(f"{during} mails arrived during a lock, {allowed} had their intent on disk before it")


@contextmanager
def _foreign_writer(trial: Trial) -> Iterator[None]:
    if trial.store.sqlite:
        database = trial.store.engine.url.database or ""
        with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")
        return
    address = servers.address(trial.databases.postgres.url, str(trial.store.engine.url.database))
    with psycopg.connect(address) as other:
        other.execute("LOCK TABLE delivery IN SHARE ROW EXCLUSIVE MODE")
        yield
        other.rollback()


@contextmanager
def _reader(trial: Trial) -> Iterator[None]:
    """Keep a snapshot of a SQLite database open, so that its log grows and cannot be reset."""
    if not trial.store.sqlite:
        yield
        return
    with closing(sqlite3.connect(trial.store.engine.url.database or "", isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM delivery").fetchone()
        yield
        connection.execute("ROLLBACK")


def fill_disk(trial: Trial) -> None:
    """Fill the disk of the database, and free it again."""
    assert trial.disk is not None
    ballast = trial.disk / "ballast"
    with _reader(trial):  # without it SQLite would write over the space that its log has already
        for _ in trial.moments(end=0.8):
            small_disk.fill(ballast)
            before = trial.arrived()
            time.sleep(FULL_SECONDS)
            trial.detail["arrived while full"] = trial.detail.get("arrived while full", 0) + trial.arrived() - before
            ballast.unlink()
            trial.faults["disk full"] += 1


def cut_power(trial: Trial) -> None:
    """Kill the worker, and put the database back to what its processes had synced to disk."""
    database = str(trial.store.engine.url.database)
    for _ in trial.moments():
        worker = trial.busiest()
        trial.workers.remove(worker)
        trial.in_doubt += CONNECTIONS
        worker.kill()
        trial.kills += 1
        trial.store.engine.dispose()
        lost = durable_files.restore(trial.folder / "durable", database)
        trial.detail["files that lost writes"] = trial.detail.get("files that lost writes", 0) + lost
        trial.faults["power cut"] += 1
        trial.start_worker()


def begin_durably(trial: Trial) -> None:
    """Call the database as the launch left it durable, and start a worker that records what it syncs."""
    database = str(trial.store.engine.url.database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    trial.store.engine.dispose()
    trial.environment |= durable_files.variables(trial.folder / "durable", database)
    trial.start_worker()


def _power(trial: Trial) -> None:
    begin_durably(trial)
    cut_power(trial)


CELLS = (
    Cell(
        "F7",
        "PostgreSQL: ended connections, lost replies to COMMIT, restarts and crashes",
        fail_postgres,
        Setup(proxies=("database",), lease=20.0),
        replies_were_lost,
        stores=("postgres",),
    ),
    Cell("F8", "a foreign writer locks the ledger; a reader holds up SQLite's log", lock_database, Setup(lease=30.0)),
    Cell(
        "F9",
        "the database's disk is full, then free again",
        fill_disk,
        Setup(lease=15.0, small_disk=True),
        stores=("sqlite",),
        unsupported=small_disk.unsupported,
    ),
    Cell(
        "F19",
        "power cuts: what was not synced is gone",
        _power,
        Setup(workers=0),
        stores=("sqlite",),
        unsupported=durable_files.unsupported,
    ),
)
