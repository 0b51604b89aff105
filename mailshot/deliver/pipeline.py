"""Owns the story of sending a batch of one run, top to bottom; refuses details (each verb lives in its own module)."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mailshot import logs
from mailshot.deliver import outcome, rate_limit
from mailshot.deliver.composer import Composer, Prepared, Reconsider
from mailshot.deliver.ledger_writer import LedgerWriter
from mailshot.deliver.outcome import Outcome, Phase, Status
from mailshot.deliver.smtp import Connection, MailObject, Server
from mailshot.errors import Unavailable
from mailshot.render.compose import Mailing
from mailshot.states import DeliveryState, RunState
from mailshot.store import ledger, ledger_queries, runs, snapshots
from mailshot.store.eligibility import Gates
from mailshot.store.engine import Store
from mailshot.store.ledger import Settled
from mailshot.store.runs import RunRecord
from mailshot.tokens import KeyRing

log = logging.getLogger(__name__)
MOST_FAULTS = 5


@dataclass(frozen=True, slots=True)
class SendSettings:
    """All that sending needs besides the run itself."""

    store: Store
    server: Server
    keys: KeyRing
    base_url: str
    connections: int
    lease: timedelta
    reconsider: Reconsider
    redis: str = ""


async def deliver(
    post: SendSettings,
    run: RunRecord,
    mailing: Mailing,
    gates: Gates,
    rate: int | None,
    most: int,
    stop: threading.Event,
) -> bool:
    """Send up to `most` due deliveries of a run over `post.connections` connections; stop softly when told to.

    Returns False when something was in the way (server, ledger), so that going on at once would only meet it again.
    """
    rounds = LedgerWriter(post.store, run, gates, secrets.randbits(62), post.lease)
    desk = Composer(post.store, rounds, mailing, run, post.keys, post.base_url, post.reconsider, most, stop)
    tempo = rate_limit.of(run.campaign, str(mailing.sender["address"]), rate, post.redis)
    worker = _Sender(post, run, rounds, desk, tempo)
    try:
        # One connection that fails by a fault of ours must not tear down the others between dot and reply.
        ended = await asyncio.gather(*(worker.work() for _ in range(post.connections)), return_exceptions=True)
        clear = not desk.stopped
    finally:
        await rounds.close()
        await tempo.close()
    for fault in ended:
        if fault is not None:
            raise fault
    return clear


class _Sender:
    """What all connections of one batch share. `lines` counts the open ones."""

    def __init__(
        self, post: SendSettings, run: RunRecord, rounds: LedgerWriter, desk: Composer, tempo: rate_limit.Pace
    ) -> None:
        self.post, self.run, self.rounds, self.desk, self.tempo = post, run, rounds, desk, tempo
        self.faults = 0
        self.lines = 0

    async def work(self) -> None:
        """Send letter after letter over one connection, opened when the first is there."""
        connection: Connection | None = None
        async for task in self.desk.prepared_mails():
            if not await self.tempo.turn(lambda: self.desk.stopped):
                break
            try:
                connection = await self._send(connection, task)
            except Unavailable as error:
                self._give_up(task, error)
                return
        if connection:
            await connection.quit()

    async def _send(self, connection: Connection | None, task: Prepared) -> Connection | None:
        """Send one letter and settle its row; return the connection if it can be used again."""
        connection = connection or await self._open()
        used = connection.used
        verdict = await self._hand_over(connection, task)
        if verdict and verdict.close and verdict.phase is Phase.mail and used:
            # The server had enough of this connection; it says nothing about us or this mail.
            self.lines -= 1
            connection = await self._open()
            verdict = await self._hand_over(connection, task)
        if verdict:
            self._settle(task, verdict)
        if verdict and not verdict.close:
            return connection
        self.lines -= 1
        return None

    async def _open(self) -> Connection:
        connection = await Connection.open(self.post.server)
        self.lines += 1
        return connection

    async def _hand_over(self, connection: Connection, task: Prepared) -> Outcome | None:
        """Body, commit, dot. None when the dot must not be released; then the connection is gone."""
        letter = task.letter
        try:
            parcel = MailObject(letter.envelope_from, letter.envelope_to, letter.data(connection.eight_bit))
        except Exception as error:
            self.desk.spoiled(task.customer_id, error)
            connection.drop()
            return None
        verdict = await connection.send_body(parcel)
        if verdict is not None:
            return verdict
        links = [(link.id, link.url) for link in letter.links]
        if not await self.rounds.intend(task.customer_id, task.revision, links):
            connection.drop()
            return None
        return await connection.send_dot()

    def _settle(self, task: Prepared, verdict: Outcome) -> None:
        if verdict.ours:
            self._fault(verdict.reply)
        elif verdict.outcome is Status.accepted:
            self.faults = 0
        self.rounds.settle(_settled(task, verdict, self.run, datetime.now(UTC)))

    def _give_up(self, task: Prepared, error: Unavailable) -> None:
        """The server takes no further connection: nothing was tried, so the row goes back; without any line, stop."""
        log.error("%s", error)
        if not self.lines:
            self.desk.halt()
        self.rounds.settle(Settled(task.customer_id, DeliveryState.pending))

    def _fault(self, reply: str) -> None:
        """The server finds fault with us, not with the recipient: after a few such replies, stop for this batch."""
        self.faults += 1
        if self.faults >= MOST_FAULTS:
            log.error("the server objects to the sender, stopping for now: %s", logs.masked(reply))
            self.desk.halt()


def _settled(task: Prepared, verdict: Outcome, run: RunRecord, now: datetime) -> Settled:
    who, reply = task.customer_id, verdict.reply
    if verdict.outcome is Status.accepted:
        return Settled(who, DeliveryState.sent, reply)
    again = outcome.next_attempt(task.attempts, run.launched_at, now)
    if verdict.outcome is Status.in_doubt and (again is None or not run.at_least_once):
        return Settled(who, DeliveryState.unconfirmed, reply)
    if verdict.outcome is Status.refused or again is None:
        return Settled(who, DeliveryState.refused, reply, no_mailbox=task.address if verdict.gone else None)
    return Settled(who, DeliveryState.deferred, reply, next_attempt_at=again)


def send_batch(post: SendSettings, run_id: int, most: int, stop: threading.Event) -> bool:
    """Send up to `most` due deliveries of a run; return whether more is due now. Doing it twice at once is harmless."""
    with post.store.write() as connection:
        ledger.recover(connection, datetime.now(UTC))
    with post.store.read() as connection:
        run = runs.get(connection, run_id)
        if run is None or run.state is not RunState.running or stop.is_set():
            return False
        body = snapshots.body(connection, run.definition)
    mailing, gates = _mailing(run.definition, body), Gates.thaw(body["mailing"]["gates"])
    clear = asyncio.run(deliver(post, run, mailing, gates, body["mailing"]["rate"], most, stop))
    with post.store.write() as connection:
        now = datetime.now(UTC)
        ledger.finish(connection, now)
        return clear and not stop.is_set() and ledger_queries.is_due(connection, run_id, now)


_mailings: dict[str, Mailing] = {}


def _mailing(digest: str, body: Mapping[str, Any]) -> Mailing:
    """Compile a frozen mailing once in this process; a digest never means anything else."""
    if digest not in _mailings:
        _mailings[digest] = Mailing.thaw(body["mailing"], rehearsed=False)
    return _mailings[digest]


def runs_with_due_mail(store: Store, now: datetime, shared: bool = False) -> list[int]:
    """Recover lapsed leases, finish what is done, and return the runs that owe mail.

    Without `shared` only those that nobody works on.
    """
    with store.read() as connection:
        unsettled = ledger_queries.is_unsettled(connection, now)
    if unsettled:  # SQLite has one writer at a time: an idle process must not wait for an import or a plan to end
        with store.write() as connection:
            ledger.recover(connection, now)
            ledger.finish(connection, now)
    with store.read() as connection:
        return [run_id for run_id, workers in ledger_queries.owed(connection, now) if shared or not workers]
