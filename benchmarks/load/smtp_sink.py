"""An SMTP server that accepts every mail and keeps none, at little cost: it counts the mails it has answered."""

from __future__ import annotations

import asyncio
from multiprocessing.sharedctypes import Synchronized

_END = b"\r\n.\r\n"


def serve(port: int, accepted: Synchronized[int], delay: float = 0.0) -> None:
    """Serve on a loopback port until the process is terminated; `accepted` is the number of mails so far.

    `delay`: seconds from what arrives to its answer, as a round trip to a distant server takes.
    """
    asyncio.run(_serve(port, accepted, delay))


async def _serve(port: int, accepted: Synchronized[int], delay: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Session(accepted, delay), "127.0.0.1", port)
    await server.serve_forever()


class _Session(asyncio.Protocol):
    def __init__(self, accepted: Synchronized[int], delay: float) -> None:
        self._accepted, self._delay = accepted, delay
        self._buffer = b""
        self._in_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._take, data)
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        self._buffer += data
        while self._step():
            pass

    def _step(self) -> bool:
        """Answer one command or one body; return whether a whole one had arrived."""
        mark = _END if self._in_body else b"\r\n"
        part, ended, rest = self._buffer.partition(mark)
        if not ended:
            return False
        self._buffer = rest
        if self._in_body:
            self._in_body = False
            with self._accepted.get_lock():
                self._accepted.value += 1
            self._transport.write(b"250 2.0.0 Ok\r\n")
        else:
            self._command(part[:4].upper())
        return True

    def _command(self, verb: bytes) -> None:
        if verb == b"EHLO":
            self._transport.write(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")
        elif verb == b"DATA":
            self._in_body = True
            self._transport.write(b"354 End data with <CR><LF>.<CR><LF>\r\n")
        elif verb == b"QUIT":
            self._transport.write(b"221 2.0.0 Bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 2.0.0 Ok\r\n")
