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
from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import datetime

from mailshot import logs, metrics
from mailshot.deliver import frozen_run, outcome, rate_limit, routes
from mailshot.deliver.composer import Composer, Prepared
from mailshot.deliver.frozen_run import FrozenRun
from mailshot.deliver.ledger_writer import LedgerWriter
from mailshot.deliver.outcome import Outcome, Status
from mailshot.deliver.rate_limit import RateLimiter
from mailshot.deliver.relays import Relay, Relays
from mailshot.deliver.send_settings import SendSettings
from mailshot.deliver.smtp import Connection, MailObject, Server
from mailshot.errors import Unavailable
from mailshot.states import DeliveryState
from mailshot.store import ledger, ledger_queries
from mailshot.store.engine import Store
from mailshot.store.worker_ledger import Settled

log = logging.getLogger(__name__)
#: Replies in a row that object to the sender, after which a relay is not used for a while; a batch stops when no relay
#: is left. Each further mail would harm the sender's reputation.
MAX_SENDER_FAULTS = 5


def send_batch(settings: SendSettings, run_id: int, most: int, stop: threading.Event) -> bool:
    """Send up to `most` due deliveries of a run; return whether more are due now.

    Raises SettingsError when the key is missing that the run's sender signs with, or the address of one of its relays;
    then nothing is sent.
    Several workers may do this for one run at the same time. Setting `stop` ends the batch after the mails in progress.
    """
    settings.store.set_clock()
    with settings.store.write() as connection:
        ledger.recover(connection, settings.store.now())
    run = frozen_run.load_running(settings.store, run_id)
    if run is None or stop.is_set():
        return False
    # Before anything is claimed: without its key the run waits, and no mail leaves unsigned.
    settings.dkim_keys.find(run.mailing.sender.get("sign"))
    servers = routes.find_relays(run.mailing.sender.get("through"), settings.relays)
    more_due = asyncio.run(_send_over_connections(settings, run, servers, most, stop))
    with settings.store.write() as connection:
        ledger.finish_runs(connection, settings.store.now())
    return more_due and not stop.is_set()


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


async def _send_over_connections(
    settings: SendSettings, run: FrozenRun, servers: Mapping[str, Server], most: int, stop: threading.Event
) -> bool:
    """Send a batch; return whether more is due that can be sent now: False when the servers or the ledger failed."""
    relays = Relays(routes.make_relays(settings, run.mailing.sender, servers), settings.connections)
    writer = LedgerWriter(settings.ledger, run.row, run.gates, secrets.randbits(62), settings.lease)
    composer = Composer(settings, run, writer, relays, most, stop)
    sender_address = str(run.mailing.sender["address"])
    limiter = rate_limit.limiter(run.row.campaign, sender_address, run.rate, settings.redis, settings.store)
    sender = _Sender(settings, run, writer, composer, relays, limiter)
    async with AsyncExitStack() as closing:
        # In reverse: first no more mails are rendered, then the ledger is written.
        for part in (relays, limiter, writer, composer):
            closing.push_async_callback(part.close)
        closing.enter_context(sender.measured())
        composer.start()
        # One connection that fails by a bug in Mailshot must not cancel the others between dot and reply.
        tasks = (sender.send_until_done() for _ in range(settings.connections))
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        unhindered = not composer.stopped
    for error in errors:
        if error is not None:
            raise error
    return unhindered and _has_due_rows(settings.store, run.id, relays.usable_names)


def _has_due_rows(store: Store, run_id: int, relays: Collection[str] | None) -> bool:
    with store.read() as connection:
        return ledger_queries.has_due_rows(connection, run_id, store.now(), relays)


@dataclass(frozen=True, slots=True)
class _Unsent:
    """A mail that a relay did not take, so that another one may: its dot was not released."""

    mail: Prepared
    #: What became of the transaction; None when no connection could be opened.
    outcome: Outcome | None


