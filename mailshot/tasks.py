"""Owns the Dramatiq actor and the threads around it: worker and clock; refuses to know how mail is sent or planned.

An actor takes an id only and retries nothing: what failed is still in the ledger, and the ledger is looked at again.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import dramatiq

from mailshot.bootstrap import App
from mailshot.campaign import conversions, schedules
from mailshot.deliver import confirmations, pipeline
from mailshot.doorbell import ACTOR, GONE, QUEUE
from mailshot.errors import Busy, MailshotError
from mailshot.store import erasures, leases, scrubbing, staging

log = logging.getLogger(__name__)
TICK_SECONDS = 1.0
STOP_TIMEOUT_MS = 3_000
LEDGER_POLL_SECONDS = 5.0
DATA_LINK_POLL_SECONDS = 2.0
#: Transactions in which the clock makes conversions at one look: well under a second, for launches must not be late.
CONVERSIONS = 10
CLOCK_LEASE = "clock"
#: Between two scrubbings on PostgreSQL: each may lock every table for a moment.
SCRUB_GAP, LARGE_SCRUB_GAP = timedelta(seconds=30), timedelta(hours=1)
LEASE_LENGTH = timedelta(seconds=10)
# An import of some million rows keeps SQLite locked for minutes; what lasts longer is worth a look.
LONG_BUSY_SECONDS = 600.0


class WorkerPool:
    """The threads of one process that answer doorbells."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._free = threading.Semaphore(threads)

    @property
    def idle(self) -> bool:
        """Whether one of them has nothing to do."""
        if not self._free.acquire(blocking=False):
            return False
        self._free.release()
        return True

    def wait_idle(self, patience: float) -> None:
        """Wait until all of them are free, at most `patience` seconds."""
        until = time.monotonic() + patience
        for _ in range(self._threads):
            self._free.acquire(timeout=max(until - time.monotonic(), 0))

    def answer(self, app: App, run_id: int, stop: threading.Event) -> None:
        """Send what a run owes, and ring again when more is due."""
        with self._free:
            _answer(app, run_id, stop)


class BusyWatch:
    """Tells of a database that another process keeps locked, once and only when it has lasted long."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._since: float | None = None
        self._told = False

    def free(self) -> None:
        """Take note that the database could be used."""
        self._since, self._told = None, False

    def busy(self, error: Busy) -> None:
        """Take note that it could not."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if not self._told and now - self._since >= LONG_BUSY_SECONDS:
            self._told = True
            log.error("%s has waited for %.0f minutes: %s", self._what, (now - self._since) / 60, error)


def declare(app: App, hands: WorkerPool, stop: threading.Event) -> None:
    """Declare the send actor on the app's broker."""

    @dramatiq.actor(actor_name=ACTOR, queue_name=QUEUE, broker=app.doorbell.broker)
    def deliver(run_id: int) -> None:
        hands.answer(app, run_id, stop)


def work_until(app: App, threads: int, stop: threading.Event) -> None:
    """Answer doorbells in `threads` threads until told to stop; then finish what is past MAIL FROM."""
    hands, watch = WorkerPool(threads), BusyWatch("the worker")
    declare(app, hands, stop)
    worker = dramatiq.Worker(app.doorbell.broker, queues={QUEUE}, worker_threads=threads, worker_timeout=200)
    worker.start()
    # In a thread of its own: a server that hangs must not keep the worker from looking at the ledger.
    links = threading.Thread(target=_mail_links_until, args=(app, stop), name="links")
    links.start()
    try:
        # The doorbell may be lost or out of order: whatever happens, look at the ledger now and then.
        while not stop.is_set():
            for run_id in _owed(app, watch) if hands.idle else []:
                if not app.doorbell.ring(run_id):
                    hands.answer(app, run_id, stop)
            stop.wait(min(LEDGER_POLL_SECONDS, app.settings.lease / 2))
    finally:
        stop.set()
        hands.wait_idle(app.settings.dot_timeout + 60)
        links.join()
        # With Redis gone, dramatiq's threads try to acknowledge for ever; no mail hangs on them any more.
        with suppress(*GONE):
            worker.stop(timeout=STOP_TIMEOUT_MS)


