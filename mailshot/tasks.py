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
from mailshot.campaign import clock, conversions
from mailshot.deliver import work
from mailshot.errors import MailshotError
from mailshot.queue import ACTOR, GONE, QUEUE
from mailshot.store import offices

log = logging.getLogger(__name__)
TICK = 1.0
GOODBYE = 3_000
LOOK = 5.0
#: Transactions in which the clock makes conversions at one look: well under a second, for launches must not be late.
CONVERSIONS = 10
OFFICE = "clock"
TERM = timedelta(seconds=10)


class Hands:
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

    def rest(self, patience: float) -> None:
        """Wait until all of them are free, at most `patience` seconds."""
        until = time.monotonic() + patience
        for _ in range(self._threads):
            self._free.acquire(timeout=max(until - time.monotonic(), 0))

    def answer(self, app: App, run_id: int, stop: threading.Event) -> None:
        """Send what a run owes, and ring again when more is due."""
        with self._free:
            _answer(app, run_id, stop)


def declare(app: App, hands: Hands, stop: threading.Event) -> None:
    """Declare the send actor on the app's broker."""

    @dramatiq.actor(actor_name=ACTOR, queue_name=QUEUE, broker=app.doorbell.broker)
    def deliver(run_id: int) -> None:
        hands.answer(app, run_id, stop)


def work_until(app: App, threads: int, stop: threading.Event) -> None:
    """Answer doorbells in `threads` threads until told to stop; then finish what is past MAIL FROM."""
    hands = Hands(threads)
    declare(app, hands, stop)
    worker = dramatiq.Worker(app.doorbell.broker, queues={QUEUE}, worker_threads=threads, worker_timeout=200)
    worker.start()
    try:
        # The doorbell may be lost or out of order: whatever happens, look at the ledger now and then.
        while not stop.is_set():
            for run_id in _owed(app) if hands.idle else []:
                if not app.doorbell.ring(run_id):
                    hands.answer(app, run_id, stop)
            stop.wait(min(LOOK, app.settings.lease / 2))
    finally:
        stop.set()
        hands.rest(app.settings.dot_timeout + 60)
        # With Redis gone, dramatiq's threads try to acknowledge for ever; no mail hangs on them any more.
        with suppress(*GONE):
            worker.stop(timeout=GOODBYE)


def tick_until(app: App, stop: threading.Event) -> None:
    """Be the clock, if nobody else is, until told to stop: launch what is due and ring for what is owed."""
    holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
    looked = datetime.now(UTC) - TERM
    while not stop.wait(TICK):
        now = datetime.now(UTC)
        try:
            with app.store.write() as connection:
                if not offices.take(connection, OFFICE, holder, now, now + TERM):
                    continue
            for run_id in clock.tick(app.store, now):
                app.doorbell.ring(run_id)
            if now - looked >= timedelta(seconds=LOOK):
                looked = now
                for run_id in work.owed(app.store, now):
                    app.doorbell.ring(run_id)
                conversions.make(app.store, CONVERSIONS)
        except MailshotError as error:
            log.error("the clock could not tick: %s", error)
    _leave(app, holder)


def _answer(app: App, run_id: int, stop: threading.Event) -> None:
    try:
        if work.answer(app.post, run_id, app.settings.batch, stop):
            app.doorbell.ring(run_id)
    except MailshotError as error:
        log.error("run %s: %s", run_id, error)


def _owed(app: App) -> list[int]:
    try:
        # Who shares a Redis shares the rate, and so may share a run.
        return work.owed(app.store, datetime.now(UTC), shared=not app.settings.embedded)
    except MailshotError as error:
        log.error("cannot look at the ledger: %s", error)
        return []


def _leave(app: App, holder: str) -> None:
    try:
        with app.store.write() as connection:
            offices.leave(connection, OFFICE, holder)
    except MailshotError as error:
        log.warning("could not leave the clock's office: %s", error)
