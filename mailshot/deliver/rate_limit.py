"""Waits until a mail may be sent under the rates of its campaign and of its sender.

Mails are spread evenly: 119 a minute are one every 0.504 seconds from the first on, so no minute begins with a burst.
A campaign never exceeds its own rate, however many runs it has. All campaigns of one sender (one From address) together
never exceed the largest of their rates. A campaign without a rate is not limited and not counted.

The rule exists twice: in Redis (`RedisSlots`) for all workers, and in this process (`LocalSlots`) for one process
without Redis or when Redis does not answer. Start at `Limited.wait`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = logging.getLogger(__name__)
#: A slot is taken this long before it begins, so that a late wake-up does not delay the slots after it. A slot that was
#: taken and not used, because the run is stopped, is lost.
AHEAD_SECONDS = 0.05
#: Seconds between two checks for a stop while a mail waits for its slot.
LONGEST_WAIT_SECONDS, SHORTEST_WAIT_SECONDS = 0.5, 0.001
#: A campaign that has not asked for this long is over: its rate no longer counts for its sender.
ACTIVE_SECONDS = 10.0

# Per sender one hash: campaign -> "last slot, rate, last asked". Returns the seconds until the next slot, and whether
# it was taken. A clock that was set back must not stop all mail: no last slot counts as later than now plus `ahead`.
_SCRIPT = """
local mine, rate, ahead = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local active, now = tonumber(ARGV[4]), tonumber(ARGV[5])
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) + tonumber(t[2]) / 1000000
end
local slot, fastest, latest, own = now, rate, nil, nil
local state = redis.call('HGETALL', KEYS[1])
for i = 1, #state, 2 do
  local last, its, asked = string.match(state[i + 1], '(%S+) (%S+) (%S+)')
  last, its, asked = math.min(tonumber(last), now + ahead), tonumber(its), tonumber(asked)
  latest = math.max(latest or last, last)
  if state[i] == mine then
    own = last
  elseif asked >= now - active then
    fastest = math.max(fastest, its)
  elseif last + 60 / its < now then
    redis.call('HDEL', KEYS[1], state[i])
  end
end
if own then slot = math.max(slot, own + 60 / rate) end
if latest then slot = math.max(slot, latest + 60 / fastest) end
local taken = slot - now <= ahead
if taken then own = slot end
redis.call('HSET', KEYS[1], mine, string.format('%.6f %.6f %.6f', own or now - 60 / rate, rate, now))
redis.call('EXPIRE', KEYS[1], math.ceil(active + 120 / rate) + 60)
return {string.format('%.6f', slot - now), taken and 1 or 0}
"""


class RateLimiter(Protocol):
    """What a connection asks before each mail."""

    @property
    def unlimited(self) -> bool:
        """Whether it never makes a mail wait."""

    async def wait(self, stopped: Callable[[], bool]) -> bool:
        """Return True when the next mail may be sent, False as soon as `stopped()` is true."""

    async def close(self) -> None:
        """Give back connections."""


class NoLimit:
    """The limiter of a campaign without a rate: it never waits."""

    unlimited = True

    async def wait(self, stopped: Callable[[], bool]) -> bool:
        return not stopped()

    async def close(self) -> None:
        return None


class Slots(Protocol):
    """The slots taken so far: when each campaign of a sender last sent, and at which rate."""

    async def take(self, sender: str, campaign: str, rate: int) -> tuple[float, bool]:
        """Return the seconds until the next slot, and whether it was near and so taken. `rate`: mails a minute."""

    async def close(self) -> None:
        """Give back connections."""


@dataclass(slots=True)
class _Entry:
    """One campaign: its last slot and last request in seconds of the clock, its rate in mails a minute."""

    last: float
    rate: int
    asked: float


class LocalSlots:
    """The slots of this process, for all its threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._senders: dict[str, dict[str, _Entry]] = {}

    async def take(self, sender: str, campaign: str, rate: int) -> tuple[float, bool]:
        with self._lock:
            return self._take(self._senders.setdefault(sender, {}), campaign, rate, self._clock())

    async def close(self) -> None:
        return None

    def _take(self, entries: dict[str, _Entry], campaign: str, rate: int, now: float) -> tuple[float, bool]:
        others = {name: entry for name, entry in entries.items() if name != campaign}
        for name, entry in others.items():
            if entry.asked < now - ACTIVE_SECONDS and entry.last + 60 / entry.rate < now:
                del entries[name]
        fastest = max([rate, *(entry.rate for entry in others.values() if entry.asked >= now - ACTIVE_SECONDS)])
        slot = max([now, *(min(entry.last, now + AHEAD_SECONDS) + 60 / fastest for entry in entries.values())])
        own = entries.get(campaign)
        if own:
            slot = max(slot, min(own.last, now + AHEAD_SECONDS) + 60 / rate)
        taken = slot - now <= AHEAD_SECONDS
        last = slot if taken else own.last if own else now - 60 / rate
        entries[campaign] = _Entry(last, rate, now)
        return slot - now, taken