def tick_until(app: App, stop: threading.Event) -> None:
    """Be the clock, if nobody else is, until told to stop: launch what is due and ring for what is owed."""
    holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
    looked, watch = datetime.now(UTC) - LEASE_LENGTH, BusyWatch("the clock")
    scrubbing_due = looked
    while not stop.wait(TICK_SECONDS):
        now = datetime.now(UTC)
        try:
            if _is_clock(app, holder, now):
                for run_id in schedules.launch_due(app.store, now):
                    app.doorbell.ring(run_id)
                if now - looked >= timedelta(seconds=LEDGER_POLL_SECONDS):
                    looked = now
                    for run_id in pipeline.runs_with_due_mail(app.store, now):
                        app.doorbell.ring(run_id)
                    conversions.make(app.store, CONVERSIONS)
                    if app.store.sqlite:
                        staging.tidy_up(app.store)
                    scrubbing_due = _scrub(app, scrubbing_due, now)
            watch.free()
        except Busy as error:
            watch.busy(error)
        except MailshotError as error:
            log.error("the clock could not tick: %s", error)
    _release_lease(app, holder)


def _scrub(app: App, due: datetime, now: datetime) -> datetime:
    """Take what was erased out of the files, if that is due; return when it is due again."""
    with app.store.read() as connection:
        waiting = erasures.waiting(connection).number
    if not waiting or now < due:
        return due
    scrubbing.work(app.store, now)
    if app.store.sqlite:
        return now
    # What is too large to lock waits for 'mailshot db scrub'; the rest need not be written anew all the time.
    held_up = scrubbing.too_large(app.store) or not scrubbing.may_clear_statistics(app.store)
    return now + (LARGE_SCRUB_GAP if held_up else SCRUB_GAP)


def _is_clock(app: App, holder: str, now: datetime) -> bool:
    """Say whether `holder` is the clock. The lease is renewed at half its term, not at every tick: that is a write."""
    with app.store.read() as connection:
        standing = leases.standing(connection, CLOCK_LEASE)
    if standing and standing[0] == holder and standing[1] > now + LEASE_LENGTH / 2:
        return True
    if standing and standing[0] != holder and standing[1] >= now:
        return False
    with app.store.write() as connection:
        return leases.acquire(connection, CLOCK_LEASE, holder, now, now + LEASE_LENGTH)


def _answer(app: App, run_id: int, stop: threading.Event) -> None:
    try:
        if pipeline.send_batch(app.post, run_id, app.settings.batch, stop):
            app.doorbell.ring(run_id)
    except MailshotError as error:
        log.error("run %s: %s", run_id, error)


def _owed(app: App, watch: BusyWatch) -> list[int]:
    try:
        # Who shares a Redis shares the rate, and so may share a run.
        owed = pipeline.runs_with_due_mail(app.store, datetime.now(UTC), shared=not app.settings.embedded)
        watch.free()
        return owed
    except Busy as error:
        watch.busy(error)
        return []
    except MailshotError as error:
        log.error("cannot look at the ledger: %s", error)
        return []


def _mail_links_until(app: App, stop: threading.Event) -> None:
    """Mail the links to their own data that customers asked for; what fails now is tried at a later look."""
    while not stop.wait(DATA_LINK_POLL_SECONDS):
        try:
            if links := confirmations.waiting(app.store, datetime.now(UTC)):
                confirmations.send(app.post, links, stop)
        except Busy:
            continue
        except Exception as error:  # an odd server or row must not keep the links of all others back for good
            log.error("links to customers' data were not mailed: %s", error)


def _release_lease(app: App, holder: str) -> None:
    try:
        with app.store.write() as connection:
            leases.release(connection, CLOCK_LEASE, holder)
    except MailshotError as error:
        log.warning("could not leave the clock's office: %s", error)
