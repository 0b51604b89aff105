"""The ledger of one run for one worker: commits the intents and outcomes of all its connections together.

A round is one transaction with every outcome and intent that is waiting when it begins. An intent is answered after
the commit, and an outcome is never committed later than the next intent of its connection. So a crash leaves at most
one delivery per connection in doubt, and a mail costs a share of a commit instead of two.

`store.group_commit` groups the web's writes, but it cannot carry this one:

- It runs one write at a time. A round asks the database once for all mails, so it settles 160 to 1300 mails a second
  with 10 and 50 connections where one write per mail settles 25 to 70 (PostgreSQL and SQLite, two busy cores).
- It repeats a write that failed. If the first commit reached the disk and only its answer was lost, the repeated intent
  would find the row already `dotting` and be denied: the delivery would end as unconfirmed although no dot was sent.
  A round that fails is never repeated; its intents are taken back (`_failed`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from mailshot import failpoints, metrics
from mailshot.errors import MailshotError
from mailshot.states import DeliveryState, Suspicion
from mailshot.store import feedback, suppression, worker_ledger
from mailshot.store.eligibility import Gates
from mailshot.store.engine import Connection, Store
from mailshot.store.runs import RunRecord
from mailshot.store.worker_ledger import Claimed, DotRequest, Settled

T = TypeVar("T")
log = logging.getLogger(__name__)
#: How long a closing worker tries to write its last outcomes. Its leases then end, and other workers recover the rows.
GIVE_UP_SECONDS = 60.0
RETRY_SECONDS = 1.0


@dataclass(slots=True)
class Intent:
    """A mail whose body is out and which waits for permission to send its dot."""

    customer_id: int
    #: The revision of the row that the mail was rendered for.
    revision: int
    #: Number and address of each link in the mail: they must be on disk before anyone can click them.
    links: Sequence[tuple[int, str]]
    #: Becomes True once the intent is committed, False when the dot must not be sent.
    allowed: asyncio.Future[bool]
    #: The relay that has the body, None for MAILSHOT_SMTP.
    relay: str | None = None
    #: The only relay that may send the row (see `Claimed`).
    bound_to: str | None = None


class LedgerWriter:
    """Reads and writes the deliveries of one run under one token. `broken`: the ledger could not be written."""

    def __init__(self, store: Store, run: RunRecord, gates: Gates, token: int, lease: timedelta) -> None:
        self._store = store
        self._run_id = run.id
        self._as_of, self._launched_at = run.as_of, run.launched_at
        self._gates = gates
        self._token = token
        self._lease = lease
        self._intents: deque[Intent] = deque()
        self._outcomes: deque[Settled] = deque()
        self._known_links: set[int] = set()
        #: Customers whose row a connection has in its hands.
        self._held: set[int] = set()
        self._wake = asyncio.Event()
        self._closing = False
        self._renewed_at = time.monotonic()
        # Not the loop's own threads: look-ups of host names can occupy all of these.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="ledger")
        self.broken = False
        self._task = asyncio.create_task(self._run())

    @property
    def held(self) -> int:
        """How many rows this worker has claimed and not settled."""
        return len(self._held)

    async def claim(self, most: int, relays: Collection[str] | None = None) -> list[Claimed]:
        """Claim up to `most` due rows, that these relays may send; none when the ledger does not answer.

        A row whose lease lapsed and that came back while a connection still holds it is left out: both copies would
        carry the same token, so the ledger could not tell them apart.
        """

        def take(connection: Connection) -> list[Claimed]:
            now = self._store.now()
            rows = worker_ledger.claim(connection, self._run_id, self._token, now, now + self._lease, most, relays)
            failpoints.reach("before-claim-commit")
            return rows

        claimed = [row for row in await self._write(take) or [] if row.customer_id not in self._held]
        failpoints.reach("after-claim-commit")
        self._held.update(row.customer_id for row in claimed)
        return claimed

    async def set_suspicion(self, customer_id: int, suspicion: Suspicion) -> bool:
        """Commit the suspicion of a row; False when the ledger does not answer or the row has another worker now."""

        def mark(connection: Connection) -> bool:
            return worker_ledger.set_suspicion(connection, self._run_id, self._token, customer_id, suspicion)

        return bool(await self._write(mark))

    async def commit_intent(
        self,
        customer_id: int,
        revision: int,
        links: Sequence[tuple[int, str]],
        relay: str | None = None,
        bound_to: str | None = None,
    ) -> bool:
        """Return whether the dot of a mail may be sent. If so, the intent is committed. For the fields see `Intent`."""
        if self.broken:
            return False
        allowed = asyncio.get_running_loop().create_future()
        intent = Intent(customer_id, revision, links, allowed, relay, bound_to)
        self._intents.append(intent)
        self._wake.set()
        return await intent.allowed

    def settle(self, outcome: Settled) -> None:
        """Report the outcome of a row; the next round commits it."""
        self._held.discard(outcome.customer_id)
        self._outcomes.append(outcome)
        self._wake.set()

    async def close(self) -> None:
        """Commit what is left, and give back the rows that were claimed and not sent."""
        self._closing = True
        self._wake.set()
        try:
            await self._task
        finally:
            # A write whose caller was cancelled goes on in its thread; what it claims is given back, too.
            await asyncio.to_thread(self._threads.shutdown)
            with suppress(MailshotError):
                await asyncio.to_thread(self._unclaim)

    async def _write(self, write: Callable[[Connection], T]) -> T | None:
        """Run a write in a transaction of its own; None, and `broken`, when the ledger does not answer."""

        def commit() -> T:
            with self._store.write() as connection:
                return write(connection)

        if self.broken:
            return None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, commit)
        except MailshotError as error:
            self._break(error)
            return None

    async def _run(self) -> None:
        """Commit round after round: when there is something to write, and often enough to renew the lease."""
        try:
            while not (self._closing and not self._intents and not self._outcomes):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._lease.total_seconds() / 3)
                self._wake.clear()
                if self._intents or self._outcomes or self._is_renewal_due():
                    await self._round()
        finally:
            # Whatever the error, no connection may wait for a result that never comes.
            self.broken = True
            _deny(self._intents)

    async def _round(self) -> None:
        intents: list[Intent] = []
        outcomes: list[Settled] = []
        try:
            loop = asyncio.get_running_loop()
            allowed = await loop.run_in_executor(self._threads, self._commit, intents, outcomes)
        except MailshotError as error:
            self._take(intents, outcomes)
            await self._failed(intents, outcomes, error)
            return
        except BaseException:
            _deny(intents)
            raise
        for intent in intents:
            self._known_links.update(number for number, _ in intent.links)
            if not intent.allowed.done():
                intent.allowed.set_result(intent.customer_id in allowed)
        self._held.difference_update(intent.customer_id for intent in intents if intent.customer_id not in allowed)

    def _commit(self, intents: list[Intent], outcomes: list[Settled]) -> set[int]:
        """Write one round, of what waits when its turn comes; return the customers whose dot may be sent."""
        began = time.perf_counter()
        if self._is_renewal_due():
            self._store.set_clock()
        with self._store.write() as connection:
            self._take(intents, outcomes)
            now = self._store.now()
            self._commit_outcomes(connection, outcomes, now)
            allowed = self._commit_intents(connection, intents, now) if intents else set()
            if self._is_renewal_due():
                worker_ledger.renew(connection, self._run_id, self._token, now + self._lease)
                self._renewed_at = time.monotonic()
            written = time.perf_counter()
            _reach("before", intents, outcomes)
        ended = time.perf_counter()
        _reach("after", intents, outcomes)
        metrics.ROUND_SECONDS.observe(ended - began)
        metrics.COMMIT_SECONDS.observe(ended - written)
        metrics.ROUND_MAILS.observe(max(len(intents), len(outcomes)))
        return allowed

    def _take(self, intents: list[Intent], outcomes: list[Settled]) -> None:
        """Move what waits into the lists; a deque may be used by two threads.

        Intents come first: a connection reports the outcome of a mail before the intent of its next one.
        """
        while self._intents:
            intents.append(self._intents.popleft())
        while self._outcomes:
            outcomes.append(self._outcomes.popleft())

    def _is_renewal_due(self) -> bool:
        return time.monotonic() - self._renewed_at > self._lease.total_seconds() / 3

    def _commit_outcomes(self, connection: Connection, outcomes: list[Settled], now: datetime) -> None:
        worker_ledger.record_outcomes(connection, self._run_id, self._token, outcomes, now)
        refused = [(outcome.customer_id, outcome.no_mailbox) for outcome in outcomes if outcome.no_mailbox]
        if refused:
            suppression.add_refused(connection, refused, f"run {self._run_id}", now)

    def _commit_intents(self, connection: Connection, intents: list[Intent], now: datetime) -> set[int]:
        links = {number: url for intent in intents for number, url in intent.links if number not in self._known_links}
        feedback.store_links(connection, links)
        revisions = {intent.customer_id: intent.revision for intent in intents}
        as_of = self._as_of + (now - self._launched_at)
        relays = {intent.customer_id: intent.relay for intent in intents if intent.relay}
        request = DotRequest(self._run_id, self._token, revisions, self._gates, now, as_of, relays)
        allowed = worker_ledger.commit_intent(connection, request)
        denied = {customer_id: number for customer_id, number in revisions.items() if customer_id not in allowed}
        if denied:
            worker_ledger.skip_disallowed(connection, replace(request, written=denied))
        return allowed

    async def _failed(self, intents: list[Intent], outcomes: list[Settled], error: MailshotError) -> None:
        """Deny the intents of a round that failed. They may be on disk all the same, so a later round undoes them."""
        self._break(error)
        _deny(intents)
        undone = [Settled(intent.customer_id, DeliveryState.pending, relay=intent.bound_to) for intent in intents]
        self._outcomes.extendleft(reversed([*outcomes, *undone]))
        if self._closing and time.monotonic() - self._renewed_at > GIVE_UP_SECONDS:
            # The leases end by themselves; deliveries in doubt are shown as unconfirmed then.
            self._outcomes.clear()
        await asyncio.sleep(RETRY_SECONDS)
        self._wake.set()

    def _break(self, error: MailshotError) -> None:
        log.error("the ledger cannot be written: %s", error)
        metrics.LEDGER_FAILURES.add()
        self.broken = True

    def _unclaim(self) -> None:
        with self._store.write() as connection:
            worker_ledger.unclaim(connection, self._run_id, self._token)


def _reach(when: str, intents: list[Intent], outcomes: list[Settled]) -> None:
    """Pass the failpoints of a commit, by what it has."""
    if intents:
        failpoints.reach(f"{when}-intent-commit")
    if outcomes:
        failpoints.reach(f"{when}-outcome-commit")


def _deny(intents: Iterable[Intent]) -> None:
    for intent in intents:
        if not intent.allowed.done():
            intent.allowed.set_result(False)
