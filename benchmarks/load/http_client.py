"""Fetches paths over kept-open HTTP/1.1 connections and measures each response.

Written on asyncio's protocols, because a full HTTP client would take longer for a request than the servers it measures.
It understands what these servers send: a head with Content-Length, then the body.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
AGENT = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"


@dataclass(slots=True)
class Measurement:
    """Responses of one load: seconds each took, statuses, and the seconds of the whole."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Responses a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the latency, in seconds, that `share` of the responses did not exceed."""
        return sorted(self.latencies)[min(int(len(self.latencies) * share), len(self.latencies) - 1)]


async def fetch_all(host: str, port: int, paths: Sequence[str], connections: int) -> Measurement:
    """Fetch all paths, each connection one after another, as fast as the server answers."""
    load = _Load(host, deque((path, 0.0) for path in paths))
    begun = time.perf_counter()
    await load.run(port, connections)
    load.measurement.seconds = time.perf_counter() - begun
    return load.measurement


async def fetch_at_rate(
    host: str, port: int, paths: Iterator[str], connections: int, rate: float, seconds: float
) -> Measurement:
    """Fetch `rate` paths a second for `seconds`. A latency counts from the moment at which its request was due.

    So a server that stands still is charged with every request that would have come meanwhile.
    """
    load = _Load(host, deque())
    begun = time.perf_counter()
    feeding = asyncio.create_task(load.feed(paths, begun, rate, seconds))
    await load.run(port, connections)
    await feeding
    load.measurement.seconds = time.perf_counter() - begun
    return load.measurement


class _Load:
    def __init__(self, host: str, waiting: deque[tuple[str, float]]) -> None:
        self.host, self.waiting = host, waiting
        self.idle: list[_Connection] = []
        self.feeding = False
        self.measurement = Measurement()

    async def run(self, port: int, connections: int) -> None:
        loop = asyncio.get_running_loop()
        opened = [await loop.create_connection(lambda: _Connection(self), self.host, port) for _ in range(connections)]
        await asyncio.gather(*(connection.done for _, connection in opened))

    async def feed(self, paths: Iterator[str], begun: float, rate: float, seconds: float) -> None:
        self.feeding = True
        total, sent = int(rate * seconds), 0
        while sent < total:
            due = min(int((time.perf_counter() - begun) * rate), total)
            for number in range(sent, due):
                self.waiting.append((next(paths), begun + number / rate))
            sent = due
            for connection in self.idle[: len(self.waiting)]:
                self.idle.remove(connection)
                connection.next()
            await asyncio.sleep(0.002)
        self.feeding = False
        for connection in self.idle:
            connection.next()


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self._due = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.next()

    def next(self) -> None:
        if not self._load.waiting:
            if self._load.feeding:
                self._load.idle.append(self)
            else:
                self._transport.close()
            return
        path, due = self._load.waiting.popleft()
        self._due = due or time.perf_counter()
        head = f"GET {path} HTTP/1.1\r\nHost: {self._load.host}\r\nUser-Agent: {AGENT}\r\nAccept: */*\r\n\r\n"
        self._transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head) if mark else None
        if not mark or (length and len(body) < int(length[1])):
            return
        self._load.measurement.latencies.append(time.perf_counter() - self._due)
        self._load.measurement.statuses[head[9:12].decode()] += 1
        self._buffer = b""
        self.next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)
