"""Checks rate limits on a clock that the test sets, over the database and over a real Redis."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, pairwise

import pytest

from mailshot.deliver import rate_limit
from mailshot.deliver.rate_limit import Limited, RedisSlots, Slots, StoreSlots
from mailshot.store.engine import Store
from tests.support import processes

START = 1_800_000_000.0
ROUNDING = 0.001
serial = count(1)


@dataclass
class Time:
    """A clock that jumps to the next wake-up as soon as every lane sleeps."""

    lanes: int
    now: float = START
    sleeping: list[tuple[float, int, asyncio.Future[None]]] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleeping, (self.now + seconds, next(serial), woken))
        await woken

    async def run(self) -> None:
        while self.lanes:
            while self.lanes and len(self.sleeping) == self.lanes:
                self.now, _, woken = heapq.heappop(self.sleeping)
                woken.set_result(None)
            await asyncio.sleep(0)


@dataclass(frozen=True)
class Lane:
    """One worker that sends a campaign's mails as fast as it may, from so many seconds after the start."""

    campaign: str
    rate: int
    sender: str = "hello@shop.example"
    begins: float = 0.0


Make = Callable[[Callable[[], float]], Slots]


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    with processes.own_redis() as server:
        yield server.url


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param != "redis":
        shared = Store.open(str(request.getfixturevalue(f"{request.param}_url")))
        return lambda clock: StoreSlots(shared, clock)
    url = str(request.getfixturevalue("redis"))
    return lambda clock: RedisSlots(url, clock)


def sent(make: Make, lanes: list[Lane], seconds: float) -> list[tuple[float, str]]:
    """Let the lanes send for so many seconds; return when (from the start) each mail of which campaign went."""
    mark = next(serial)  # a sender of one's own in each test
    mails: list[tuple[float, str]] = []

    async def work(lane: Lane, time: Time, slots: Slots) -> None:
        await time.sleep(lane.begins)
        limited = Limited(lane.campaign, f"{mark}{lane.sender}", lane.rate, slots, slots, time.sleep, lambda: time.now)
        while await limited.wait(lambda: time.now > START + seconds):
            mails.append((time.now - START, lane.campaign))
        time.lanes -= 1

    async def run() -> None:
        time = Time(len(lanes))
        async with opened(make(lambda: time.now)) as slots:
            await asyncio.gather(time.run(), *(work(lane, time, slots) for lane in lanes))

    asyncio.run(run())
    return mails


@asynccontextmanager
async def opened(slots: Slots) -> AsyncIterator[Slots]:
    yield slots
    await slots.close()


def never_over(moments: list[float], rate: int) -> bool:
    """Say whether no two mails are closer than the rate allows."""
    return all(after - before >= 60 / rate - ROUNDING for before, after in pairwise(sorted(moments)))


@pytest.mark.parametrize("rate", [1, 7, 30, 59, 60, 61, 90, 100, 119, 120, 121, 179, 600, 6000])
def test_mails_are_spread_evenly_from_the_first_on(make: Make, rate: int) -> None:
    seconds = 5 if rate >= 600 else 60 if rate >= 59 else 240
    moments = [moment for moment, _ in sent(make, [Lane("a", rate)], seconds)]
    assert moments[0] == pytest.approx(0, abs=ROUNDING)
    assert never_over(moments, rate)
    assert len(moments) == pytest.approx(seconds * rate / 60 + 1, abs=1)


def test_119_a_minute_are_one_every_0_504_seconds(make: Make) -> None:
    moments = [moment for moment, _ in sent(make, [Lane("a", 119)], 60)]
    assert {round(after - before, 3) for before, after in pairwise(moments)} == {0.504}
    assert len(moments) in (119, 120)


def test_workers_and_runs_of_a_campaign_share_its_rate(make: Make) -> None:
    mails = sent(make, [Lane("a", 119)] * 5, 60)
    assert never_over([moment for moment, _ in mails], 119)
    assert len(mails) == pytest.approx(120, abs=1)


def test_campaigns_of_a_sender_share_one_rate(make: Make) -> None:
    mails = sent(make, [Lane("a", 119), Lane("b", 119, "Hello@Shop.example", begins=5)], 120)
    assert never_over([moment for moment, _ in mails], 119)
    assert len(mails) == pytest.approx(239, abs=1)
    assert {campaign for _, campaign in mails} == {"a", "b"}


def test_each_campaign_keeps_its_own_rate_and_all_together_the_largest(make: Make) -> None:
    mails = sent(make, [Lane("slow", 30), Lane("fast", 120), Lane("fast", 120), Lane("middle", 60)], 120)
    for campaign, rate in (("slow", 30), ("middle", 60), ("fast", 120)):
        assert never_over([moment for moment, name in mails if name == campaign], rate)
    assert never_over([moment for moment, _ in mails], 120)
    # What is taken ahead for a slower campaign may cost the others up to AHEAD each time.
    assert len(mails) > 240 * 0.8
    assert {name for _, name in mails} == {"slow", "middle", "fast"}


def test_a_slow_campaign_does_not_delay_another_of_its_sender(make: Make) -> None:
    mails = sent(make, [Lane("trickle", 1), Lane("fast", 120, begins=1)], 60)
    assert sum(name == "fast" for _, name in mails) > 110
    assert [round(moment) for moment, name in mails if name == "trickle"][:1] == [0]


def test_other_senders_have_rates_of_their_own(make: Make) -> None:
    mails = sent(make, [Lane("a", 60), Lane("b", 60, "other@shop.example")], 30)
    assert len(mails) == pytest.approx(62, abs=2)


def test_a_later_run_continues_the_slots_of_the_one_before(make: Make) -> None:
    async def run() -> None:
        time, sender = Time(1), f"{next(serial)}hello@shop.example"
        async with opened(make(lambda: time.now)) as slots:
            assert await slots.take(sender, "a", 60, 1) == (0.0, 1)
            time.now += 0.5
            wait, taken = await slots.take(sender, "b", 60, 1)
            assert (round(wait, 3), taken) == (0.5, 0)

    asyncio.run(run())


def test_a_clock_that_is_set_back_does_not_stop_mail(make: Make) -> None:
    async def run() -> None:
        time, sender = Time(1), f"{next(serial)}hello@shop.example"
        async with opened(make(lambda: time.now)) as slots:
            await slots.take(sender, "a", 60, 1)
            time.now -= 100_000
            wait, _ = await slots.take(sender, "a", 60, 1)
            assert wait <= 1 + rate_limit.AHEAD_SECONDS + ROUNDING

    asyncio.run(run())


def test_when_redis_is_gone_the_database_keeps_the_rate(store: Store) -> None:
    async def run(server: processes.Redis) -> None:
        time = Time(1)
        limited = Limited(
            "a",
            f"{next(serial)}gone@shop.example",
            60,
            RedisSlots(server.url),
            StoreSlots(store),
            time.sleep,
            lambda: time.now,
        )
        driver = asyncio.create_task(time.run())
        assert await limited.wait(lambda: False)
        server.kill()
        assert await limited.wait(lambda: False)
        time.lanes = 0
        await driver
        await limited.close()

    with processes.own_redis() as server:
        asyncio.run(run(server))


def test_no_slot_is_given_once_stopped(store: Store) -> None:
    assert not asyncio.run(rate_limit.limiter("a", "s", None, "", store).wait(lambda: True))
    assert not asyncio.run(rate_limit.limiter("a", "s", 1, "", store).wait(lambda: True))
