"""Waiting one's turn: counted, with room for a busy machine."""

from __future__ import annotations

import asyncio
import time

from mailshot.deliver import pace
from tests import processes


async def turns(paces: list[pace.Pace], seconds: float) -> tuple[int, float]:
    """Take turns as fast as they come on several lines of each pace; return how many and in which time."""
    begun, taken = time.monotonic(), 0

    async def take(one: pace.Pace) -> None:
        nonlocal taken
        while await one.turn(lambda: time.monotonic() - begun > seconds):
            taken += 1

    await asyncio.gather(*(take(one) for one in paces for _ in range(5)))
    return taken, time.monotonic() - begun


def test_a_rate_is_kept() -> None:
    taken, seconds = asyncio.run(turns([pace.of(1, 600, "")], 2.5))
    assert 10 <= taken <= 10 * (seconds + 1)


def test_workers_on_one_redis_share_a_rate_and_outlive_it() -> None:
    with processes.own_redis() as server:
        both = [pace.of(1, 600, server.url), pace.of(1, 600, server.url)]
        taken, seconds = asyncio.run(turns(both, 2.5))
        assert 10 <= taken <= 10 * (seconds + 1)
        server.kill()
        taken, seconds = asyncio.run(turns([pace.of(1, 600, server.url)], 1.5))
        assert 1 <= taken <= 10 * (seconds + 1)


def test_no_turn_once_stopped() -> None:
    assert not asyncio.run(pace.of(1, None, "").turn(lambda: True))
    assert not asyncio.run(pace.of(1, 1, "").turn(lambda: True))
