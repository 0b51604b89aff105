"""The loops of a worker and of the clock, and the Dramatiq actor that answers doorbells.

The actor takes a run's id and retries nothing: what failed is still in the ledger, which is checked regularly.
Start at `work_until` and `tick_until`.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import dramatiq

from mailshot import logs, metrics
from mailshot.bootstrap import App
from mailshot.campaign import conversions, schedules
from mailshot.deliver import address_mails, confirmations, pipeline, relays, requested_mails, sign_up_mails
from mailshot.deliver.requested_mails import RequestedMails
from mailshot.doorbell import ACTOR, QUEUE, QUEUE_ERRORS
from mailshot.errors import Busy, MailshotError
from mailshot.feedback import incoming_mail
from mailshot.intake import receiver
from mailshot.intake.mailbox_address import MailboxAddress
from mailshot.intake.receiver import MailHandlers
from mailshot.store import address_changes, erasures, leases, ledger_queries, scrubbing, sign_ups, staging

log = logging.getLogger(__name__)
#: Between two rounds of the clock.
CLOCK_SECONDS = 1.0
#: Between two counts of the due mails for the metrics: a million rows take a tenth of a second.
DUE_SECONDS = 15.0
#: For Dramatiq's threads to end.
STOP_TIMEOUT_MS = 3_000
#: Between two checks of the ledger for due mail: the most that a lost doorbell can cost.
LEDGER_POLL_SECONDS = 5.0
#: Between two checks for mails that customers and visitors asked for on the pages.
REQUESTED_MAIL_POLL_SECONDS = 2.0
REQUESTED_MAILS: tuple[RequestedMails[Any], ...] = (confirmations.LINKS, address_mails.MAILS, sign_up_mails.LINKS)
#: Transactions in which the clock records conversions per check: well under a second, so that no launch is late.
CONVERSION_TRANSACTIONS = 10
#: The lease that makes one process the clock: its name, and how long it lasts without being renewed.
CLOCK_LEASE, LEASE_LENGTH = "clock", timedelta(seconds=10)
#: Between two scrubbings on PostgreSQL: each may lock every table for a moment. The second is for tables too large.
SCRUB_GAP, LARGE_SCRUB_GAP = timedelta(seconds=30), timedelta(hours=1)
#: Between two deletions of old messages that came back.
DROP_GAP = timedelta(hours=1)
#: An import of some million rows keeps SQLite locked for minutes; a longer lock is logged.
LONG_BUSY_SECONDS = 600.0


class WorkerPool:
    """The threads of one process that answer doorbells; it knows whether one is free."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._free = threading.Semaphore(threads)

    @property
    def idle(self) -> bool:
        """Whether a thread has nothing to do."""
        if not self._free.acquire(blocking=False):
            return False
        self._free.release()
        return True

    def wait_idle(self, seconds: float) -> None:
        """Wait until all threads are free, at most this long."""
        deadline = time.monotonic() + seconds
        for _ in range(self._threads):
            self._free.acquire(timeout=max(deadline - time.monotonic(), 0))

    def send_batch(self, app: App, run_id: int, stop: threading.Event) -> None:
        """Send a batch of a run, and ring again when more is due."""
        with self._free:
            _send_batch(app, run_id, stop)


class BusyWatch:
    """Logs that another process keeps the database locked: once, and only after `LONG_BUSY_SECONDS`."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._since: float | None = None
        self._logged = False

    def free(self) -> None:
        """Note that the database could be used."""
        self._since, self._logged = None, False

    def busy(self, error: Busy) -> None:
        """Note that the database was locked."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if not self._logged and now - self._since >= LONG_BUSY_SECONDS:
            self._logged = True
            log.error("%s has waited for %.0f minutes: %s", self._process, (now - self._since) / 60, error)


