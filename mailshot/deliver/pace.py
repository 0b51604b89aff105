"""Owns waiting one's turn under a rate; refuses to know what is sent. Redis shares the rate between workers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError

log = logging.getLogger(__name__)
SHORTEST_WAIT, LONGEST_WAIT = 0.02, 0.5


class Pace(Protocol):
    async def turn(self, stopped: Callable[[], bool]) -> bool:
        """Return True when the next mail may go, False as soon as `stopped` says so."""


class NoLimit:
    """Every turn is at once."""

    async def turn(self, stopped: Callable[[], bool]) -> bool:
        return not stopped()


class Limited:
    """At most `rate` turns a minute for everyone who shares `name` (and the Redis, when there is one)."""

    def __init__(self, name: str, rate: int, redis_url: str = "") -> None:
        self._limiter = MovingWindowRateLimiter(_shared(redis_url) if redis_url else MemoryStorage())
        # Where the rate allows it, spread over the seconds instead of a burst each minute.
        self._item = RateLimitItemPerSecond(rate // 60) if rate >= 60 else RateLimitItemPerMinute(rate)
        self._name = name

    async def turn(self, stopped: Callable[[], bool]) -> bool:
        while not stopped():
            asked = self._limiter
            try:
                if await asked.hit(self._item, self._name):
                    return True
                reset, _ = await asked.get_window_stats(self._item, self._name)
            except StorageError as error:
                if asked is self._limiter:
                    log.warning("Redis does not answer, each worker keeps to the rate by itself: %s", error)
                    self._limiter = MovingWindowRateLimiter(MemoryStorage())
                continue
            await asyncio.sleep(min(max(reset - time.time(), SHORTEST_WAIT), LONGEST_WAIT))
        return False


def _shared(redis_url: str) -> RedisStorage:
    return RedisStorage(f"async+{redis_url}", implementation="redispy", wrap_exceptions=True)


def of(run_id: int, rate: int | None, redis_url: str) -> Pace:
    """Return the pace of a run."""
    return Limited(f"run:{run_id}", rate, redis_url) if rate else NoLimit()
