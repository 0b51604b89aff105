"""One SMTP connection, whose transaction has two steps: everything but the final dot, then the dot.

aiosmtplib connects, greets, secures and authenticates. The transaction is our own, on its transport: only the caller
may send the dot, a broken connection means one thing before the dot and another after it, and commands travel together.
BDAT (RFC 3030) would save the dot-stuffing, but its last chunk commits the mail together with its content: the
server can never hold the whole mail and wait for permission to deliver it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from urllib.parse import unquote, urlsplit

import aiosmtplib

from mailshot import failpoints
from mailshot.deliver import pipelining
from mailshot.deliver.outcome import Outcome, Phase, classify_reply, connection_lost
from mailshot.deliver.pipelining import Grouping
from mailshot.deliver.smtp_replies import SmtpReplies
from mailshot.errors import Unavailable

LOOPBACK = ("127.0.0.1", "::1", "localhost")
#: How long to wait for the reply to QUIT.
QUIT_SECONDS = 2.0
TRANSPORT_ERRORS = (aiosmtplib.SMTPException, OSError, EOFError, asyncio.TimeoutError)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for each step, in seconds (RFC 5321 section 4.5.3.2)."""

    connect: float = 30.0
    command: float = 300.0
    data: float = 120.0
    block: float = 180.0
    dot: float = 600.0
    #: For the reply to a command that a server may have lost, because it came together with others.
    probe: float = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """The SMTP server that mails are sent through."""

    host: str
    port: int
    #: None: do not log in.
    username: str | None
    password: str | None = field(repr=False)
    #: TLS from the first byte (`smtps://`).
    tls: bool
    #: STARTTLS with a valid certificate is required.
    secure: bool
    timeouts: Timeouts = field(default_factory=Timeouts)
    #: The setting that its address comes from, for errors.
    setting: str = "MAILSHOT_SMTP"

    @classmethod
    def parse(cls, url: str, starttls: str, dot_timeout: float = 600.0, setting: str = "MAILSHOT_SMTP") -> Server:
        """Read `smtp://user:password@host:port`; `starttls` is auto, required or never.

        'auto' requires STARTTLS everywhere but on loopback. `dot_timeout`: seconds to wait for the reply to the dot.
        """
        parts = urlsplit(url)
        host = parts.hostname or "127.0.0.1"
        tls = parts.scheme == "smtps"
        secure = {"required": True, "never": False}.get(starttls, host not in LOOPBACK)
        return cls(
            host,
            parts.port or (465 if tls else 25),
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
            tls,
            secure and not tls,
            replace(Timeouts(), dot=dot_timeout),
            setting,
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class MailObject:
    """The envelope and the bytes of one mail."""

    envelope_from: str
    envelope_to: str
    #: Ends with CRLF and is not dot-stuffed yet.
    data: bytes


class Connection:
    """One connection. After `send_body` returned None, exactly one of `send_dot` and `drop` must follow.

    Where the server offers PIPELINING, MAIL, RCPT and DATA travel together, and with the dot of the mail before: a mail
    takes one round trip. At most one dot is unanswered at a time.
    """

    def __init__(self, server: Server, replies: SmtpReplies, extensions: Collection[str]) -> None:
        self._timeouts = server.timeouts
        self._replies = replies
        self.eight_bit = "8bitmime" in extensions
        offered = "pipelining" in extensions
        self._pipelining = pipelining.known(server.host, server.port) if offered else pipelining.NOT_OFFERED
        #: The mail whose envelope was sent with the last dot.
        self._begun: MailObject | None = None
        #: A transaction has ended on it. If it breaks before the next one, the server merely closed an idle connection.
        self._used = False

    @classmethod
    async def open(cls, server: Server) -> Connection:
        """Connect, greet, secure and log in. Raises Unavailable with the server's reply."""
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            timeout=server.timeouts.connect,
            use_tls=server.tls,
            start_tls=server.secure,
            username=server.username,
            password=server.password,
            tls_context=tls_context() if server.tls or server.secure else None,
            local_hostname=await asyncio.to_thread(local_hostname),
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await _greet(client)
            if not isinstance(client.transport, asyncio.Transport) or client.transport.is_closing():
                raise aiosmtplib.SMTPServerDisconnected("the connection is closed")
            return cls(server, SmtpReplies(client.transport), client.esmtp_extensions)
        except (*TRANSPORT_ERRORS, UnicodeError) as error:  # an invalid host name cannot be encoded
            client.close()
            raise Unavailable(
                f"Cannot connect to the SMTP server {server}: {error}", f"See {server.setting}."
            ) from error

    @property
    def alive(self) -> bool:
        """Whether the connection is open as far as we know."""
        return self._replies.alive

    async def send_body(self, mail: MailObject) -> Outcome | None:
        """Send envelope and body without the dot. None means the server is waiting for the dot."""
        grouping, self._begun = self._grouping_of(mail), None
        phase = Phase.mail
        try:
            if grouping is Grouping.together:
                self._replies.write(self._envelope(mail), 3)
            for phase, command, timeout in self._commands(mail):
                if grouping is Grouping.alone:
                    self._replies.write(command, 1)
                doubtful = self._pipelining.is_doubtful(grouping, phase)
                code, text = await self._replies.read(min(timeout, self._timeouts.probe) if doubtful else timeout)
                failpoints.reach(f"after-{phase}")
                if code != 354 if phase is Phase.data else code >= 300:
                    return await self._refused(classify_reply(phase, code, text), grouping)
            self._pipelining.succeeded(grouping)
            phase = Phase.body
            self._replies.write(stuffed(mail.data), 0)
            await self._replies.drain(self._timeouts.block)
            failpoints.reach("after-body")
        except TRANSPORT_ERRORS as error:
            self.drop()
            outcome = connection_lost(phase, str(error) or type(error).__name__)
            # A server that closes a connection between two mails says nothing about the second one.
            between = phase is Phase.mail and self._used
            return replace(outcome, resend=self._pipelining.broke(grouping, phase) or between)
        return None

    async def send_dot(self, following: MailObject | None = None) -> Outcome:
        """Send the final dot, and classify the reply.

        `following`: the mail that `send_body` will get next. Its envelope is sent along where the server allows it.
        """
        if not self.alive:
            self.drop()
            return connection_lost(Phase.body, "the server left before the dot")
        try:
            if following is not None and self._pipelining.may_follow:
                self._begun = following
                self._replies.write(b".\r\n" + self._envelope(following), 4)
            else:
                self._replies.write(b".\r\n", 1)
            failpoints.reach("after-dot")
            code, text = await self._replies.read(self._timeouts.dot)
            failpoints.reach("after-reply")
        except TRANSPORT_ERRORS as error:
            self.drop()
            return connection_lost(Phase.dot, str(error) or type(error).__name__)
        self._used = True
        outcome = classify_reply(Phase.dot, code, text)
        if outcome.close:
            self.drop()
        return outcome

    def drop(self) -> None:
        """Close at once: a server that has seen no dot delivers nothing (RFC 5321 section 4.1.1.10)."""
        self._replies.drop()

    async def quit(self) -> None:
        """Send QUIT and close; wait two seconds at most for the reply."""
        with suppress(*TRANSPORT_ERRORS):
            self._replies.write(b"QUIT\r\n", 1)
            await self._replies.read(QUIT_SECONDS)
        self._replies.close()

    def _commands(self, mail: MailObject) -> list[tuple[Phase, bytes, float]]:
        options = " BODY=8BITMIME" if self.eight_bit else ""
        return [
            (Phase.mail, f"MAIL FROM:<{mail.envelope_from}>{options}\r\n".encode(), self._timeouts.command),
            (Phase.rcpt, f"RCPT TO:<{mail.envelope_to}>\r\n".encode(), self._timeouts.command),
            (Phase.data, b"DATA\r\n", self._timeouts.data),
        ]

    def _envelope(self, mail: MailObject) -> bytes:
        return b"".join(command for _, command, _ in self._commands(mail))

    def _grouping_of(self, mail: MailObject) -> Grouping:
        if self._begun is mail:
            return Grouping.after_dot
        return Grouping.together if self._pipelining.may_group else Grouping.alone

    async def _refused(self, outcome: Outcome, grouping: Grouping) -> Outcome:
        """End a transaction whose envelope was refused, so that the connection can carry another mail, or close it."""
        if outcome.phase is Phase.mail:
            if self._pipelining.was_too_early(grouping, outcome.reply):
                self.drop()
                return replace(outcome, close=True, resend=True, sender_fault=False)
            # Some servers take only so many mails over one connection.
            outcome = replace(outcome, resend=self._used)
        with suppress(*TRANSPORT_ERRORS):
            if not outcome.close and await self._reset(data_sent=grouping is not Grouping.alone):
                self._used = True
                return outcome
        self.drop()
        return replace(outcome, close=True)

    async def _reset(self, data_sent: bool) -> bool:
        """Forget the transaction after a refused RCPT; return whether the server did.

        DATA may have been accepted all the same. Then a lone dot ends it: no recipient was, so nothing is delivered.
        """
        if data_sent and (await self._replies.read(self._timeouts.data))[0] == 354:
            self._replies.write(b".\r\n", 1)
            await self._replies.read(self._timeouts.dot)
        self._replies.write(b"RSET\r\n", 1)
        return (await self._replies.read(self._timeouts.command))[0] < 300


@cache
def tls_context() -> ssl.SSLContext:
    """Return the trusted certificates, read once: reading them takes longer than sending a mail."""
    return ssl.create_default_context()


@cache
def local_hostname() -> str:
    """Return the name of this host for EHLO, looked up once: where DNS is slow, each look-up takes seconds."""
    return socket.getfqdn()


async def _greet(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()


def stuffed(data: bytes) -> bytes:
    """Double the dot at the beginning of a line (RFC 5321 section 4.5.2) and end with CRLF."""
    body = data.replace(b"\r\n.", b"\r\n..")
    body = b"." + body if body.startswith(b".") else body
    return body if body.endswith(b"\r\n") else body + b"\r\n"


def check_server(server: Server) -> None:
    """Connect and quit. Raises Unavailable with the server's reply."""

    async def connect() -> None:
        await (await Connection.open(server)).quit()

    asyncio.run(connect())