class ClockWatch:
    """What the metrics show of the clock: how late it is, and how much mail is due."""

    def __init__(self, counts_due: bool) -> None:
        """`counts_due`: whether anything reads the number of due mails, which is a query."""
        self._counts_due = counts_due
        self._checked_at: float | None = None
        self._counted_at = -DUE_SECONDS
        self._due: int | None = None

    def checked(self, app: App, now: datetime) -> None:
        """Note that the clock has checked all that is due."""
        self._checked_at = time.monotonic()
        if self._counts_due and self._checked_at - self._counted_at >= DUE_SECONDS:
            self._counted_at = self._checked_at
            with app.store.read() as connection:
                self._due = ledger_queries.count_due_rows(connection, now)

    def stood_by(self) -> None:
        """Note that another process is the clock."""
        self._checked_at = self._due = None

    def lag(self) -> float | None:
        """Return the seconds by which the next check is late, None while another process is the clock."""
        at = self._checked_at
        return None if at is None else max(time.monotonic() - at - CLOCK_SECONDS, 0.0)

    def due(self) -> float | None:
        """Return how many mails were due when they were last counted, None while another process is the clock."""
        return self._due

    def measured(self) -> ExitStack:
        """Show both until the result is closed."""
        stack = ExitStack()
        stack.enter_context(metrics.CLOCK_LAG.reading(self.lag))
        stack.enter_context(metrics.DUE.reading(self.due))
        return stack


def declare(app: App, pool: WorkerPool, stop: threading.Event) -> None:
    """Declare the send actor on the app's broker."""

    @dramatiq.actor(actor_name=ACTOR, queue_name=QUEUE, broker=app.doorbell.broker)
    def deliver(run_id: int) -> None:
        pool.send_batch(app, run_id, stop)


def work_until(app: App, threads: int, stop: threading.Event) -> None:
    """Answer doorbells in `threads` threads until `stop` is set; then finish the transactions in progress."""
    pool, watch = WorkerPool(threads), BusyWatch("the worker")
    declare(app, pool, stop)
    worker = dramatiq.Worker(app.doorbell.broker, queues={QUEUE}, worker_threads=threads, worker_timeout=200)
    worker.start()
    # In a thread of its own: a server that hangs must not keep the worker from checking the ledger.
    links = threading.Thread(target=_send_requested_mails_until, args=(app, stop), name="links")
    links.start()
    # With one thread, an idle pool means that a run in progress is sent by another process: this one can help.
    shared = threads == 1 or not app.settings.embedded
    try:
        # Doorbells may be lost, so check the ledger regularly.
        with metrics.UNUSABLE_RELAYS.reading(relays.count_unusable):
            while not stop.is_set():
                for run_id in _runs_with_due_mail(app, watch, shared) if pool.idle else []:
                    if not app.doorbell.ring(run_id):
                        pool.send_batch(app, run_id, stop)
                stop.wait(min(LEDGER_POLL_SECONDS, app.settings.lease / 2))
    finally:
        stop.set()
        pool.wait_idle(app.settings.dot_timeout + 60)
        links.join()
        # Without Redis, Dramatiq's threads try to acknowledge forever; no mail depends on them any more.
        with suppress(*QUEUE_ERRORS):
            worker.stop(timeout=STOP_TIMEOUT_MS)


def tick_until(app: App, stop: threading.Event) -> None:
    """Be the clock until `stop` is set, unless another process is: launch due schedules and ring for due mail."""
    holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
    busy, clock = BusyWatch("the clock"), ClockWatch(bool(app.settings.metrics))
    rounds = _ClockRounds(app)
    with clock.measured():
        while not stop.wait(CLOCK_SECONDS):
            now = app.store.now()
            try:
                if _is_clock(app, holder, now):
                    rounds.check(now)
                    clock.checked(app, now)
                else:
                    clock.stood_by()
                busy.free()
            except Busy as error:
                busy.busy(error)
            except MailshotError as error:
                log.error("the clock could not check what is due: %s", error)
            except Exception:  # a bug in one of its tasks must not stop all launches
                log.exception("the clock could not check what is due")
    _release_lease(app, holder)


