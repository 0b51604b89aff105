"""A TCP proxy that delays, slices, cuts and resets, between Mailshot and its database, its Redis or its mail server."""

from __future__ import annotations

import asyncio
import struct
import threading
from contextlib import suppress
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET

CHUNK = 65_536


class Proxy:
    """Listens on a loopback port and forwards to `target`, a port or a Unix socket. Change its fields at any time.

    It runs in a thread of its own, from the start until `close`.
    """

    def __init__(self, target: int | Path) -> None:
        self._target = target
        #: Seconds by which each piece is late, in both directions.
        self.latency = 0.0
        #: Bytes a second; 0: no limit.
        self.bandwidth = 0
        #: The most bytes in one piece; 0: as they come.
        self.slice = 0
        #: When a client sends these bytes, they are forwarded, the reply is thrown away and the connection is reset.
        self.lose_reply_to = b""
        #: How many replies are still to be lost, and how many were.
        self.replies_to_lose = 0
        self.replies_lost = 0
        self._loop = asyncio.new_event_loop()
        self._clients: set[asyncio.StreamWriter] = set()
        self._ready = threading.Event()
        self.port = 0
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the proxy does not start")

    def reset_all(self) -> None:
        """Reset every connection."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def close(self) -> None:
        self.reset_all()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=256))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self._target, Path):
                up_reader, up_writer = await asyncio.open_unix_connection(str(self._target))
            else:
                up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)
            return
        self._clients |= {writer, up_writer}
        cut = asyncio.Event()
        with suppress(OSError, asyncio.IncompleteReadError):
            await asyncio.gather(
                self._pump(reader, up_writer, cut, to_server=True), self._pump(up_reader, writer, cut, to_server=False)
            )
        self._clients -= {writer, up_writer}
        _reset(writer)
        up_writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event, to_server: bool
    ) -> None:
        while piece := await reader.read(self.slice or CHUNK):
            if to_server and self.replies_to_lose and self.lose_reply_to in piece:
                self.replies_to_lose -= 1
                cut.set()
            elif not to_server and cut.is_set():
                # The server has done the work and answered; the answer is dropped.
                self.replies_lost += 1
                raise ConnectionResetError
            delay = self.latency + (len(piece) / self.bandwidth if self.bandwidth else 0.0)
            if delay:
                await asyncio.sleep(delay)
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    def _reset_all(self) -> None:
        for writer in list(self._clients):
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, AttributeError):
        socket = writer.get_extra_info("socket")
        if socket.family.name != "AF_UNIX":
            socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
