"""Writes commands to an SMTP server and reads its replies, in the order of the commands.

aiosmtplib waits for the reply to one command before it takes the next. Here several commands may be under way, so this
protocol takes over its transport once the server has been greeted.
"""

from __future__ import annotations

import asyncio
from collections import deque

#: Maximum length of a reply: RFC 5321 section 4.5.3.1.5 asks for 512 octets per line.
MAX_LINE_BYTES, MAX_REPLY_LINES = 8_192, 100

Reply = tuple[int, str]
"""The code, and the text of all lines."""


class SmtpReplies(asyncio.Protocol):
    """The protocol of one connection. Its errors are all OSErrors: ConnectionError, TimeoutError.

    A reply that no command waits for means that the server ends the session (RFC 5321 section 3.8), or that replies
    and commands no longer match. Either way the connection is closed.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._partial = b""
        self._lines: list[str] = []
        self._arrived: deque[Reply] = deque()
        #: Commands without a reply.
        self._unanswered = 0
        self._lost: OSError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        # Then `resume_writing` means that all has left our buffer.
        transport.set_write_buffer_limits(high=0)
        transport.set_protocol(self)

    @property
    def alive(self) -> bool:
        """Whether the connection is open as far as we know."""
        return self._lost is None and not self._transport.is_closing()

    def write(self, data: bytes, replies: int) -> None:
        """Write commands, or a body, that so many replies will come to. Raises ConnectionError."""
        if self._lost:
            raise self._lost
        self._unanswered += replies
        self._transport.write(data)

    async def read(self, seconds: float) -> Reply:
        """Return the next reply. Raises TimeoutError after so many seconds, and ConnectionError."""
        if not self._arrived:
            if self._lost:
                raise self._lost
            self._reader = self._loop.create_future()
            await self._wait(self._reader, seconds)
        return self._arrived.popleft()

    async def drain(self, seconds: float) -> None:
        """Wait until what was written has left our buffer. Raises TimeoutError and ConnectionError."""
        if self._transport.get_write_buffer_size() and self._drained:
            await self._wait(self._drained, seconds)
        if self._lost:
            raise self._lost

    def drop(self) -> None:
        """Close at once, and discard what is still in our buffer."""
        self._transport.abort()

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > MAX_LINE_BYTES:
            self._fail("the server sent a line that is too long")
        for line in lines:
            self._take(line.rstrip(b"\r"))

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        _wake(self._drained)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._lost or ConnectionResetError(str(exc) if exc else "the server closed the connection")
        _wake(self._reader, self._lost)
        _wake(self._drained, self._lost)

    def _take(self, line: bytes) -> None:
        """Take one line of a reply; the last one has no hyphen after its code."""
        code, text = line[:3], line[4:].decode("utf-8", "surrogateescape")
        if not (len(code) == 3 and code.isdigit() and line[3:4] in (b"", b" ", b"-")):
            self._fail(f"the server sent an invalid reply: {line[:80]!r}")
            return
        self._lines.append(text)
        if line[3:4] == b"-":
            if len(self._lines) > MAX_REPLY_LINES:
                self._fail("the server sent a reply with too many lines")
            return
        reply = int(code), "\n".join(self._lines)
        self._lines.clear()
        if not self._unanswered:
            self._fail(f"the server ends the session: {reply[0]} {reply[1]}")
            return
        self._unanswered -= 1
        self._arrived.append(reply)
        _wake(self._reader)

    def _fail(self, reason: str) -> None:
        self._lost = self._lost or ConnectionResetError(reason)
        _wake(self._reader, self._lost)
        self._transport.abort()

    async def _wait(self, future: asyncio.Future[None], seconds: float) -> None:
        # A timer of our own costs half of what asyncio.timeout costs; two are needed for each mail.
        timer = self._loop.call_later(seconds, _wake, future, TimeoutError(f"no answer within {seconds:g} seconds"))
        try:
            await future
        finally:
            timer.cancel()


def _wake(future: asyncio.Future[None] | None, error: Exception | None = None) -> None:
    if future is None or future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
