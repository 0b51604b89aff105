"""Owns the group commit of the ledger: one transaction a round for all connections; refuses single commits.

A round carries every outcome and every intent that waits at its beginning. Intents are answered after the commit, and
an outcome is never committed later than the next intent of its connection. So after a crash at most one delivery per
connection is in doubt, and a mail costs a share of a commit instead of two.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mailshot.errors import MailshotError
from mailshot.states import DeliveryState, Suspicion
from mailshot.store import feedback, ledger, suppression
from mailshot.store.eligibility import Gates, SendGates
from mailshot.store.engine import Store
from mailshot.store.ledger import Claimed, Settled
from mailshot.store.runs import RunRecord

log = logging.getLogger(__name__)
PATIENCE = 60.0


@dataclass(slots=True)
class Intent:
    """One delivery that waits to be allowed its dot, with the links its mail holds."""

    customer_id: int
    revision: int
    links: Sequence[tuple[int, str]]
    answer: asyncio.Future[bool]


class LedgerWriter:
    """The ledger of one run for one worker. `broken` is set once the ledger could not be written."""

    def __init__(self, store: Store, run: RunRecord, gates: Gates, token: int, lease: timedelta) -> None:
        self._store = store
        self._run_id = run.id
        self._as_of, self._launched_at = run.as_of, run.launched_at
        self._gates = gates
        self._token = token
        self._lease = lease
        self._intents: list[Intent] = []
        self._outcomes: list[Settled] = []
        self._known_links: set[int] = set()
        self._held: set[int] = set()
        self._wake = asyncio.Event()
        self._closing = False
        self._renewed = datetime.now(UTC)
        self.broken = False
        self._task = asyncio.create_task(self._turn())

    async def claim(self, most: int) -> list[Claimed]:
        """Take due rows, or none when the ledger does not answer.

        A row that lapsed and came back to us while a connection still holds it is given out once: both would carry our
        token, so the ledger could not tell them apart.
        """

        def take() -> list[Claimed]:
            now = datetime.now(UTC)
            with self._store.write() as connection:
                return ledger.claim(connection, self._run_id, self._token, now, now + self._lease, most)

        if self.broken:
            return []
        try:
            rows = [row for row in await asyncio.to_thread(take) if row.customer_id not in self._held]
            self._held.update(row.customer_id for row in rows)
            return rows
        except MailshotError as error:
            log.error("cannot claim: %s", error)
            self.broken = True
            return []

    async def suspect(self, customer_id: int, suspicion: Suspicion) -> bool:
        """Commit what is thought of a suspected row; False when the ledger does not answer or the row is not ours."""

        def note() -> bool:
            with self._store.write() as connection:
                return ledger.set_suspicion(connection, self._run_id, self._token, customer_id, suspicion)

        try:
            return not self.broken and await asyncio.to_thread(note)
        except MailshotError as error:
            log.error("the ledger cannot be written: %s", error)
            self.broken = True
            return False

    async def intend(self, customer_id: int, revision: int, links: Sequence[tuple[int, str]]) -> bool:
        """Say whether the dot of a letter may be released; the intent is committed when this returns True."""
        if self.broken:
            return False
        intent = Intent(customer_id, revision, links, asyncio.get_running_loop().create_future())
        self._intents.append(intent)
        self._wake.set()
        return await intent.answer

    def settle(self, outcome: Settled) -> None:
        """Hand in what became of a row; it is committed with the next round."""
        self._held.discard(outcome.customer_id)
        self._outcomes.append(outcome)
        self._wake.set()

    async def close(self) -> None:
        """Commit what is left and give back the rows that were never offered."""
        self._closing = True
        self._wake.set()
        try:
            await self._task
        finally:
            with suppress(MailshotError):
                await asyncio.to_thread(self._give_back)

    async def _turn(self) -> None:
        try:
            while not (self._closing and not self._intents and not self._outcomes):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._lease.total_seconds() / 3)
                self._wake.clear()
                await self._round()
        finally:
            # Whatever ended the rounds, nobody may wait for an answer that never comes.
            self.broken = True
            self._refuse(self._intents)

    async def _round(self) -> None:
        intents, self._intents = self._intents, []
        outcomes, self._outcomes = self._outcomes, []
        try:
            allowed = await asyncio.to_thread(self._commit, intents, outcomes)
        except MailshotError as error:
            await self._failed(intents, outcomes, error)
            return
        except BaseException:
            self._refuse(intents)
            raise
        for intent in intents:
            self._known_links.update(number for number, _ in intent.links)
            if not intent.answer.done():
                intent.answer.set_result(intent.customer_id in allowed)
        self._held.difference_update(intent.customer_id for intent in intents if intent.customer_id not in allowed)

    def _commit(self, intents: list[Intent], outcomes: list[Settled]) -> set[int]:
        now = datetime.now(UTC)
        new_links = {
            number: url for intent in intents for number, url in intent.links if number not in self._known_links
        }
        wanted = {intent.customer_id: intent.revision for intent in intents}
        with self._store.write() as connection:
            ledger.settle(connection, self._run_id, self._token, outcomes, now)
            if refused := [(one.customer_id, one.no_mailbox) for one in outcomes if one.no_mailbox]:
                suppression.add_refused(connection, refused, f"run {self._run_id}", now)
            allowed: set[int] = set()
            if wanted:
                feedback.keep(connection, new_links)
                gates = SendGates(self._run_id, self._gates, self._as_of + (now - self._launched_at))
                allowed = ledger.commit_intent(connection, self._run_id, self._token, wanted, now, gates)
                declined = {who: revision for who, revision in wanted.items() if who not in allowed}
                if declined:
                    ledger.skip_disallowed(connection, self._run_id, self._token, declined, now, gates)
            if now - self._renewed > self._lease / 3:
                ledger.renew(connection, self._run_id, self._token, now + self._lease)
                self._renewed = now
        return allowed

    async def _failed(self, intents: list[Intent], outcomes: list[Settled], error: MailshotError) -> None:
        """No commit, no dot. Whether the database took the intents is unknown, so they are undone once it answers."""
        log.error("the ledger cannot be written: %s", error)
        self.broken = True
        self._refuse(intents)
        undone = [Settled(intent.customer_id, DeliveryState.pending) for intent in intents]
        self._outcomes = outcomes + undone + self._outcomes
        if self._closing and datetime.now(UTC) - self._renewed > timedelta(seconds=PATIENCE):
            # The leases lapse by themselves; what was in doubt is then shown as unconfirmed.
            self._outcomes = []
        await asyncio.sleep(1.0)
        self._wake.set()

    def _refuse(self, intents: list[Intent]) -> None:
        for intent in intents:
            if not intent.answer.done():
                intent.answer.set_result(False)

    def _give_back(self) -> None:
        with self._store.write() as connection:
            ledger.unclaim(connection, self._run_id, self._token)
