"""Kills workers in the middle of a run and counts what became of its mails."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mailshot.errors import Unavailable
from mailshot.states import RunState
from mailshot.store import ledger_queries, runs
from tests.support import processes
from tests.support.processes import Sink
from tests.support.project import Shop

CONNECTIONS = 20


@dataclass(frozen=True)
class Toll:
    """What a run came to: counted in the ledger and at the sink."""

    states: Mapping[str, int]
    lost: int
    unknown: int
    twice: int

    @property
    def unconfirmed(self) -> int:
        return self.states.get("unconfirmed", 0)


@dataclass
class Siege:
    """One run, its sink, and the workers under attack."""

    shop: Shop
    sink: Sink
    run_id: int
    environment: Mapping[str, str]
    folder: Path
    workers: list[subprocess.Popen[str]] = field(default_factory=list)
    kills: int = 0

    def add(self) -> subprocess.Popen[str]:
        """Start one more worker."""
        started = processes.worker(self.environment, self.folder / "workers.log")
        self.workers.append(started)
        return started

    def kill(self, worker: subprocess.Popen[str], number: signal.Signals = signal.SIGKILL) -> None:
        """Signal a worker, wait until it is gone and start another in its place."""
        processes.end(worker, number)
        self.workers.remove(worker)
        self.kills += 1
        self.add()

    def attack(self, times: int, chance: random.Random, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill a worker each time the sink's books have grown to a random size."""
        mails = self.state("pending")
        for goal in sorted(chance.randrange(mails) for _ in range(times)):
            if not self._reached(goal):
                return
            time.sleep(chance.random() * 0.05)
            # The oldest: one that has just been started would die before it did anything.
            self.kill(self.workers[0], number)

    def finish(self, patience: float = 120) -> Toll:
        """Wait until the run is finished, end the workers softly and count."""
        processes.until(self.finished, patience, "the run is finished")
        for worker in self.workers:
            # One that is still starting knows no signals yet.
            assert processes.end(worker, signal.SIGTERM) in (0, -signal.SIGTERM)
        return self.toll()

    def toll(self) -> Toll:
        """Compare the ledger with the sink."""
        with self.shop.store.read() as connection:
            states = ledger_queries.count_states(connection, self.run_id)
            rows = connection.exec_driver_sql(
                "SELECT c.email, d.state FROM delivery d JOIN customer c ON c.id = d.customer_id"
                f" WHERE d.run_id = {self.run_id}"
            ).all()
        arrived = self.sink.recipients()
        accounted = {email for email, state in rows if state in ("sent", "unconfirmed")}
        lost = sum(1 for email, state in rows if state == "sent" and email not in arrived)
        lost += sum(1 for email, state in rows if state not in ("sent", "unconfirmed", "skipped", "refused"))
        return Toll(states, lost, len(arrived - accounted), len(self.sink.twice()))

    def state(self, name: str) -> int:
        """Count the rows in one state."""
        with self.shop.store.read() as connection:
            return ledger_queries.count_states(connection, self.run_id).get(name, 0)

    def finished_at_last(self) -> bool:
        """Ask again when our own connection was ended too."""
        try:
            return self.finished()
        except Unavailable:
            return False

    def finished(self) -> bool:
        with self.shop.store.read() as connection:
            run = runs.find_run(connection, self.run_id)
        return run is not None and run.state is RunState.finished

    def sound(self) -> bool:
        """Whether the database is whole."""
        if not self.shop.store.sqlite:
            return True
        with sqlite3.connect(self.shop.store.engine.url.database or "") as connection:
            return bool(connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok")

    def _reached(self, mails: int) -> bool:
        """Wait for so many mails at the sink; False when the run is over before."""
        while self.arrived() < mails:
            if self.finished():
                return False
            time.sleep(0.02)
        return True

    def arrived(self) -> int:
        return self.sink.log.read_bytes().count(b"\n") if self.sink.log.exists() else 0


@contextmanager
def siege(shop: Shop, sink: Sink, folder: Path, workers: int = 1, more: str = "", **variables: str) -> Iterator[Siege]:
    """Launch a run and start workers on it; end them all at the end. `more` is YAML of the campaign."""
    environment = shop.environment(
        MAILSHOT_SMTP=sink.url, MAILSHOT_CONNECTIONS=str(CONNECTIONS), **{"MAILSHOT_LEASE": "1", **variables}
    )
    laid = Siege(shop, sink, shop.launch(shop.campaign(more=more)), environment, folder)
    try:
        for _ in range(workers):
            laid.add()
        yield laid
    finally:
        for worker in laid.workers:
            worker.send_signal(signal.SIGCONT)
            processes.end(worker)
