"""Owns one SMTP connection and its phased transaction: everything but the dot, then the dot; refuses to decide either.

aiosmtplib connects, greets, secures and authenticates; the transaction is ours, because only the caller may release the
dot, and because a broken connection means one thing before it and another after.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import aiosmtplib

from mailshot.deliver.verdict import Outcome, Phase, Verdict, judge, lost
from mailshot.errors import Unavailable

CONNECT, COMMAND, DATA = 30.0, 300.0, 120.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")
Broken = (aiosmtplib.SMTPException, OSError, EOFError, asyncio.TimeoutError)


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed over. `secure`: whether STARTTLS must be; None takes it where offered (loopback only)."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: bool
    secure: bool | None
    dot_timeout: float = 600.0

    @classmethod
    def parse(cls, url: str, starttls: str, dot_timeout: float = 600.0) -> Server:
        """Read `smtp://user:password@host:port`; 'auto' requires STARTTLS everywhere but on loopback."""
        parts = urlsplit(url)
        host = parts.hostname or "127.0.0.1"
        tls = parts.scheme == "smtps"
        secure = {"required": True, "never": False}.get(starttls, None if host in LOOPBACK else True)
        return cls(
            host,
            parts.port or (465 if tls else 25),
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
            tls,
            False if tls else secure,
            dot_timeout,
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Parcel:
    """What the transaction needs of a letter; `data` ends with CRLF and is not yet dot-stuffed."""

    envelope_from: str
    envelope_to: str
    data: bytes


class Connection:
    """One connection. After `offer` returned None, exactly one of `release` and `drop` must follow."""

    def __init__(self, server: Server, client: aiosmtplib.SMTP) -> None:
        self._server = server
        self._client = client
        self.eight_bit = client.supports_extension("8bitmime")

    @classmethod
    async def open(cls, server: Server) -> Connection:
        """Connect, greet, secure and log in. Raises Unavailable with what the server said."""
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            timeout=CONNECT,
            use_tls=server.tls,
            start_tls=server.secure,
            username=server.username,
            password=server.password,
            tls_context=ssl.create_default_context(),
        )
        try:
            await client.connect()
            if not client.is_ehlo_or_helo_needed:
                return cls(server, client)
            await client.ehlo()
            return cls(server, client)
        except Broken as error:
            client.close()
            raise Unavailable(f"The SMTP server {server} does not take us: {error}", "See MAILSHOT_SMTP.") from error

    async def offer(self, parcel: Parcel) -> Verdict | None:
        """Go as far as the body, without the dot. None means the server waits for the dot."""
        phase = Phase.mail
        try:
            for phase, command, timeout in self._commands(parcel):
                code, text = await self._say(command, timeout)
                if code != 354 if phase is Phase.data else code >= 300:
                    verdict = judge(phase, code, text)
                    return await self._reset(verdict)
            phase = Phase.body
            self._protocol().write(stuffed(parcel.data))
        except Broken as error:
            self.drop()
            return lost(phase, str(error) or type(error).__name__)
        return None

    async def release(self) -> Verdict:
        """Send the final dot and judge the reply."""
        try:
            code, text = await self._say(b".", self._server.dot_timeout)
        except Broken as error:
            self.drop()
            return lost(Phase.dot, str(error) or type(error).__name__)
        return judge(Phase.dot, code, text)

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

    def _commands(self, parcel: Parcel) -> list[tuple[Phase, bytes, float]]:
        options = " BODY=8BITMIME" if self.eight_bit else ""
        return [
            (Phase.mail, f"MAIL FROM:<{parcel.envelope_from}>{options}".encode(), COMMAND),
            (Phase.rcpt, f"RCPT TO:<{parcel.envelope_to}>".encode(), COMMAND),
            (Phase.data, b"DATA", DATA),
        ]

    async def _say(self, command: bytes, timeout: float) -> tuple[int, str]:
        response = await self._protocol().execute_command(command, timeout=timeout)
        return response.code, response.message

    async def _reset(self, verdict: Verdict) -> Verdict:
        if verdict.close:
            self.drop()
        elif verdict.outcome is not Outcome.accepted:
            await self._say(b"RSET", COMMAND)
        return verdict

    def _protocol(self) -> aiosmtplib.protocol.SMTPProtocol:
        if self._client.protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("connection is closed")
        return self._client.protocol


def stuffed(data: bytes) -> bytes:
    """Double the dot at the beginning of a line (RFC 5321 section 4.5.2) and end with CRLF."""
    body = data.replace(b"\r\n.", b"\r\n..")
    body = b"." + body if body.startswith(b".") else body
    return body if body.endswith(b"\r\n") else body + b"\r\n"
