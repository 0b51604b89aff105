"""Owns waiting one's turn under a rate; refuses to know what is sent. Redis shares the rate between workers."""

from __future__ import annotations

import asyncio
from typing import Protocol

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter

SHORTEST_WAIT = 0.02


class Pace(Protocol):
    async def turn(self) -> None:
        """Return when the next mail may go."""


class NoLimit:
    """Every turn is at once."""

    async def turn(self) -> None:
        return


class Limited:
    """At most `rate` turns a minute for everyone who shares `name` (and the Redis, when there is one)."""

    def __init__(self, name: str, rate: int, redis_url: str = "") -> None:
        storage = RedisStorage(f"async+{redis_url}", implementation="redispy") if redis_url else MemoryStorage()
        self._limiter = MovingWindowRateLimiter(storage)
        # Where the rate allows it, spread over the seconds instead of a burst each minute.
        self._item = RateLimitItemPerSecond(rate // 60) if rate >= 60 else RateLimitItemPerMinute(rate)
        self._name = name

    async def turn(self) -> None:
        while not await self._limiter.hit(self._item, self._name):
            await asyncio.sleep(SHORTEST_WAIT)


def of(run_id: int, rate: int | None, redis_url: str) -> Pace:
    """Return the pace of a run."""
    return Limited(f"run:{run_id}", rate, redis_url) if rate else NoLimit()
