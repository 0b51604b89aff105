"""Owns one SMTP connection and its phased transaction: everything but the dot, then the dot; refuses to decide either.

aiosmtplib connects, greets, secures and authenticates; the transaction is ours, because only the caller may release the
dot, and because a broken connection means one thing before it and another after.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from urllib.parse import unquote, urlsplit

import aiosmtplib

from mailshot.deliver.outcome import Outcome, Phase, classify_reply, lost
from mailshot.errors import Unavailable
from mailshot.render.compose import OutgoingMail

LOOPBACK = ("127.0.0.1", "::1", "localhost")
BREATH = 0.01
Broken = (aiosmtplib.SMTPException, OSError, EOFError, asyncio.TimeoutError)


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
    """Where mail is handed over. `secure`: whether STARTTLS must be, and its certificate be good."""

    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    tls: bool
    secure: bool
    timeouts: Timeouts = field(default_factory=Timeouts)

    @classmethod
    def parse(cls, url: str, starttls: str, dot_timeout: float = 600.0) -> Server:
        """Read `smtp://user:password@host:port`; 'auto' requires STARTTLS everywhere but on loopback."""
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
    """What the transaction needs of a letter; `data` ends with CRLF and is not yet dot-stuffed."""

    envelope_from: str
    envelope_to: str
    data: bytes


class Connection:
    """One connection. After `offer` returned None, exactly one of `release` and `drop` must follow.

    `used`: a transaction went through, so a break before the next one only says that the server had enough of us.
    """

    def __init__(self, server: Server, client: aiosmtplib.SMTP) -> None:
        self._timeouts = server.timeouts
        self._client = client
        self.eight_bit = client.supports_extension("8bitmime")
        self.used = False

    @classmethod
    async def open(cls, server: Server) -> Connection:
        """Connect, greet, secure and log in. Raises Unavailable with what the server said."""
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
        except (*Broken, UnicodeError) as error:  # a host name that is none cannot be encoded
            client.close()
            raise Unavailable(f"Cannot connect to the SMTP server {server}: {error}", "See MAILSHOT_SMTP.") from error

    @property
    def alive(self) -> bool:
        """Whether the server has not left, as far as we have heard."""
        return self._client.is_connected

    async def send_body(self, parcel: MailObject) -> Outcome | None:
        """Go as far as the body, without the dot. None means the server waits for the dot."""
        phase = Phase.mail
        try:
            for phase, command, timeout in self._commands(parcel):
                code, text = await self._say(command, timeout)
                if code != 354 if phase is Phase.data else code >= 300:
                    verdict = classify_reply(phase, code, text)
                    return await self._reset(verdict)
            phase = Phase.body
            self._protocol().write(stuffed(parcel.data))
            await self._flushed()
        except Broken as error:
            self.drop()
            return lost(phase, str(error) or type(error).__name__)
        return None

    async def send_dot(self) -> Outcome:
        """Send the final dot and judge the reply."""
        if not self.alive:
            self.drop()
            return lost(Phase.body, "the server left before the dot")
        try:
            code, text = await self._say(b".", self._timeouts.dot)
        except Broken as error:
            self.drop()
            return lost(Phase.dot, str(error) or type(error).__name__)
        self.used = True
        verdict = classify_reply(Phase.dot, code, text)
        if verdict.close:
            self.drop()
        return verdict

    def drop(self) -> None:
        """Close without another word: a server that saw no dot delivers nothing (RFC 5321 section 4.1.1.10)."""
        if isinstance(self._client.transport, asyncio.WriteTransport):
            self._client.transport.abort()
        self._client.close()

    async def quit(self) -> None:
        """Say goodbye; a server that does not answer is left at once."""
        try:
            await self._client.quit(timeout=2.0)
        except (*Broken, ValueError):
            self.drop()

    def _commands(self, parcel: MailObject) -> list[tuple[Phase, bytes, float]]:
        options = " BODY=8BITMIME" if self.eight_bit else ""
        return [
            (Phase.mail, f"MAIL FROM:<{parcel.envelope_from}>{options}".encode(), self._timeouts.command),
            (Phase.rcpt, f"RCPT TO:<{parcel.envelope_to}>".encode(), self._timeouts.command),
            (Phase.data, b"DATA", self._timeouts.data),
        ]

    async def _flushed(self) -> None:
        """Wait until the body has left us; what stays in our own buffer would make the dot wait for a deaf server."""
        transport = self._client.transport
        async with asyncio.timeout(self._timeouts.block):
            while isinstance(transport, asyncio.WriteTransport) and transport.get_write_buffer_size():
                if transport.is_closing():
                    raise aiosmtplib.SMTPServerDisconnected("connection lost")
                await asyncio.sleep(BREATH)

    async def _say(self, command: bytes, timeout: float) -> tuple[int, str]:
        response = await self._protocol().execute_command(command, timeout=timeout)
        return response.code, response.message

    async def _reset(self, verdict: Outcome) -> Outcome:
        """Make the connection fit for the next transaction, or close it; the verdict stands whatever comes of that."""
        with suppress(*Broken):
            if not verdict.close and (await self._say(b"RSET", self._timeouts.command))[0] < 300:
                self.used = True
                return verdict
        self.drop()
        return replace(verdict, close=True)

    def _protocol(self) -> aiosmtplib.protocol.SMTPProtocol:
        if self._client.protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("connection is closed")
        return self._client.protocol


@cache
def tls_context() -> ssl.SSLContext:
    """Return the certificates we believe, read once: reading them takes longer than sending a mail."""
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


MARK = "[Test] "


def send_test(server: Server, letter: OutgoingMail, to: str) -> Outcome:
    """Send a letter to another address, marked as a test, and return the server's verdict. Raises Unavailable."""
    return asyncio.run(_send(server, letter, to))


def check_server(server: Server) -> None:
    """Connect and take leave. Raises Unavailable with what the server said."""

    async def meet() -> None:
        await (await Connection.open(server)).quit()

    asyncio.run(meet())


async def _send(server: Server, letter: OutgoingMail, to: str) -> Outcome:
    connection = await Connection.open(server)
    marked = replace(letter.rendered, subject=MARK + letter.rendered.subject)
    addressed = replace(letter, rendered=marked, envelope=replace(letter.envelope, to_address=to, to_name=""))
    parcel = MailObject(letter.envelope_from, to, addressed.data(connection.eight_bit))
    verdict = await connection.send_body(parcel) or await connection.send_dot()
    await connection.quit()
    return verdict
