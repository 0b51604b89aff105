"""Turns claimed rows into mails ready to send, loading facts and offers for many rows at once."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from mailshot.deliver import outcome
from mailshot.deliver.frozen_run import FrozenRun
from mailshot.deliver.ledger_writer import LedgerWriter
from mailshot.deliver.relays import Relays
from mailshot.deliver.send_settings import SendSettings
from mailshot.deliver.smtp import MailObject
from mailshot.errors import MailshotError
from mailshot.render import compose
from mailshot.render.compose import OutgoingMail, ProfileValues
from mailshot.render.dkim_keys import DkimKeys
from mailshot.render.template import RenderError
from mailshot.states import DeliveryState, Reason, Suspicion
from mailshot.store import consent, profiles
from mailshot.store.engine import Connection
from mailshot.store.worker_ledger import Claimed, Settled

log = logging.getLogger(__name__)
#: Rows claimed at once. A batch that stops gives those back that it has not sent.
CLAIM_ROWS = 500
#: Mails that wait for a connection, rendered.
READY_MAILS = 64
#: The suspicion of a row while its mail is rendered, by its suspicion before. A row with any other is not rendered.
SUSPICION_WHILE_WRITING: dict[int, Suspicion] = {
    Suspicion.held: Suspicion.rendering,
    Suspicion.suspected_again: Suspicion.writing_again,
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A claimed row with its rendered mail."""

    customer_id: int
    #: The customer's address as it is stored.
    address: str
    #: How often the mail was tried, this time included.
    attempts: int
    #: The revision of the row that the mail was rendered for.
    revision: int
    letter: OutgoingMail
    #: The only relay that may send it, because it may have sent it before; None for any.
    relay: str | None = None
    _messages: dict[bool, MailObject] = field(default_factory=dict)

    @property
    def links(self) -> list[tuple[int, str]]:
        """The number and address of each tracked link."""
        return [(link.id, link.url) for link in self.letter.links]

    def message(self, eight_bit: bool, keys: DkimKeys) -> MailObject:
        """Return its bytes, signed, for a server that takes 8-bit bodies or not. Raises RenderError."""
        if eight_bit not in self._messages:
            letter = self.letter
            content = letter.data(eight_bit, keys)
            self._messages[eight_bit] = MailObject(letter.envelope_from, letter.envelope_to, content)
        return self._messages[eight_bit]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A claimed row with what its mail is made of."""

    row: Claimed
    facts: dict[str, Any]
    tracked: bool
    profile: ProfileValues


class Composer:
    """Claims up to `most` rows and renders their mails ahead of the connections, within a bound."""

    def __init__(
        self,
        settings: SendSettings,
        run: FrozenRun,
        writer: LedgerWriter,
        relays: Relays,
        most: int,
        stop: threading.Event,
    ) -> None:
        self._relays = relays
        self._settings, self._run, self._writer = settings, run, writer
        self._left = most
        self._products: dict[int, dict[str, Any]] = {}
        self._loaded: deque[_Loaded] = deque()
        self._claiming: asyncio.Task[None] | None = None
        self._rendering: asyncio.Task[None] | None = None
        #: Rendered mails; None comes last.
        self._ready: asyncio.Queue[Prepared | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(READY_MAILS)
        self._stop = stop
        self._halted = False

    def start(self) -> None:
        """Begin to claim and render."""
        self._rendering = asyncio.create_task(self._render_ahead())

    async def close(self) -> None:
        """End. Rows that are claimed and not sent stay claimed by the writer, which gives them back."""
        for task in (self._rendering, self._claiming):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    @property
    def ready(self) -> int:
        """How many mails are rendered and wait for a connection."""
        ended = self._rendering is not None and self._rendering.done()  # then the last one is None
        return max(self._ready.qsize() - ended, 0)

    @property
    def stopped(self) -> bool:
        return self._halted or self._writer.broken or self._stop.is_set()

    @property
    def exhausted(self) -> bool:
        """Whether every mail of the batch is with a connection."""
        return self._rendering is not None and self._rendering.done() and self._ready.qsize() <= 1

    def halt(self) -> None:
        """Prepare no further mail in this batch."""
        self._halted = True

    def skip_unrenderable(self, customer_id: int, error: Exception) -> None:
        """Skip a row whose mail cannot be rendered. No error may stop the other mails."""
        known = isinstance(error, RenderError)
        if not known:
            log.error("run %s, customer %s: no mail", self._run.id, customer_id, exc_info=error)
        reply = outcome.clean_reply(str(error) if known else f"{type(error).__name__}: {error}")
        reason = str(Reason.render_failed)
        self._writer.settle(Settled(customer_id, DeliveryState.skipped, reply=reply, reason=reason))

    async def next_mail(self) -> Prepared | None:
        """Wait for the next mail; None when nothing is due or the batch is stopped."""
        mail = None if self.stopped else self._received(await self._ready.get())
        return None if self.stopped else mail

    def next_ready(self) -> Prepared | None:
        """Return the next mail if it is rendered already, else None."""
        if self.stopped or self._ready.empty():
            return None
        return self._received(self._ready.get_nowait())

    def _received(self, mail: Prepared | None) -> Prepared | None:
        if mail is None:
            self._ready.put_nowait(None)  # for the next connection that asks
        else:
            self._room.release()
        return mail

    async def _render_ahead(self) -> None:
        try:
            while not self.stopped and (loaded := await self._next_loaded()):
                mail = await self._render_watched(loaded)
                if mail:
                    await self._room.acquire()
                    self._ready.put_nowait(mail)
                await asyncio.sleep(0)  # between two mails the connections have their turn
        except Exception as error:
            log.error("run %s: no further mails are rendered", self._run.id, exc_info=error)
            self.halt()
        finally:
            self._ready.put_nowait(None)

    async def _next_loaded(self) -> _Loaded | None:
        """Return the next claimed row, and claim more in the background before they run out."""
        if self._claiming and self._claiming.done():
            self._claiming.result()  # raises what the claim raised
            self._claiming = None
        if self._claiming is None and self._left > 0 and len(self._loaded) < CLAIM_ROWS / 2:
            self._claiming = asyncio.create_task(self._claim())
        while not self._loaded and self._claiming:
            await self._claiming
            self._claiming = None
        return self._loaded.popleft() if self._loaded else None

    async def _claim(self) -> None:
        rows = await self._writer.claim(min(CLAIM_ROWS, self._left), self._relays.usable_names)
        # Fewer than asked for: nothing more is due.
        self._left = self._left - len(rows) if rows else 0
        if not rows:
            return
        try:
            loaded = await asyncio.to_thread(self._load, rows)
        except MailshotError as error:
            log.error("cannot read the customers of a batch: %s", error)
            self.halt()
            return
        allowed = {item.row.customer_id for item in loaded}
        for row in rows:
            if row.customer_id not in allowed:
                reason = str(Reason.guard)
                self._writer.settle(Settled(row.customer_id, DeliveryState.skipped, reason=reason))
        self._loaded.extend(loaded)

    def _load(self, rows: list[Claimed]) -> list[_Loaded]:
        """Return the rows that may still be mailed with the facts of their customers."""
        missing = {product for row in rows for product, _ in row.offers} - self._products.keys()
        with self._settings.store.read() as connection:
            allowed = self._reconsider(connection, rows)
            if missing:
                self._products |= profiles.products(connection, missing)
            customers = [row.customer_id for row in allowed]
            facts = profiles.facts_of(connection, customers)
            tracked = consent.may_track(connection, customers)
            values = self._settings.load_profiles(connection, self._run.row, self._run.mailing.used_names, customers)
        return [
            _Loaded(row, facts.get(customer, {}), customer in tracked, values.get(customer, {}))
            for row, customer in zip(allowed, customers, strict=True)
        ]

    def _reconsider(self, connection: Connection, rows: list[Claimed]) -> list[Claimed]:
        """Check rows whose customers changed since the launch against the guards again; drop offers and rows."""
        revised = [row for row in rows if row.revision]
        offers = self._settings.reconsider(connection, self._run.row, revised) if revised else {}
        remaining = ((row, offers.get(row.customer_id, row.offers)) for row in rows)
        return [replace(row, offers=left) for row, left in remaining if left is not None]

    async def _render_watched(self, loaded: _Loaded) -> Prepared | None:
        """Render one mail. One that may have crashed a worker is marked first, so it can crash at most two more."""
        row = loaded.row
        if row.suspicion == Suspicion.none:
            return self._render(loaded)
        suspicion = SUSPICION_WHILE_WRITING.get(row.suspicion)
        if suspicion is None:
            self.skip_unrenderable(row.customer_id, RenderError("a worker ended each time this mail was written"))
            return None
        if not await self._writer.set_suspicion(row.customer_id, suspicion):
            return None
        mail = self._render(loaded)
        if mail:
            with suppress(Exception):  # it fails again, and is skipped, when it is sent
                mail.letter.unsigned_data(eight_bit=True)
            await self._writer.set_suspicion(row.customer_id, Suspicion.none)
        return mail

    def _render(self, loaded: _Loaded) -> Prepared | None:
        row, facts = loaded.row, loaded.facts
        offers = [(self._products[product], times) for product, times in row.offers if product in self._products]
        launched_at = self._run.row.launched_at
        try:
            if not facts.get("email"):
                raise RenderError("the customer has no address any more")
            recipient = compose.Recipient(
                self._run.id, row.customer_id, row.content, facts["email"], facts, offers, loaded.tracked, launched_at,
                loaded.profile,
            )  # fmt: skip
            settings = self._settings
            letter = compose.compose(
                self._run.mailing, recipient, settings.keys, settings.base_url, settings.reads_mail, settings.id_headers
            )
        except Exception as error:
            self.skip_unrenderable(row.customer_id, error)
            return None
        return Prepared(row.customer_id, facts["email"], row.attempts, row.revision, letter, row.relay)
