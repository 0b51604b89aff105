"""Receives mail that comes back on a port, by LMTP (RFC 2033) or SMTP.

250 is sent after the message is committed. A recipient without a token of ours is refused, so the port takes no other
mail. One recipient per message: a sender repeats the rest in another transaction (452), as RFC 5321 tells it to.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from aiosmtpd.controller import Controller
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from mailshot.errors import MailshotError, Unavailable
from mailshot.intake.mailbox_address import MailboxAddress, MailboxKind
from mailshot.states import IncomingSource
from mailshot.store.incoming_mail import RawMail
from mailshot.tokens import KeyRing

log = logging.getLogger(__name__)
#: Bounces quote a mail; larger ones are cut by the servers that write them.
MAX_BYTES = 5 * 1024 * 1024
Take = Callable[[RawMail], bool]


class _Handler:
    """Stores every message to an address of ours."""

    def __init__(self, take: Take, keys: KeyRing) -> None:
        self._take, self._keys = take, keys

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._keys.verify_local_part(address.rpartition("@")[0]) is None:
            return "550 5.1.1 No such mailbox here"
        if envelope.rcpt_tos:
            return "452 4.5.3 One recipient at a time"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        raw = envelope.original_content or b""
        mail = RawMail(raw, IncomingSource.smtp, envelope.rcpt_tos[0], datetime.now(UTC))
        try:
            await asyncio.to_thread(self._take, mail)
        except MailshotError as error:
            log.error("an incoming message could not be stored: %s", error)
            return "451 4.3.0 Cannot be stored now"
        return "250 2.0.0 Stored"


class _Controller(Controller):
    """Serves LMTP or SMTP in a thread of its own."""

    def __init__(self, handler: _Handler, mailbox: MailboxAddress) -> None:
        self._protocol = LMTP if mailbox.kind is MailboxKind.lmtp else SMTP
        super().__init__(handler, hostname=mailbox.host, port=mailbox.port)

    def factory(self) -> SMTP:
        return self._protocol(
            self.handler,
            data_size_limit=MAX_BYTES,
            enable_SMTPUTF8=True,
            ident="Mailshot",
            hostname="mailshot.localhost",
        )


class Listener:
    """The port, between start() and stop()."""

    def __init__(self, mailbox: MailboxAddress, take: Take, keys: KeyRing) -> None:
        # aiosmtpd logs recipients at INFO and whole mails at DEBUG.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        self._mailbox = mailbox
        self._controller = _Controller(_Handler(take, keys), mailbox)

    def start(self) -> None:
        """Begin to receive. Raises Unavailable when the port cannot be used."""
        try:
            self._controller.start()
        except OSError as error:
            raise Unavailable(
                f"Cannot receive mail on {self._mailbox}: {error.strerror}.",
                "Free the port, or change MAILSHOT_MAILBOX.",
            ) from error

    def stop(self) -> None:
        """Close the port."""
        self._controller.stop()
