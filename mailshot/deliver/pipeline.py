"""Sends one batch of a run: claim, check, render, send the body, commit the intent, send the dot, settle.

Start at `send_batch`; `_Sender.send_one` is the story of one mail. Each verb has a module of its own: `composer` claims
and renders, `smtp` talks to the server, `ledger_writer` commits.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from contextlib import ExitStack
from datetime import datetime

from mailshot import logs, metrics
from mailshot.deliver import frozen_run, outcome, rate_limit
from mailshot.deliver.composer import Composer, Prepared
from mailshot.deliver.frozen_run import FrozenRun
from mailshot.deliver.ledger_writer import LedgerWriter
from mailshot.deliver.outcome import Outcome, Status
from mailshot.deliver.rate_limit import RateLimiter
from mailshot.deliver.send_settings import SendSettings
from mailshot.deliver.smtp import Connection, MailObject
from mailshot.errors import Unavailable
from mailshot.states import DeliveryState
from mailshot.store import ledger, ledger_queries
from mailshot.store.engine import Store
from mailshot.store.worker_ledger import Settled

log = logging.getLogger(__name__)
#: Replies in a row that object to the sender, after which a batch stops: each further mail would harm its reputation.
MAX_SENDER_FAULTS = 5


def send_batch(settings: SendSettings, run_id: int, most: int, stop: threading.Event) -> bool:
    """Send up to `most` due deliveries of a run; return whether more are due now.

    Raises SettingsError when the key is missing that the run's sender signs with; then nothing is sent.
    Several workers may do this for one run at the same time. Setting `stop` ends the batch after the mails in progress.
    """
    for store in (settings.store, settings.ledger):
        store.set_clock()
    with settings.store.write() as connection:
        ledger.recover(connection, settings.store.now())
    run = frozen_run.load_running(settings.store, run_id)
    if run is None or stop.is_set():
        return False
    # Before anything is claimed: without its key the run waits, and no mail leaves unsigned.
    settings.dkim_keys.find(run.mailing.sender.get("sign"))
    unhindered = asyncio.run(_send_over_connections(settings, run, most, stop))
    with settings.store.write() as connection:
        now = settings.store.now()
        ledger.finish_runs(connection, now)
        return unhindered and not stop.is_set() and ledger_queries.has_due_rows(connection, run_id, now)


def runs_with_due_mail(store: Store, now: datetime, shared: bool = False) -> list[int]:
    """Recover lapsed leases, finish runs that are done, and return the runs with due mail.

    Without `shared`, only runs that no worker is sending.
    """
    with store.read() as connection:
        unsettled = ledger_queries.is_unsettled(connection, now)
    if unsettled:  # SQLite has one writer at a time: an idle process must not wait for an import or a plan to end
        with store.write() as connection:
            ledger.recover(connection, now)
            ledger.finish_runs(connection, now)
    with store.read() as connection:
        return [
            run_id for run_id, workers in ledger_queries.runs_with_due_rows(connection, now) if shared or not workers
        ]


async def _send_over_connections(settings: SendSettings, run: FrozenRun, most: int, stop: threading.Event) -> bool:
    """Send a batch; return False when the server or the ledger failed, so that going on at once would fail again."""
    writer = LedgerWriter(settings.ledger, run.row, run.gates, secrets.randbits(62), settings.lease)
    composer = Composer(settings, run, writer, most, stop)
    sender_address = str(run.mailing.sender["address"])
    limiter = rate_limit.limiter(run.row.campaign, sender_address, run.rate, settings.redis, settings.store)
    sender = _Sender(settings, run, writer, composer, limiter)
    measured = sender.measured()
    try:
        composer.start()
        # One connection that fails by a bug in Mailshot must not cancel the others between dot and reply.
        tasks = (sender.send_until_done() for _ in range(settings.connections))
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        unhindered = not composer.stopped
    finally:
        measured.close()
        await composer.close()
        await writer.close()
        await limiter.close()
    for error in errors:
        if error is not None:
            raise error
    return unhindered


class _Sender:
    """Sends mails over the connections of one batch, which share its ledger writer, composer and rate."""

    def __init__(
        self,
        settings: SendSettings,
        run: FrozenRun,
        writer: LedgerWriter,
        composer: Composer,
        limiter: RateLimiter,
    ) -> None:
        self.settings, self.run = settings, run
        self.writer, self.composer, self.limiter = writer, composer, limiter
        self.sender_faults = 0
        self.open_connections = 0

    def measured(self) -> ExitStack:
        """Show what this batch holds in the metrics until the result is closed."""
        stack = ExitStack()
        stack.enter_context(metrics.CONNECTIONS.reading(lambda: self.open_connections))
        stack.enter_context(metrics.CLAIMED.reading(lambda: self.writer.held))
        stack.enter_context(metrics.RENDERED.reading(lambda: self.composer.ready))
        return stack

    async def send_until_done(self) -> None:
        """Send mail after mail over one connection, opened for the first one."""
        connection: Connection | None = None
        mail = await self._next()
        while mail:
            try:
                connection, following = await self.send_one(connection, mail)
            except Unavailable as error:
                self._return_unsent(mail, error)
                return
            mail = following or await self._next()
        if connection:
            await connection.quit()
            self.open_connections -= 1

    async def send_one(
        self, connection: Connection | None, mail: Prepared
    ) -> tuple[Connection | None, Prepared | None]:
        """Send one mail: body, intent, dot, outcome.

        Without a connection it opens one. Returns the connection if it can carry another mail, and the mail that must
        be next, because its envelope was sent with the dot. Raises Unavailable when no connection can be opened; then
        nothing was sent.
        """
        connection = connection or await self._open()
        message = self._encode(connection, mail)
        if message is None:
            return connection, None
        outcome, following = await connection.send_body(message), None
        if outcome and outcome.resend:
            self.open_connections -= 1
            return await self.send_one(None, mail)
        if outcome is None:
            if not await self.writer.commit_intent(mail.customer_id, mail.revision, mail.links):
                connection.drop()
                self.open_connections -= 1
                return None, None
            committed = time.perf_counter()
            following = self._following()
            outcome = await connection.send_dot(self._encode(connection, following) if following else None)
            metrics.REPLY_SECONDS.observe(time.perf_counter() - committed)
        self._settle(mail, outcome)
        if outcome.close:
            self.open_connections -= 1
            return None, following
        return connection, following

    async def _next(self) -> Prepared | None:
        """Wait for the next mail and for its turn under the rate; None when the batch has ended."""
        mail = await self.composer.next_mail()
        return mail if mail and await self.limiter.wait(lambda: self.composer.stopped) else None

    def _following(self) -> Prepared | None:
        """Return a mail that may be sent at once, None if there is none yet."""
        return self.composer.next_ready() if self.limiter.unlimited else None

    async def _open(self) -> Connection:
        connection = await Connection.open(self.settings.server)
        self.open_connections += 1
        return connection

    def _encode(self, connection: Connection, mail: Prepared) -> MailObject | None:
        """Return a mail's bytes as this server takes them; a mail that has none is skipped."""
        try:
            return mail.message(connection.eight_bit, self.settings.dkim_keys)
        except Exception as error:
            self.composer.skip_unrenderable(mail.customer_id, error)
            return None

    def _settle(self, mail: Prepared, outcome: Outcome) -> None:
        if outcome.sender_fault:
            self._count_sender_fault(outcome.reply)
        elif outcome.status is Status.accepted:
            self.sender_faults = 0
        self.writer.settle(_settled(mail, outcome, self.run, self.settings.store.now()))

    def _return_unsent(self, mail: Prepared, error: Unavailable) -> None:
        """Give back the row of a mail for which no connection could be opened; without any connection, stop."""
        log.error("%s", error)
        metrics.CONNECTION_FAILURES.add()
        if not self.open_connections:
            self.composer.halt()
        self.writer.settle(Settled(mail.customer_id, DeliveryState.pending))

    def _count_sender_fault(self, reply: str) -> None:
        self.sender_faults += 1
        metrics.SENDER_FAULTS.add()
        if self.sender_faults >= MAX_SENDER_FAULTS:
            log.error("the server objects to the sender, stopping for now: %s", logs.masked(reply))
            self.composer.halt()


def _settled(mail: Prepared, result: Outcome, run: FrozenRun, now: datetime) -> Settled:
    """Return where a delivery goes after a transaction: sent, refused, unconfirmed, or deferred until a retry."""
    customer_id, reply = mail.customer_id, result.reply
    if result.status is Status.accepted:
        return Settled(customer_id, DeliveryState.sent, reply)
    retry_at = outcome.next_attempt(mail.attempts, run.row.launched_at, now)
    if result.status is Status.in_doubt and (retry_at is None or not run.row.at_least_once):
        return Settled(customer_id, DeliveryState.unconfirmed, reply)
    if result.status is Status.refused or retry_at is None:
        no_mailbox = mail.address if result.no_mailbox else None
        return Settled(customer_id, DeliveryState.refused, reply, no_mailbox=no_mailbox)
    return Settled(customer_id, DeliveryState.deferred, reply, next_attempt_at=retry_at)
