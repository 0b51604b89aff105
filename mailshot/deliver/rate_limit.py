"""Waits until a mail may be sent under the rates of its campaign and of its sender.

Mails are spread evenly: 119 a minute are one every 0.504 seconds from the first on, so no minute begins with a burst.
A campaign never exceeds its own rate, however many runs it has. All campaigns of one sender (one From address) together
never exceed the largest of their rates. A campaign without a rate is not limited and not counted.

All workers share the rates: in Redis (`RedisSlots`), or in the database (`StoreSlots`) without Redis or when Redis does
not answer. Start at `Limited.wait`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from mailshot.errors import MailshotError
from mailshot.store import rate_slots
from mailshot.store.engine import Store
from mailshot.store.rate_slots import SlotRules

log = logging.getLogger(__name__)
#: A slot is taken this long before it begins, so that a late wake-up does not delay the slots after it. A slot that was
#: taken and not used, because the run is stopped, is lost.
AHEAD_SECONDS = 0.05
#: Seconds between two checks for a stop while a mail waits for its slot.
LONGEST_WAIT_SECONDS, SHORTEST_WAIT_SECONDS = 0.5, 0.001
#: A campaign that has not asked for this long is over: its rate no longer counts for its sender.
ACTIVE_SECONDS = 10.0
#: From an error of Redis to the next request to it. Workers that saw no error count there, so not for long.
REDIS_RETRY_SECONDS = 5.0
RULES = SlotRules(AHEAD_SECONDS, ACTIVE_SECONDS)

# Per sender one hash: campaign -> "last slot, rate, last asked". Returns the seconds until the next slot, and how many
# were taken. A clock that was set back must not stop all mail: no last slot counts as later than now plus `ahead`.
_SCRIPT = """
local mine, rate, ahead = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local active, now, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
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
local taken = 0
if slot - now <= ahead then
  taken = math.min(most, 1 + math.floor((now + ahead - slot) * rate / 60))
  own = slot + (taken - 1) * 60 / rate
end
redis.call('HSET', KEYS[1], mine, string.format('%.6f %.6f %.6f', own or now - 60 / rate, rate, now))
redis.call('EXPIRE', KEYS[1], math.ceil(active + 120 / rate) + 60)
return {string.format('%.6f', slot - now), taken}
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

    async def take(self, sender: str, campaign: str, rate: int, most: int) -> tuple[float, int]:
        """Take up to `most` slots, `60 / rate` seconds apart, if the next one is near.

        Returns the seconds until it, and how many were taken. `rate`: mails a minute.
        """

    async def close(self) -> None:
        """Give back connections."""


class StoreSlots:
    """The slots of all workers that share a database; `clock` None takes the time of its server."""

    def __init__(self, store: Store, clock: Callable[[], float] | None = None) -> None:
        self._store, self._clock = store, clock

    async def take(self, sender: str, campaign: str, rate: int, most: int) -> tuple[float, int]:
        return await asyncio.to_thread(self._take, sender, campaign, rate, most)

    async def close(self) -> None:
        return None

    def _take(self, sender: str, campaign: str, rate: int, most: int) -> tuple[float, int]:
        with self._store.write() as connection:
            return rate_slots.take(connection, sender, campaign, rate, most, RULES, self._clock)


class RedisSlots:
    """The slots of all workers that share a Redis; `clock` None takes the time of the Redis server."""

    def __init__(self, url: str, clock: Callable[[], float] | None = None) -> None:
        # No retries: a repeated command whose first reply was lost would take a second slot.
        self._redis = Redis.from_url(
            url, retry=Retry(NoBackoff(), 0), socket_timeout=3, socket_connect_timeout=3, decode_responses=True
        )
        self._script = self._redis.register_script(_SCRIPT)
        self._clock = clock

    async def take(self, sender: str, campaign: str, rate: int, most: int) -> tuple[float, int]:
        now = f"{self._clock():.6f}" if self._clock else ""
        wait, taken = await self._script(
            keys=[f"mailshot:pace:{sender}"], args=[campaign, rate, AHEAD_SECONDS, ACTIVE_SECONDS, now, most]
        )
        return float(wait), int(taken)

    async def close(self) -> None:
        await self._redis.aclose()


class Limited:
    """Keeps a campaign to `rate` mails a minute, and all campaigns of its sender to the largest of their rates."""

    unlimited = False

    def __init__(
        self,
        campaign: str,
        sender: str,
        rate: int,
        slots: Slots,
        fallback: Slots,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._campaign, self._sender, self._rate = campaign, sender.casefold(), rate
        self._slots, self._fallback = slots, fallback
        self._sleep, self._clock = sleep, clock
        #: Until then the database keeps the rate.
        self._redis_from = float("-inf")
        #: When the slots begin that are taken and not used yet.
        self._taken: deque[float] = deque()
        # One connection of a batch asks at a time; otherwise all would ask at the same moment.
        self._asking = asyncio.Lock()

    async def wait(self, stopped: Callable[[], bool]) -> bool:
        async with self._asking:
            begins = await self._next(stopped)
        if begins is None:
            return False
        await self._sleep(max(begins - self._clock(), 0.0))
        return not stopped()

    async def close(self) -> None:
        await self._slots.close()

    async def _next(self, stopped: Callable[[], bool]) -> float | None:
        """Return when the next slot begins that is ours, None when stopped. Waits until it is near."""
        while not stopped():
            if self._taken:
                return self._taken.popleft()
            try:
                wait, number = await self._take()
            except MailshotError as error:
                log.warning("the rate cannot be looked up now: %s", error)
                await self._sleep(LONGEST_WAIT_SECONDS)
                continue
            first = self._clock() + wait
            self._taken.extend(first + turn * 60 / self._rate for turn in range(number))
            if not number:
                await self._sleep(min(max(wait - AHEAD_SECONDS, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS))
        return None

    async def _take(self) -> tuple[float, int]:
        # At a high rate a request for each mail would take longer than the mail.
        most = 1 + int(self._rate / 60 * AHEAD_SECONDS)
        try:
            if self._clock() >= self._redis_from:
                return await self._slots.take(self._sender, self._campaign, self._rate, most)
        except (RedisError, OSError) as error:
            log.warning("Redis does not answer; the rate is kept by the database for a while: %s", error)
            self._redis_from = self._clock() + REDIS_RETRY_SECONDS
        return await self._fallback.take(self._sender, self._campaign, self._rate, most)


def limiter(campaign: str, sender: str, rate: int | None, redis_url: str, store: Store) -> RateLimiter:
    """Return the limiter of a campaign. `sender`: the From address; `rate`: mails a minute, None for no limit."""
    if not rate:
        return NoLimit()
    in_store = StoreSlots(store)
    return Limited(campaign, sender, rate, RedisSlots(redis_url) if redis_url else in_store, in_store)