class _Sender:
    """Sends mails over the connections of one batch, which share its ledger writer, composer, relays and rate."""

    def __init__(
        self,
        settings: SendSettings,
        run: FrozenRun,
        writer: LedgerWriter,
        composer: Composer,
        relays: Relays,
        limiter: RateLimiter,
    ) -> None:
        self.settings, self.run = settings, run
        self.writer, self.composer, self.relays, self.limiter = writer, composer, relays, limiter
        #: Mails that only one relay may send and that a connection to another one got, by relay.
        self.bound: defaultdict[str, deque[Prepared]] = defaultdict(deque)

    def measured(self) -> ExitStack:
        """Show what this batch holds in the metrics until the result is closed."""
        stack = ExitStack()
        stack.enter_context(metrics.CONNECTIONS.reading(lambda: self.relays.connections))
        stack.enter_context(metrics.CLAIMED.reading(lambda: self.writer.held))
        stack.enter_context(metrics.RENDERED.reading(lambda: self.composer.ready))
        return stack

    async def send_until_done(self) -> None:
        """Send mail after mail over one connection at a time, to one relay after the other where need be."""
        while relay := self._place_for_bound() or await self.relays.wait_for_place(self._is_over):
            unsent = await self._send_through(relay)
            failed = [relay] if unsent and not _is_lost(unsent) else []
            lost = relay
            while unsent:
                other = None if self.composer.stopped else self.relays.take(unsent.mail.relay, failed)
                if other is None:
                    self._give_back(unsent)
                    break
                unsent = await self._send_through(other, unsent.mail)
                # A relay whose connection broke is asked once more: that finds out whether it is down.
                if unsent and (other is lost or not _is_lost(unsent)):
                    failed.append(other)
                lost = other

    async def _send_through(self, relay: Relay, mail: Prepared | None = None) -> _Unsent | None:
        """Send mail after mail over one connection, `mail` first, until the batch ends or the relay must be left.

        The connection is opened for the first mail. Gives the place at the relay back, and returns a mail that the
        relay did not take.
        """
        connection: Connection | None = None
        try:
            if mail and not await relay.limiter.wait(lambda: self.composer.stopped):
                return _Unsent(mail, None)
            mail = mail or await self._next(relay)
            while mail:
                try:
                    connection, following, refusal = await self.send_one(relay, connection, mail)
                except Unavailable as error:
                    self._note_unavailable(relay, error)
                    return _Unsent(mail, None)
                if refusal:
                    return _Unsent(mail, refusal)
                mail = following
                if mail and connection is None and self.relays.must_leave(relay):
                    return _Unsent(mail, None)
                if mail is None and not self.relays.must_leave(relay) and not self._bound_with_room():
                    mail = await self._next(relay)
            if connection:
                relay.connections -= 1
                await connection.quit()
        finally:
            self.relays.release(relay)
        return None

    async def send_one(
        self, relay: Relay, connection: Connection | None, mail: Prepared
    ) -> tuple[Connection | None, Prepared | None, Outcome | None]:
        """Send one mail: body, intent, dot, outcome.

        Without a connection it opens one. Returns the connection if it can carry another mail, the mail that must be
        next, because its envelope was sent with the dot, and the outcome of a mail that another relay may be given.
        Raises Unavailable when no connection can be opened; then nothing was sent.
        """
        connection = connection or await self._open(relay)
        message = self._encode(connection, mail)
        if message is None:
            return connection, None, None
        outcome, following = await connection.send_body(message), None
        if outcome and outcome.resend:
            relay.connections -= 1
            return await self.send_one(relay, None, mail)
        if outcome is None:
            if not await self.writer.commit_intent(mail.customer_id, mail.revision, mail.links, relay.name, mail.relay):
                connection.drop()
                relay.connections -= 1
                return None, None, None
            committed = time.perf_counter()
            following = self._following(relay)
            outcome = await connection.send_dot(self._encode(connection, following) if following else None)
            metrics.REPLY_SECONDS.observe(time.perf_counter() - committed)
        elif self.relays.several and outcome.may_change_relay:
            relay.connections -= 1
            self._note(relay, outcome)
            return None, None, outcome
        self._note(relay, outcome)
        self.writer.settle(_settled(mail, outcome, self.run, self.settings.store.now(), relay.name))
        relay.connections -= outcome.close
        return (None if outcome.close else connection), following, None

    async def _next(self, relay: Relay) -> Prepared | None:
        """Wait for the next mail and for its turn under the rates; None when the batch has ended or the relay waits."""
        bound = self._first_bound(relay.name)
        if not relay.limiter.unlimited:

            def is_over() -> bool:
                return self.composer.stopped or (not bound and (self._is_over() or self.relays.must_leave(relay)))

            # Before a mail is taken: one that waits for a slow relay could be sent through another.
            if not await relay.limiter.wait(is_over):
                return None
        mail = bound or await self.composer.next_mail()
        while mail and not self._is_for(relay, mail):
            mail = await self.composer.next_mail()
        if mail is None:
            self.relays.end()
        return mail if mail and await self.limiter.wait(lambda: self.composer.stopped) else None

    def _following(self, relay: Relay) -> Prepared | None:
        """Return a mail that may be sent at once, None if there is none yet."""
        if not (self.limiter.unlimited and relay.limiter.unlimited) or self.relays.must_leave(relay):
            return None
        mail = self.composer.next_ready()
        return mail if mail and self._is_for(relay, mail) else None

    def _is_over(self) -> bool:
        """Return whether no connection gets a further mail, except for those put aside."""
        return self.composer.stopped or self.composer.exhausted

    def _is_for(self, relay: Relay, mail: Prepared) -> bool:
        """Return whether a relay may send a mail; one that only another may send is put aside."""
        if mail.relay is None or mail.relay == relay.name:
            return True
        self.bound[mail.relay].append(mail)
        return False

    def _first_bound(self, name: str | None) -> Prepared | None:
        mails = self.bound.get(name) if name else None
        return mails.popleft() if mails else None

    def _bound_with_room(self) -> str | None:
        """Return a relay for which mails have been put aside, and which can have another connection."""
        if not self.bound or self.composer.stopped:
            return None
        return next((name for name, mails in self.bound.items() if mails and self.relays.has_room(name)), None)

    def _place_for_bound(self) -> Relay | None:
        name = self._bound_with_room()
        return self.relays.take(name) if name else None

    async def _open(self, relay: Relay) -> Connection:
        connection = await Connection.open(relay.server)
        relay.connections += 1
        return connection

    def _encode(self, connection: Connection, mail: Prepared) -> MailObject | None:
        """Return a mail's bytes as this server takes them; a mail that has none is skipped."""
        try:
            return mail.message(connection.eight_bit, self.settings.dkim_keys)
        except Exception as error:
            self.composer.skip_unrenderable(mail.customer_id, error)
            return None

    def _give_back(self, unsent: _Unsent) -> None:
        """Report a mail that no relay took now: deferred if a transaction failed, else pending as if untouched."""
        mail = unsent.mail
        if unsent.outcome:
            self.writer.settle(_settled(mail, unsent.outcome, self.run, self.settings.store.now(), None))
        else:
            self.writer.settle(Settled(mail.customer_id, DeliveryState.pending, relay=mail.relay))

    def _note_unavailable(self, relay: Relay, error: Unavailable) -> None:
        """Note that no connection could be opened; when no relay works any more, stop."""
        log.error("%s", error)
        metrics.CONNECTION_FAILURES.add(1, relay.server.setting)
        self.relays.fail(relay)
        self._halt_without_relay()

    def _note(self, relay: Relay, result: Outcome) -> None:
        """Note what an outcome says about its relay."""
        if result.status is Status.accepted:
            self.relays.answer(relay, accepted=True)
        elif result.sender_fault or result.wants_less:
            metrics.SENDER_FAULTS.add(1, relay.server.setting)
            self.relays.object(relay, result.wants_less, MAX_SENDER_FAULTS)
            if relay.faults >= MAX_SENDER_FAULTS:
                log.error("%s objects to the sender, stopping for now: %s", relay.server, logs.masked(result.reply))
                self._halt_without_relay()
        elif not result.close:
            self.relays.answer(relay, accepted=False)

    def _halt_without_relay(self) -> None:
        if not self.relays.any_works:
            self.composer.halt()
            self.relays.end()