class _ClockRounds:
    """The clock's work of each second, and when it last did its less frequent work."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._checked_at = self._scrub_at = self._drop_at = datetime.now(UTC) - LEASE_LENGTH

    def check(self, now: datetime) -> None:
        """Launch what is due; every few seconds look for other work that waits."""
        app = self._app
        for run_id in schedules.launch_due(app.store, now):
            app.doorbell.ring(run_id)
        if now - self._checked_at >= timedelta(seconds=LEDGER_POLL_SECONDS):
            self._checked_at = now
            app.store.set_clock()
            for run_id in pipeline.runs_with_due_mail(app.store, app.store.now()):
                app.doorbell.ring(run_id)
            conversions.make_conversions(app.store, CONVERSION_TRANSACTIONS)
            _process_incoming_mail(app)
            if now >= self._drop_at:
                self._drop_at = now + DROP_GAP
                incoming_mail.drop_old(app.store, now)
                _drop_requests(app, now)
            if app.store.sqlite:
                staging.clean_up_if_idle(app.store)
            self._scrub_at = _scrub(app, self._scrub_at, now)


def _process_incoming_mail(app: App) -> None:
    """Process what the mailbox left waiting. The clock needs no keys where no mail comes back."""
    if incoming_mail.is_any_waiting(app.store):
        incoming_mail.process_waiting(app.store, app.keys, lambda: datetime.now(UTC))


def receive_until(app: App, mailbox: MailboxAddress, stop: threading.Event) -> None:
    """Receive mail that comes back until `stop` is set. Raises Unavailable when the port cannot be used."""
    handlers = MailHandlers(
        take=partial(incoming_mail.take, app.store),
        process=lambda: incoming_mail.process_waiting(app.store, app.keys, lambda: datetime.now(UTC)),
    )
    receiver.receive_until(mailbox, app.keys, handlers, stop)


def _drop_requests(app: App, now: datetime) -> None:
    """Delete the sign-ups and changes of address whose links have ended."""
    with app.store.write() as connection:
        address_changes.delete_old(connection, now)
        sign_ups.delete_old(connection, now - timedelta(days=app.settings.signup_days))


def _scrub(app: App, due: datetime, now: datetime) -> datetime:
    """Remove erased data from the database files, if that is due; return when it is due again."""
    with app.store.read() as connection:
        waiting = erasures.count_pending(connection).number
    if not waiting or now < due:
        return due
    scrubbing.work(app.store, now)
    if app.store.sqlite:
        return now
    # Tables too large to lock wait for 'mailshot db scrub'; the rest need not be rewritten all the time.
    held_up = scrubbing.too_large(app.store) or not scrubbing.may_clear_statistics(app.store)
    return now + (LARGE_SCRUB_GAP if held_up else SCRUB_GAP)


def _is_clock(app: App, holder: str, now: datetime) -> bool:
    """Return whether `holder` is the clock. The lease is renewed after half its length: each renewal is a write."""
    with app.store.read() as connection:
        lease = leases.last_holder(connection, CLOCK_LEASE)
    if lease and lease[0] == holder and lease[1] > now + LEASE_LENGTH / 2:
        return True
    if lease and lease[0] != holder and lease[1] >= now:
        return False
    with app.store.write() as connection:
        return leases.acquire(connection, CLOCK_LEASE, holder, now, now + LEASE_LENGTH)


def _send_batch(app: App, run_id: int, stop: threading.Event) -> None:
    with logs.of_run(run_id):
        try:
            if pipeline.send_batch(app.send_settings, run_id, app.settings.batch, stop):
                app.doorbell.ring(run_id)
        except MailshotError as error:
            log.error("run %s: %s", run_id, error)
        except Exception:  # a bug that one run meets must not end the worker of all others
            log.exception("run %s cannot be sent now", run_id)


def _runs_with_due_mail(app: App, watch: BusyWatch, shared: bool) -> list[int]:
    try:
        app.store.set_clock()
        run_ids = pipeline.runs_with_due_mail(app.store, app.store.now(), shared)
        watch.free()
        return run_ids
    except Busy as error:
        watch.busy(error)
        return []
    except MailshotError as error:
        log.error("cannot read the ledger: %s", error)
        return []


def _send_requested_mails_until(app: App, stop: threading.Event) -> None:
    """Send the mails that customers asked for on the pages; one that fails is tried again later."""
    while not stop.wait(REQUESTED_MAIL_POLL_SECONDS):
        try:
            for kind in REQUESTED_MAILS:
                now = datetime.now(UTC)
                # A worker needs no keys and no server as long as no such mail is requested.
                if requested_mails.is_any_due(app.store, kind, now):
                    requested_mails.send_due(app.send_settings, kind, now, stop)
        except Busy:
            continue
        except Exception as error:  # one broken server or row must not block the mails of all others
            log.error("mails that customers asked for were not sent: %s", error)


def _release_lease(app: App, holder: str) -> None:
    try:
        with app.store.write() as connection:
            leases.release(connection, CLOCK_LEASE, holder)
    except MailshotError as error:
        log.warning("could not release the lease of the clock: %s", error)