class RedisSlots:
    """The slots of all workers that share a Redis; `clock` None takes the time of the Redis server."""

    def __init__(self, url: str, clock: Callable[[], float] | None = None) -> None:
        # No retries: a repeated command whose first reply was lost would take a second slot.
        self._redis = Redis.from_url(
            url, retry=Retry(NoBackoff(), 0), socket_timeout=3, socket_connect_timeout=3, decode_responses=True
        )
        self._script = self._redis.register_script(_SCRIPT)
        self._clock = clock

    async def take(self, sender: str, campaign: str, rate: int) -> tuple[float, bool]:
        now = f"{self._clock():.6f}" if self._clock else ""
        wait, taken = await self._script(
            keys=[f"mailshot:pace:{sender}"], args=[campaign, rate, AHEAD_SECONDS, ACTIVE_SECONDS, now]
        )
        return float(wait), bool(taken)

    async def close(self) -> None:
        await self._redis.aclose()


_LOCAL = LocalSlots()


class Limited:
    """Keeps a campaign to `rate` mails a minute, and all campaigns of its sender to the largest of their rates."""

    unlimited = False

    def __init__(
        self, campaign: str, sender: str, rate: int, slots: Slots, sleep: Callable[[float], Awaitable[Any]]
    ) -> None:
        self._campaign, self._sender, self._rate = campaign, sender.casefold(), rate
        self._slots, self._sleep = slots, sleep
        # One connection of a batch asks at a time; otherwise all would ask at the same moment.
        self._asking = asyncio.Lock()

    async def wait(self, stopped: Callable[[], bool]) -> bool:
        async with self._asking:
            wait = await self._next(stopped)
        if wait is None:
            return False
        await self._sleep(wait)
        return not stopped()

    async def close(self) -> None:
        await self._slots.close()

    async def _next(self, stopped: Callable[[], bool]) -> float | None:
        """Wait until the next slot is near and take it; return the seconds until it comes, None when stopped."""
        while not stopped():
            wait, taken = await self._take()
            if taken:
                return max(wait, 0.0)
            await self._sleep(min(max(wait - AHEAD_SECONDS, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS))
        return None

    async def _take(self) -> tuple[float, bool]:
        try:
            return await self._slots.take(self._sender, self._campaign, self._rate)
        except (RedisError, OSError) as error:
            log.warning("Redis does not answer; each worker applies the rate by itself: %s", error)
            await self._slots.close()
            self._slots = _LOCAL
            return await self._slots.take(self._sender, self._campaign, self._rate)


def limiter(campaign: str, sender: str, rate: int | None, redis_url: str) -> RateLimiter:
    """Return the limiter of a campaign. `sender`: the From address; `rate`: mails a minute, None for no limit."""
    if not rate:
        return NoLimit()
    return Limited(campaign, sender, rate, RedisSlots(redis_url) if redis_url else _LOCAL, asyncio.sleep)