def _is_lost(unsent: _Unsent) -> bool:
    """Return whether the connection broke without a reply."""
    return unsent.outcome is not None and not unsent.outcome.reply[:1].isdigit()


def _settled(mail: Prepared, result: Outcome, run: FrozenRun, now: datetime, relay: str | None) -> Settled:
    """Return where a delivery goes after a transaction: sent, refused, unconfirmed, or deferred until a retry.

    `relay`: the one that may have the mail; if that is in doubt, it alone may send the mail again.
    """
    customer_id, reply = mail.customer_id, result.reply
    if result.status is Status.accepted:
        return Settled(customer_id, DeliveryState.sent, reply)
    retry_at = outcome.next_attempt(mail.attempts, run.row.launched_at, now)
    if result.status is Status.in_doubt and (retry_at is None or not run.row.at_least_once):
        return Settled(customer_id, DeliveryState.unconfirmed, reply)
    if result.status is Status.refused or retry_at is None:
        no_mailbox = mail.address if result.no_mailbox else None
        return Settled(customer_id, DeliveryState.refused, reply, no_mailbox=no_mailbox)
    bound_to = relay if result.status is Status.in_doubt else mail.relay
    return Settled(customer_id, DeliveryState.deferred, reply, next_attempt_at=retry_at, relay=bound_to)
