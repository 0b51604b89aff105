"""Limits what clients can use up: open connections, time for a request to arrive, and lines in the log.

uvicorn has no limit of its own for a connection that sends nothing. Silent connections use up the process's file
descriptors, and then it can accept no more. Here a new connection over the limit replaces the one that has been silent
longest, so that a request that does arrive is answered, however many idle connections are open.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import Collection
from functools import lru_cache, partial
from ipaddress import ip_address, ip_network
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)
#: For the request line and headers to arrive, from the connection or the first byte after the last response.
HEAD_SECONDS = 10.0
#: For a whole response: a client that does not read it loses its connection.
ANSWER_SECONDS = 300.0
BACKLOG = 128
MAX_CONNECTIONS = 1000
MAX_PER_ADDRESS = 100
IPV6_SITE_BITS = 64
LOG_PAUSE_SECONDS = 60.0


@lru_cache(maxsize=4096)
def client(host: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network of an IPv6 address (RFC 6177)."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((address, IPV6_SITE_BITS), strict=False))


class Connections:
    """The open connections of one server, the longest open first. `proxies` are exempt from the limit per address."""

    def __init__(
        self, proxies: Collection[str] = (), most: int | None = None, most_of_address: int | None = None
    ) -> None:
        self._most = most or min(MAX_CONNECTIONS, max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2, 64))
        self._most_of_address = most_of_address or MAX_PER_ADDRESS
        self._proxies = [ip_network(proxy) for proxy in proxies]
        self._open: dict[Bounded, str] = {}
        self._of: dict[str, dict[Bounded, None]] = {}

    def enter(self, connection: Bounded, host: str) -> None:
        """Add a new connection. Over a limit, the longest silent one is closed, or without one the new connection."""
        name = client(host)
        same_client = self._of.setdefault(name, {})
        if len(same_client) >= self._most_of_address and not self._is_proxy(host):
            self._make_room(same_client, connection)
        elif len(self._open) >= self._most:
            self._make_room(self._open, connection)
        self._open[connection] = name
        same_client[connection] = None

    def leave(self, connection: Bounded) -> None:
        """Remove a connection that is closed."""
        name = self._open.pop(connection, None)
        if name is not None:
            self._of[name].pop(connection, None)
            if not self._of[name]:
                del self._of[name]

    def _is_proxy(self, host: str) -> bool:
        try:
            return any(ip_address(host) in network for network in self._proxies)
        except ValueError:
            return False

    def _make_room(self, among: Collection[Bounded], newcomer: Bounded) -> None:
        log.warning("Too many connections are open; the longest silent ones are closed.")
        next((connection for connection in among if connection.silent), newcomer).transport.abort()


class Bounded(H11Protocol):
    """A connection with deadlines, known to the `Connections` of its server."""

    def __init__(self, registry: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._registry = registry
        self._phase: object = None
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def silent(self) -> bool:
        """Whether no request is being answered, or the client does not read the answer."""
        return self.cycle is None or self.cycle.response_complete or self.flow.write_paused

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._registry.enter(self, self.client[0] if self.client else "")
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._registry.leave(self)
        self._stop_watch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        """Set the deadline of the current phase. Another byte in the same phase does not extend it."""
        idle = self.cycle is None or self.cycle.response_complete
        waits = idle and self.timeout_keep_alive_task is not None
        phase: object = "next request" if waits else "head" if idle else self.cycle
        if phase is self._phase:
            return
        self._stop_watch()
        self._phase = phase
        if not waits and not self.transport.is_closing():
            seconds = HEAD_SECONDS if idle else ANSWER_SECONDS
            self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _stop_watch(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None


class OnceAMinute(logging.Filter):
    """Passes each kind of message once a minute, so that no client can fill the disk with log lines."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        kind = f"{record.msg}{record.exc_info[0] if record.exc_info else ''}"
        if now - self._last.get(kind, -LOG_PAUSE_SECONDS) < LOG_PAUSE_SECONDS:
            return False
        self._last = {key: at for key, at in self._last.items() if now - at < LOG_PAUSE_SECONDS}
        self._last[kind] = now
        return True


def bounded(proxies: Collection[str] = ()) -> Any:
    """Return the protocol class for one server, in place of uvicorn's."""
    return partial(Bounded, Connections(proxies))


def limit_logs() -> None:
    """Limit what uvicorn and asyncio log about clients."""
    for name in ("uvicorn.error", "asyncio", "python_multipart.multipart", __name__):
        logger = logging.getLogger(name)
        if not any(isinstance(known, OnceAMinute) for known in logger.filters):
            logger.addFilter(OnceAMinute())
