"""Bounds what clients can hold open: how many connections, how long a request may take to arrive, how much is logged.

uvicorn has no limit of its own for a connection that says nothing. Silent ones use up the process's files, and then
nothing more can be accepted. Here a newcomer over the limit takes the place of the longest silent one, so that a
request that does arrive is answered, whoever else holds connections open.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import Collection
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)
#: For a whole request line with its headers, from the connection or the first byte after the last answer.
HEAD_SECONDS = 10.0
#: For a whole answer: a client that reads nothing gives up its place.
ANSWER_SECONDS = 300.0
BACKLOG = 128
MOST_CONNECTIONS = 1000
MOST_OF_AN_ADDRESS = 100
IPV6_SITE_BITS = 64
LOG_PAUSE_SECONDS = 60.0


def client(host: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 that a site of IPv6 has for itself (RFC 6177)."""
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
    """The open connections of one server, the longest open first. `proxies` may have any number of them."""

    def __init__(
        self, proxies: Collection[str] = (), most: int | None = None, most_of_address: int | None = None
    ) -> None:
        self._most = most or min(MOST_CONNECTIONS, max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2, 64))
        self._most_of_address = most_of_address or MOST_OF_AN_ADDRESS
        self._proxies = [ip_network(proxy) for proxy in proxies]
        self._open: dict[Bounded, str] = {}
        self._of: dict[str, dict[Bounded, None]] = {}

    def enter(self, connection: Bounded, host: str) -> None:
        """Take a new connection in; over a limit the longest silent one makes room, or else the newcomer is closed."""
        who = client(host)
        mine = self._of.setdefault(who, {})
        if len(mine) >= self._most_of_address and not self._is_proxy(host):
            self._make_room(mine, connection)
        elif len(self._open) >= self._most:
            self._make_room(self._open, connection)
        self._open[connection] = who
        mine[connection] = None

    def leave(self, connection: Bounded) -> None:
        """Forget a connection that is closed."""
        who = self._open.pop(connection, None)
        if who is not None:
            self._of[who].pop(connection, None)
            if not self._of[who]:
                del self._of[who]

    def _is_proxy(self, host: str) -> bool:
        try:
            return any(ip_address(host) in network for network in self._proxies)
        except ValueError:
            return False

    def _make_room(self, among: Collection[Bounded], newcomer: Bounded) -> None:
        log.warning("Too many connections are open; the longest silent ones are closed.")
        (next((one for one in among if one.silent), newcomer)).transport.abort()


class Bounded(H11Protocol):
    """A connection with deadlines, known to the `Connections` of its server."""

    def __init__(self, registry: Connections, **given: Any) -> None:
        super().__init__(**given)
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
        """Set the deadline of what is waited for now; a new byte of the same thing does not put it off."""
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
    """Lets a message through once a minute, so that no client can fill a disk with what it causes to be logged."""

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
    """Return the protocol for one server, in place of uvicorn's."""
    return partial(Bounded, Connections(proxies))


def quiet() -> None:
    """Bound what uvicorn and asyncio log about clients."""
    for name in ("uvicorn.error", "asyncio", "python_multipart.multipart", __name__):
        logger = logging.getLogger(name)
        if not any(isinstance(known, OnceAMinute) for known in logger.filters):
            logger.addFilter(OnceAMinute())
