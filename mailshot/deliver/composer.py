"""Owns turning claimed rows into letters: facts and offers of many rows at once; refuses to send."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from mailshot.deliver import outcome
from mailshot.deliver.ledger_writer import LedgerWriter
from mailshot.errors import MailshotError
from mailshot.render import compose
from mailshot.render.compose import Mailing, OutgoingMail
from mailshot.render.template import RenderError
from mailshot.states import DeliveryState, Reason, Suspicion
from mailshot.store import consent, profiles
from mailshot.store.engine import Connection, Store
from mailshot.store.ledger import Claimed, Settled
from mailshot.store.runs import RunRecord
from mailshot.tokens import KeyRing

log = logging.getLogger(__name__)
AHEAD = 100
#: How a row is marked while its mail is written, by what was thought of it before. Others are not written again.
MARKS: dict[int, Suspicion] = {
    Suspicion.held: Suspicion.writing,
    Suspicion.held_again: Suspicion.writing_again,
}
#: Checks rows against the guards again, whose customers changed answers or address since the launch: takes the run
#: and the rows, and gives the offers left by customer, None for a customer who must not be mailed.
Reconsider = Callable[[Connection, RunRecord, Sequence[Claimed]], Mapping[int, list[list[int]] | None]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """One claimed row with its letter, the address as it is kept, and how often it was tried, this time included."""

    customer_id: int
    address: str
    attempts: int
    revision: int
    letter: OutgoingMail


class Composer:
    """Claims a little ahead and writes letters as connections ask for them, so that few rows are held at a time."""

    def __init__(
        self,
        store: Store,
        rounds: LedgerWriter,
        mailing: Mailing,
        run: RunRecord,
        keys: KeyRing,
        base_url: str,
        reconsider: Reconsider,
        most: int,
        stop: threading.Event,
    ) -> None:
        self._store, self._rounds, self._mailing, self._run = store, rounds, mailing, run
        self._keys, self._base_url, self._reconsider = keys, base_url, reconsider
        self._left = most
        self._products: dict[int, dict[str, Any]] = {}
        self._waiting: list[tuple[Claimed, dict[str, Any], bool]] = []
        self._lock, self._writing = asyncio.Lock(), asyncio.Lock()
        self._stop = stop
        self._halted = False

    @property
    def stopped(self) -> bool:
        return self._halted or self._rounds.broken or self._stop.is_set()

    def halt(self) -> None:
        """Give out no further letter in this batch."""
        self._halted = True

    def spoiled(self, customer_id: int, error: Exception) -> None:
        """Leave out a row whose letter cannot be made: whatever the fault is, it must not stop the others."""
        known = isinstance(error, RenderError)
        if not known:
            log.error("run %s, customer %s: no letter", self._run.id, customer_id, exc_info=error)
        reply = outcome.said(str(error) if known else f"{type(error).__name__}: {error}")
        reason = str(Reason.render_failed)
        self._rounds.settle(Settled(customer_id, DeliveryState.skipped, reply=reply, reason=reason))

    async def prepared_mails(self) -> AsyncIterator[Prepared]:
        """Give the next letter to whichever connection asks, until nothing is due or we are told to stop."""
        while not self.stopped:
            async with self._lock:
                if not self._waiting and not self.stopped:
                    self._waiting = await self._claim()
                if not self._waiting:
                    return
                claimed, facts, tracked = self._waiting.pop()
            async with self._writing:
                task = await self._written(claimed, facts, tracked)
            if task:
                yield task

    async def _written(self, row: Claimed, facts: dict[str, Any], tracked: bool) -> Prepared | None:
        """Write one letter. One that may have ended a worker is marked before, so that it can end two more at most."""
        if row.suspicion == Suspicion.none:
            return self._write(row, facts, tracked)
        mark = MARKS.get(row.suspicion)
        if mark is None:
            self.spoiled(row.customer_id, RenderError("a worker ended each time this mail was written"))
            return None
        if not await self._rounds.suspect(row.customer_id, mark):
            return None
        task = self._write(row, facts, tracked)
        if task:
            with suppress(Exception):  # it fails again, and is left out, when it is sent
                task.letter.data(eight_bit=True)
            await self._rounds.suspect(row.customer_id, Suspicion.none)
        return task

    async def _claim(self) -> list[tuple[Claimed, dict[str, Any], bool]]:
        rows = await self._rounds.claim(min(AHEAD, self._left)) if self._left > 0 else []
        self._left -= len(rows)
        if not rows:
            return []
        try:
            allowed, facts, tracked = await asyncio.to_thread(self._load, rows)
        except MailshotError as error:
            log.error("the customers of a batch cannot be read: %s", error)
            self.halt()
            return []
        for row in rows:
            if row.customer_id not in allowed:
                self._rounds.settle(Settled(row.customer_id, DeliveryState.skipped, reason=str(Reason.guard)))
        return [(row, facts.get(who, {}), who in tracked) for who, row in reversed(allowed.items())]

    def _load(self, rows: list[Claimed]) -> tuple[dict[int, Claimed], dict[int, dict[str, Any]], set[int]]:
        """Return the rows that may still be mailed by customer, the facts of customers, and who is tracked."""
        wanted = {product for row in rows for product, _ in row.offers} - self._products.keys()
        with self._store.read() as connection:
            allowed = self._reconsidered(connection, rows)
            if wanted:
                self._products |= profiles.products(connection, wanted)
            customers = list(allowed)
            return allowed, profiles.facts_of(connection, customers), consent.tracked(connection, customers)

    def _reconsidered(self, connection: Connection, rows: list[Claimed]) -> dict[int, Claimed]:
        revised = [row for row in rows if row.revision]
        offers = self._reconsider(connection, self._run, revised) if revised else {}
        decided = {row.customer_id: offers.get(row.customer_id, row.offers) for row in rows}
        return {
            row.customer_id: replace(row, offers=left) for row in rows if (left := decided[row.customer_id]) is not None
        }

    def _write(self, row: Claimed, facts: dict[str, Any], tracked: bool) -> Prepared | None:
        offers = [(self._products[product], times) for product, times in row.offers if product in self._products]
        date = self._run.launched_at
        try:
            if not facts.get("email"):
                raise RenderError("the customer has no address any more")
            delivery = compose.Recipient(
                self._run.id, row.customer_id, row.content, facts["email"], facts, offers, tracked, date
            )
            written = compose.compose(self._mailing, delivery, self._keys, self._base_url)
        except Exception as error:
            self.spoiled(row.customer_id, error)
            return None
        return Prepared(row.customer_id, facts["email"], row.attempts, row.revision, written)
