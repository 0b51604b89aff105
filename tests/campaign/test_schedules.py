"""Checks that concurrent launches make one run, at the right local time on the days when clocks change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mailshot.campaign import launch, plan, schedules
from mailshot.campaign import snapshot as editions
from mailshot.errors import Refused
from mailshot.store import dialect, leases, runs, tables
from tests.support.project import NOW, Shop

ZONE = ZoneInfo("America/New_York")


def at_once(number: int, act: Callable[[], object]) -> list[object]:
    """Act so many times at the same moment; a refusal is a result like another."""
    ready = threading.Barrier(number)

    def act_once(_: int) -> object:
        ready.wait(30)
        try:
            return act()
        except Refused as error:
            return error

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(act_once, range(number)))


def armed(shop: Shop, cron: str, now: datetime) -> None:
    """Launch a campaign that the clock then repeats."""
    edition = shop.campaign(more=f'schedule: {{cron: "{cron}"}}\nrepeat: yes\n')
    plan.make_plan(shop.store, edition, now, now)
    assert launch.launch_plan(shop.store, edition, now, now).schedule_id


def slots(shop: Shop) -> list[datetime]:
    with shop.store.read() as connection:
        return [run.slot.astimezone(ZONE) for run in runs.runs_in(connection) if run.slot]


def due(shop: Shop) -> datetime:
    with shop.store.read() as connection:
        [schedule] = runs.schedules(connection)
    return schedule.next_at


def test_ten_launches_at_once_make_one_run(shop: Shop) -> None:
    edition = shop.campaign(more="repeat: yes\n")
    as_of = editions.as_of(edition, None, NOW)
    for _ in range(3):
        plan.make_plan(shop.store, edition, as_of, NOW)
        results = at_once(6, lambda: launch.launch_plan(shop.store, edition, as_of, NOW))
        assert sum(isinstance(result, Refused) for result in results) == 5
    delivery = dialect.table(tables.Delivery)
    with shop.store.read() as connection:
        begun = runs.runs_in(connection)
        rows = connection.execute(delivery.select()).all()
    assert len(begun) == 3
    assert len(rows) == 3 * 60


def test_plans_at_once_agree(shop: Shop) -> None:
    edition = shop.campaign()
    plans = at_once(4, lambda: plan.make_plan(shop.store, edition, NOW, NOW))
    assert {result.mails for result in plans if isinstance(result, plan.CampaignPlan)} == {60}
    assert len({result.id for result in plans if isinstance(result, plan.CampaignPlan)}) == 1
    assert not [result for result in plans if isinstance(result, Refused)]


def test_two_ticks_at_once_launch_each_slot_once(shop: Shop) -> None:
    armed(shop, "*/10 * * * *", NOW)
    for _ in range(5):
        moment = due(shop)
        begun = at_once(3, lambda moment=moment: schedules.launch_due(shop.store, moment))  # type: ignore[misc]
        assert sum(len(run_ids) for run_ids in begun if isinstance(run_ids, list)) == 1
    assert len(slots(shop)) == len(set(slots(shop))) == 5


def test_a_slot_long_past_is_skipped(shop: Shop) -> None:
    armed(shop, "0 9 * * MON", NOW)
    assert schedules.launch_due(shop.store, due(shop) + schedules.GRACE * 2) == []
    assert schedules.launch_due(shop.store, due(shop)) != []


@pytest.mark.parametrize("late", [timedelta(seconds=1), timedelta(minutes=40), timedelta(minutes=70)])
@pytest.mark.parametrize("day", [date(2026, 3, 8), date(2026, 11, 1)])
@pytest.mark.parametrize(("cron", "times"), [("0 2/3 * * *", 8), ("30 1 * * *", 1), ("30 2 * * *", 1)])
def test_each_local_time_comes_once_when_clocks_change(
    shop: Shop, cron: str, times: int, day: date, late: timedelta
) -> None:
    armed(shop, cron, datetime.combine(day, datetime.min.time(), ZONE).astimezone(UTC) - timedelta(minutes=1))
    for _ in range(times):
        assert len(schedules.launch_due(shop.store, due(shop) + late)) == 1
    launched = slots(shop)
    assert [slot.date() for slot in launched] == [day] * times
    assert len({slot.replace(tzinfo=None) for slot in launched}) == times
    assert due(shop).astimezone(ZONE).date() == day + timedelta(days=1)


def test_one_clock_holds_the_lease(shop: Shop) -> None:
    def take(name: str, now: datetime) -> bool:
        with shop.store.write() as connection:
            return leases.acquire(connection, "clock", name, now, now + timedelta(seconds=10))

    assert take("a", NOW)
    assert not take("b", NOW + timedelta(seconds=5))
    assert take("a", NOW + timedelta(seconds=5))
    assert take("b", NOW + timedelta(seconds=16))
    assert not take("a", NOW + timedelta(seconds=17))
