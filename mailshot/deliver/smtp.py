"""One SMTP connection, whose transaction has two steps: everything but the final dot, then the dot.

aiosmtplib connects, greets, secures and authenticates. The transaction is our own: only the caller may send the dot,
and a broken connection means one thing before the dot and another after it.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from urllib.parse import unquote, urlsplit

import aiosmtplib

from mailshot.deliver.outcome import Outcome, Phase, classify_reply, connection_lost
from mailshot.errors import Unavailable
from mailshot.render.compose import OutgoingMail
from mailshot.render.dkim_keys import NO_KEYS, DkimKeys

LOOPBACK = ("127.0.0.1", "::1", "localhost")
#: Between two checks whether the body has left our buffer.
POLL_SECONDS = 0.01
TRANSPORT_ERRORS = (aiosmtplib.SMTPException, OSError, EOFError, asyncio.TimeoutError)
#: Begins the subject of a test mail.
TEST_MARK = "[Test] "


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for each step, in seconds (RFC 5321 section 4.5.3.2)."""

    connect: float = 30.0
    command: float = 300.0
    data: float = 120.0
    block: float = 180.0
    dot: float = 600.0


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

    @classmethod
    def parse(cls, url: str, starttls: str, dot_timeout: float = 600.0) -> Server:
        """Read `smtp://user:password@host:port`; `starttls` is auto, required or never.

        'auto' requires STARTTLS everywhere but on loopback. `dot_timeout`: seconds to wait for the reply to the dot."""
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
    """One connection. After `send_body` returned None, exactly one of `send_dot` and `drop` must follow."""

    def __init__(self, server: Server, client: aiosmtplib.SMTP) -> None:
        self._timeouts = server.timeouts
        self._client = client
        self.eight_bit = client.supports_extension("8bitmime")
        #: A transaction has ended on it. If it breaks before the next one, the server merely closed an idle connection.
        self.used = False

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
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await _greet(client)
            return cls(server, client)
        except (*TRANSPORT_ERRORS, UnicodeError) as error:  # an invalid host name cannot be encoded
            client.close()
            raise Unavailable(f"Cannot connect to the SMTP server {server}: {error}", "See MAILSHOT_SMTP.") from error

    @property
    def alive(self) -> bool:
        """Whether the connection is open as far as we know."""
        return self._client.is_connected

    async def send_body(self, mail: MailObject) -> Outcome | None:
        """Send envelope and body without the dot. None means the server is waiting for the dot."""
        phase = Phase.mail
        try:
            for phase, command, timeout in self._commands(mail):
                code, text = await self._execute(command, timeout)
                if code != 354 if phase is Phase.data else code >= 300:
                    return await self._reset(classify_reply(phase, code, text))
            phase = Phase.body
            self._protocol().write(stuffed(mail.data))
            await self._drain()
        except TRANSPORT_ERRORS as error:
            self.drop()
            return connection_lost(phase, str(error) or type(error).__name__)
        return None

    async def send_dot(self) -> Outcome:
        """Send the final dot, and classify the reply."""
        if not self.alive:
            self.drop()
            return connection_lost(Phase.body, "the server left before the dot")
        try:
            code, text = await self._execute(b".", self._timeouts.dot)
        except TRANSPORT_ERRORS as error:
            self.drop()
            return connection_lost(Phase.dot, str(error) or type(error).__name__)
        self.used = True
        outcome = classify_reply(Phase.dot, code, text)
        if outcome.close:
            self.drop()
        return outcome

    def drop(self) -> None:
        """Close at once: a server that has seen no dot delivers nothing (RFC 5321 section 4.1.1.10)."""
        if isinstance(self._client.transport, asyncio.WriteTransport):
            self._client.transport.abort()
        self._client.close()

    async def quit(self) -> None:
        """Send QUIT and close; wait two seconds at most for the reply."""
        try:
            await self._client.quit(timeout=2.0)
        except (*TRANSPORT_ERRORS, ValueError):
            self.drop()

    def _commands(self, mail: MailObject) -> list[tuple[Phase, bytes, float]]:
        options = " BODY=8BITMIME" if self.eight_bit else ""
        return [
            (Phase.mail, f"MAIL FROM:<{mail.envelope_from}>{options}".encode(), self._timeouts.command),
            (Phase.rcpt, f"RCPT TO:<{mail.envelope_to}>".encode(), self._timeouts.command),
            (Phase.data, b"DATA", self._timeouts.data),
        ]

    async def _drain(self) -> None:
        """Wait until the write buffer is empty, so that the timeout of the dot measures the server only."""
        transport = self._client.transport
        async with asyncio.timeout(self._timeouts.block):
            while isinstance(transport, asyncio.WriteTransport) and transport.get_write_buffer_size():
                if transport.is_closing():
                    raise aiosmtplib.SMTPServerDisconnected("connection lost")
                await asyncio.sleep(POLL_SECONDS)

    async def _execute(self, command: bytes, timeout: float) -> tuple[int, str]:
        response = await self._protocol().execute_command(command, timeout=timeout)
        return response.code, response.message

    async def _reset(self, outcome: Outcome) -> Outcome:
        """Send RSET, so that the connection can carry another mail, or close it. Only `outcome.close` may change."""
        with suppress(*TRANSPORT_ERRORS):
            if not outcome.close and (await self._execute(b"RSET", self._timeouts.command))[0] < 300:
                self.used = True
                return outcome
        self.drop()
        return replace(outcome, close=True)

    def _protocol(self) -> aiosmtplib.protocol.SMTPProtocol:
        if self._client.protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("connection is closed")
        return self._client.protocol


@cache
def tls_context() -> ssl.SSLContext:
    """Return the trusted certificates, read once: reading them takes longer than sending a mail."""
    return ssl.create_default_context()


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


def send_test_mail(server: Server, letter: OutgoingMail, to: str, keys: DkimKeys = NO_KEYS) -> Outcome:
    """Send a mail to the address `to` instead of its customer, marked as a test. Raises Unavailable.

    It is signed as customers get it; raises SettingsError when `keys` lacks the key.
    """
    return asyncio.run(_send(server, letter, to, keys))


def check_server(server: Server) -> None:
    """Connect and quit. Raises Unavailable with the server's reply."""

    async def connect() -> None:
        await (await Connection.open(server)).quit()

    asyncio.run(connect())


async def _send(server: Server, letter: OutgoingMail, to: str, keys: DkimKeys) -> Outcome:
    keys.find(letter.sign)
    connection = await Connection.open(server)
    rendered = replace(letter.rendered, subject=TEST_MARK + letter.rendered.subject)
    test_mail = replace(letter, rendered=rendered, headers=replace(letter.headers, to_address=to, to_name=""))
    mail = MailObject(letter.envelope_from, to, test_mail.data(connection.eight_bit, keys))
    outcome = await connection.send_body(mail) or await connection.send_dot()
    await connection.quit()
    return outcome
