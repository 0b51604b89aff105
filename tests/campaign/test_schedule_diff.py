"""Checks that a schedule keeps its version, says when the files differ, and is replaced whole, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailshot.campaign import launch, plan, schedule_diff, schedules
from mailshot.campaign import snapshot as editions
from mailshot.campaign.launch import Launched, LaunchOptions
from mailshot.errors import NotFound, Refused
from mailshot.rulebook.rulebook import Rulebook
from mailshot.states import ScheduleState
from mailshot.store import runs
from mailshot.store import snapshots as bodies
from mailshot.store.engine import Store
from tests.support import project
from tests.support.project import Shop

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)  # five o'clock on a Monday in New York
SLOT = NOW.replace(hour=13)
DAILY = 'schedule: {cron: "0 9 * * *"}\nrepeat: yes\n'
REPLACE = LaunchOptions(replace=True)
LAYOUT = "{% block body %}{% endblock %}"
MORE = {
    "rules/audiences/other.yaml": "audience: other\ndescription: Nobody's\nwho: {country: SE}\n",
    "rules/audiences/inner.yaml": "audience: inner\nwho: {consent: offers}\n",
    "rules/audiences/everyone.yaml": "audience: everyone\ndescription: All\nwho: {audience: inner}\n",
    "templates/_base/unused.html": LAYOUT,
}


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop.open(store, tmp_path, 3, MORE)


def write(shop: Shop, path: str, text: str) -> None:
    (shop.folder / path).parent.mkdir(parents=True, exist_ok=True)
    (shop.folder / path).write_text(text, encoding="utf-8")


def edition(shop: Shop) -> editions.Snapshot:
    return editions.take_snapshot(Rulebook.load(shop.folder), shop.folder, "hello")


def launched(shop: Shop, now: datetime = NOW, asked: LaunchOptions | None = None) -> Launched:
    plan.make_plan(shop.store, edition(shop), now, now)
    return launch.launch_plan(shop.store, edition(shop), now, now, asked)


def open_schedules(shop: Shop) -> list[schedule_diff.Scheduled]:
    with shop.store.read() as connection:
        return schedule_diff.compare_schedules(connection, shop.folder)


CHANGES = {
    "templates/hello/subject.txt": ("Another subject", "template 'hello'"),
    "rules/audiences/everyone.yaml": ("audience: everyone\nwho: {country: NO}\n", "audience 'everyone'"),
    "rules/audiences/inner.yaml": ("audience: inner\nwho: {country: NO}\n", "audience 'inner'"),
    "rules/topics.yaml": ("offers: {title: Offers, requires_consent: false}\n", "topic 'offers'"),
    "rules/senders.yaml": (project.FILES["rules/senders.yaml"].replace("1 Quay", "2 Quay"), "sender 'bay'"),
    "rules/company.yaml": ("brand: Bay Shop\ntime_zone: Europe/Oslo\nlink_hosts: [shop.example]\n", "company"),
    "rules/campaigns/hello.yaml": (
        project.CAMPAIGN.format(name="hello") + DAILY + "limits: {cap: {mails: 1, per: 7 days}}\n",
        "campaign file",
    ),
}
UNRELATED = {
    "rules/audiences/other.yaml": "audience: other\ndescription: Changed\nwho: {country: DK}\n",
    "rules/audiences/everyone.yaml": "# A comment\naudience: everyone\ndescription: Others\nwho:\n  audience: inner\n",
    "rules/audiences/new.yaml": "audience: new\nwho: {everyone: yes}\n",
    "rules/facts.yaml": "customer:\n  points: {type: number, help: Points}\n",
    "rules/guards.yaml": "- guard: no fish\n  customers: {country: SE}\n  never: {department: FISH}\n",
    "rules/topics.yaml": "offers: {title: Offers, help: Changed}\nnews: {title: News}\n",
    "templates/_base/unused.html": LAYOUT + "changed",
    "templates/other/body.html": "<p>Other</p>",
}


@pytest.mark.parametrize("path", CHANGES)
def test_what_the_campaign_uses_differs_by_its_name(shop: Shop, path: str) -> None:
    shop.campaign(more=DAILY)
    launched(shop)
    assert [item.current for item in open_schedules(shop)] == [True]
    text, name = CHANGES[path]
    write(shop, path, text)
    [item] = open_schedules(shop)
    assert name in item.differs
    assert "scheduled with the version of 2026-06-01" in item.words()
    assert f"the files differ now: {', '.join(item.differs)}" in item.words()
    assert "launch 'hello' --replace" in item.remedy()
    with pytest.raises(Refused, match=f"have changed since plan .*{name}"):
        launch.launch_plan(shop.store, edition(shop), NOW, NOW, REPLACE)


@pytest.mark.parametrize("path", UNRELATED)
def test_what_others_use_changes_neither_schedule_nor_plan(shop: Shop, path: str) -> None:
    shop.campaign(more=DAILY)
    planned = plan.make_plan(shop.store, edition(shop), NOW, NOW)
    write(shop, path, UNRELATED[path])
    assert plan.make_plan(shop.store, edition(shop), NOW, NOW).id == planned.id
    launch.launch_plan(shop.store, edition(shop), NOW, NOW)
    assert [item.current for item in open_schedules(shop)] == [True]


def test_the_same_version_has_the_same_plan_id_in_any_process(shop: Shop) -> None:
    whole = edition(shop_with(shop))
    with shop.store.read() as connection:
        assert plan.plan_id_of(connection, whole, NOW) == plan.plan_id_of(connection, editions.thaw(whole.body), NOW)


def shop_with(shop: Shop) -> Shop:
    shop.campaign(more=DAILY)
    return shop


def test_a_campaign_whose_file_is_gone_or_invalid_is_reported(shop: Shop) -> None:
    shop.campaign(more=DAILY)
    launched(shop)
    path = shop.folder / "rules/campaigns/hello.yaml"
    text = path.read_text()
    for broken in ("campaign: [", text + "audience: 3", text.replace("everyone", "nobody")):
        path.write_text(broken)
        [item] = open_schedules(shop)
        assert "the files have errors now" in item.words()
    path.unlink()
    [item] = open_schedules(shop)
    assert item.words().endswith("the campaign's file is gone")
    assert "mailshot cancel 'hello'" in item.remedy()
    # It is sent all the same, as it was launched.
    assert len(schedules.launch_due(shop.store, SLOT)) == 1


def test_a_scheduled_campaign_without_its_file_is_reported_with_a_remedy(shop: Shop) -> None:
    shop.campaign(more=DAILY)
    launched(shop)
    rules = Rulebook.load(shop.folder)
    schedule_diff.refuse_gone(shop.store, rules, "hello")
    schedule_diff.refuse_gone(shop.store, rules, "another")
    (shop.folder / "rules/campaigns/hello.yaml").unlink()
    rules = Rulebook.load(shop.folder)
    with pytest.raises(NotFound, match="but it is scheduled with the version of 2026-06-01 05:00 EDT") as caught:
        schedule_diff.refuse_gone(shop.store, rules, "hello")
    assert caught.value.remedy == "It goes on sending that version; to end it: mailshot cancel 'hello'."
    with shop.store.write() as connection:
        runs.set_schedule(connection, "hello", ScheduleState.paused)
    with pytest.raises(NotFound) as caught:
        schedule_diff.refuse_gone(shop.store, rules, "hello")
    assert caught.value.remedy.startswith(
        "It is paused; to go on sending that version: mailshot resume 'hello'; to end it"
    )


def test_a_paused_schedule_with_another_version_does_not_go_on(shop: Shop) -> None:
    shop.campaign(more=DAILY)
    launched(shop)
    with shop.store.write() as connection:
        runs.set_schedule(connection, "hello", ScheduleState.paused)
    write(shop, "templates/hello/subject.txt", "Another subject")
    [item] = open_schedules(shop)
    assert "goes on" not in item.remedy()
    assert "mailshot resume 'hello'" in item.remedy()
    assert "launch 'hello' --replace" in item.remedy()


def test_replacing_takes_the_new_version_and_twice_is_harmless(shop: Shop) -> None:
    shop.campaign(more=DAILY)
    first = launched(shop)
    shop.campaign(more='schedule: {cron: "30 9 * * *"}\nrepeat: yes\n')
    with pytest.raises(Refused, match="already scheduled"):
        launched(shop)
    for _ in range(2):
        again = launched(shop, asked=REPLACE)
        assert (again.schedule_id, again.next_at) == (first.schedule_id, SLOT.replace(minute=30))
    assert again.unchanged
    assert [item.current for item in open_schedules(shop)] == [True]
    assert schedules.launch_due(shop.store, SLOT + timedelta(minutes=29)) == []
    assert len(schedules.launch_due(shop.store, SLOT + timedelta(minutes=31))) == 1


def test_a_slot_that_is_due_is_launched_once_with_the_new_version(shop: Shop) -> None:
    shop.campaign(more=DAILY)
    launched(shop)
    write(shop, "templates/hello/subject.txt", "New")
    late = SLOT + timedelta(minutes=5)  # the clock was down at nine
    assert launched(shop, late, REPLACE).next_at == SLOT
    [run_id] = schedules.launch_due(shop.store, late)
    assert schedules.launch_due(shop.store, late) == []
    with shop.store.read() as connection:
        run = runs.find_run(connection, run_id)
    assert run is not None
    assert run.definition == bodies.digest_body(edition(shop).body)


def test_a_slot_that_was_launched_is_not_launched_again_after_replacing(shop: Shop) -> None:
    shop.campaign(more=DAILY)
    launched(shop)
    assert len(schedules.launch_due(shop.store, SLOT)) == 1
    write(shop, "templates/hello/subject.txt", "New")
    # This host's clock is behind the one that launched the slot.
    assert launched(shop, SLOT - timedelta(seconds=3), REPLACE).next_at == SLOT + timedelta(days=1)
    assert schedules.launch_due(shop.store, SLOT + timedelta(seconds=1)) == []


def test_replacing_a_paused_schedule_leaves_it_paused(shop: Shop) -> None:
    shop.campaign(more=DAILY)
    launched(shop)
    with shop.store.write() as connection:
        runs.set_schedule(connection, "hello", ScheduleState.paused)
    write(shop, "templates/hello/subject.txt", "New")
    assert launched(shop, asked=REPLACE).paused
    assert schedules.launch_due(shop.store, SLOT) == []
    assert [item.state for item in open_schedules(shop)] == [ScheduleState.paused]


def test_a_campaign_that_is_now_launched_at_once_ends_its_schedule(shop: Shop) -> None:
    shop.campaign(more=DAILY)
    launched(shop)
    shop.campaign()
    with pytest.raises(Refused, match="already scheduled"):
        launched(shop)
    begun = launched(shop, asked=REPLACE)
    assert (begun.mails, begun.replaced) == (3, True)
    assert open_schedules(shop) == []
    with pytest.raises(Refused):
        launched(shop, asked=REPLACE)


def test_nothing_is_replaced_that_is_not_scheduled(shop: Shop) -> None:
    shop.campaign(more=DAILY)
    with pytest.raises(Refused, match="not scheduled"):
        launched(shop, asked=REPLACE)
    assert open_schedules(shop) == []


def at_once(*acts: Callable[[], object]) -> list[object]:
    ready = threading.Barrier(len(acts))

    def act_once(act: Callable[[], object]) -> object:
        ready.wait(30)
        try:
            return act()
        except Refused as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(act_once, acts))


def test_launches_at_once_make_one_schedule(shop: Shop) -> None:
    shop.campaign(more=DAILY)
    plan.make_plan(shop.store, edition(shop), NOW, NOW)
    whole = edition(shop)
    results = at_once(*[lambda: launch.launch_plan(shop.store, whole, NOW, NOW)] * 4)
    assert sum(isinstance(result, Refused) for result in results) == 3
    assert len(open_schedules(shop)) == 1


def test_replacing_while_the_clock_ticks_launches_each_slot_once(shop: Shop) -> None:
    shop.campaign(more=DAILY)
    launched(shop)
    for day in range(4):
        moment = SLOT + timedelta(days=day)
        write(shop, "templates/hello/subject.txt", f"New {day}")
        whole = edition(shop)
        plan.make_plan(shop.store, whole, moment, moment)
        tick, replace = (
            lambda moment=moment: schedules.launch_due(shop.store, moment),
            lambda whole=whole, moment=moment: launch.launch_plan(shop.store, whole, moment, moment, REPLACE),
        )
        at_once(tick, replace, tick)
        schedules.launch_due(shop.store, moment)
        with shop.store.read() as connection:
            slots = [run.slot for run in runs.runs_of(connection, "hello")]
        assert sorted(slots) == [SLOT + timedelta(days=number) for number in range(day + 1)]
        assert len(open_schedules(shop)) == 1
