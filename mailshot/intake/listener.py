"""Receives mail that comes back on a port, by LMTP (RFC 2033) or SMTP.

250 is sent after the message is committed. A recipient without a token of ours is refused, so the port takes no other
mail. One recipient per message: a sender repeats the rest in another transaction (452), as RFC 5321 tells it to.

Only CR LF . CR LF ends a message: a bare line feed is part of a line, so no second message can be smuggled in. Whatever
goes wrong here is answered with 451, so that the sender keeps the message and tries again.
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
#: Servers quote lines of HTML that are longer than the 998 octets of RFC 5321.
MAX_LINE_BYTES = 64 * 1024
#: Connections at a time, and seconds for one command or message. More connections are asked to come back later.
MAX_CONNECTIONS, TIMEOUT_SECONDS = 200, 120
Take = Callable[[RawMail], bool]


class _Handler:
    """Stores every message to an address of ours."""

    def __init__(self, take: Take, keys: KeyRing) -> None:
        self._take, self._keys = take, keys

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not address.isprintable() or self._keys.verify_local_part(address.rpartition("@")[0]) is None:
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

    async def handle_exception(self, error: Exception) -> str:
        """The error's text may quote the message, so it is neither logged nor sent."""
        log.error("an incoming message could not be received (%s)", type(error).__name__)
        return "451 4.3.0 Cannot be received now"


class _Connection(SMTP):
    """A connection, which is one of those `open_connections` of its port."""

    line_length_limit = MAX_LINE_BYTES
    open_connections: set[SMTP]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.open_connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.open_connections.discard(self)
        super().connection_lost(error)


class _LmtpConnection(_Connection, LMTP):
    """The same by LMTP."""


class _Refusal(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"421 4.7.0 Too many connections, try again later\r\n")
        transport.close()


class _Controller(Controller):
    """Serves LMTP or SMTP in a thread of its own."""

    def __init__(self, handler: _Handler, mailbox: MailboxAddress) -> None:
        self._protocol = _LmtpConnection if mailbox.kind is MailboxKind.lmtp else _Connection
        self._open_connections: set[SMTP] = set()
        super().__init__(handler, hostname=mailbox.host, port=mailbox.port)

    def factory(self) -> SMTP | _Refusal:
        if len(self._open_connections) >= MAX_CONNECTIONS:
            return _Refusal()
        connection = self._protocol(
            self.handler,
            data_size_limit=MAX_BYTES,
            enable_SMTPUTF8=True,
            ident="Mailshot",
            hostname="mailshot.localhost",
            timeout=TIMEOUT_SECONDS,
        )
        connection.open_connections = self._open_connections
        return connection


class Listener:
    """The port, between start() and stop()."""

    def __init__(self, mailbox: MailboxAddress, take: Take, keys: KeyRing) -> None:
        # aiosmtpd logs recipients at INFO, whole mails at DEBUG, and commands that it does not know at WARNING.
        logging.getLogger("mail.log").setLevel(logging.ERROR)
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
