"""Checks `repeat`: who gets a campaign again in a later run, launched manually or by the clock, on both databases."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from mailshot.campaign import explain, launch, plan, schedules
from mailshot.errors import InvalidInput, Refused
from mailshot.facts.periods import Span
from mailshot.rulebook.rulebook import Rulebook
from mailshot.states import DeliveryState, Reason, RunState
from mailshot.store import dialect, ledger, runs, tables
from mailshot.store import snapshots as bodies
from mailshot.store.engine import Store
from tests.support import project
from tests.support.project import Shop

ZONE = ZoneInfo("America/New_York")
DAY = timedelta(days=1)
BEGIN = datetime(2026, 10, 26, 12, tzinfo=UTC)  # the clocks go back on 1 November
DELIVERY, RUN = dialect.table(tables.Delivery), dialect.table(tables.Run)
FACTS = 'customer:\n  born: {type: date, help: "Date of birth"}\n'
BIRTHDAYS = "audience: birthdays\nwho: {born: {anniversary_in: 7 days}}\n"
DAILY = 'schedule: {cron: "0 9 * * *"}\n'


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop.open(store, tmp_path, more={"rules/facts.yaml": FACTS, "rules/audiences/birthdays.yaml": BIRTHDAYS})


def birthday_campaign(shop: Shop, more: str) -> None:
    """Write the campaign of the birthday mail, plan it and launch its schedule."""
    path = shop.folder / "rules" / "campaigns" / "birthday.yaml"
    shop.campaign("birthday")
    path.write_text(path.read_text().replace("audience: everyone", "audience: birthdays") + more)
    edition = explain.snapshot.take_snapshot(Rulebook.load(shop.folder), shop.folder, "birthday")
    plan.make_plan(shop.store, edition, BEGIN, BEGIN)
    launch.launch_plan(shop.store, edition, BEGIN, BEGIN)


def settle(shop: Shop, now: datetime, state: DeliveryState = DeliveryState.sent) -> None:
    """Let every waiting mail go out, and finish the runs."""
    with shop.store.write() as connection:
        waiting = DELIVERY.update().where(DELIVERY.c.state == "pending")
        connection.execute(waiting.values(state=str(state), dotted_at=now, settled_at=now))
        ledger.finish_runs(connection, now)


def tick_daily(shop: Shop, days: int, state: DeliveryState = DeliveryState.sent) -> Counter[str]:
    """Let the clock tick every hour of so many days while mails go out; return how many each customer got."""
    for hour in range(days * 24):
        now = BEGIN + timedelta(hours=hour, minutes=1)
        schedules.launch_due(shop.store, now)
        settle(shop, now + timedelta(minutes=7), state)
    customer = dialect.table(tables.Customer)
    mailed = select(customer.c.key).join(DELIVERY, DELIVERY.c.customer_id == customer.c.id)
    with shop.store.read() as connection:
        return Counter(connection.scalars(mailed.where(DELIVERY.c.reason.is_(None))))


def born(day: datetime) -> dict[str, object]:
    return {"facts": {"born": f"1980-{day:%m-%d}"}}


@pytest.mark.parametrize("repeat", ["no", "after 300 days"])
@pytest.mark.parametrize("state", [DeliveryState.sent, DeliveryState.unconfirmed])
def test_a_birthday_mail_reaches_each_customer_once(shop: Shop, repeat: str, state: DeliveryState) -> None:
    days = range(-2, 20)
    shop.add([project.person(f"b{n}", f"b{n}@mail.example") | born(BEGIN + n * DAY) for n in days])
    birthday_campaign(shop, f"{DAILY}repeat: {repeat}\n")
    mailed = tick_daily(shop, 10, state)
    # From the first morning on and seven days ahead on the tenth: each once.
    assert mailed == Counter({f"b{n}": 1 for n in range(17)})
    with shop.store.read() as connection:
        assert len(runs.runs_of(connection, "birthday")) == 10


def test_repeat_yes_is_in_every_run(shop: Shop) -> None:
    shop.add([project.person("a", "a@mail.example") | born(BEGIN + 8 * DAY)])
    birthday_campaign(shop, DAILY + "repeat: yes\n")
    assert tick_daily(shop, 10) == Counter({"a": 8})


@pytest.mark.parametrize(("gap", "times"), [("1 day", 8), ("2 days", 4), ("3 days", 3), ("1 week", 2), ("8 days", 1)])
def test_a_gap_counts_days_in_local_time(shop: Shop, gap: str, times: int) -> None:
    shop.add([project.person("a", "a@mail.example") | born(BEGIN + 8 * DAY)])
    birthday_campaign(shop, f"{DAILY}repeat: after {gap}\n")
    assert tick_daily(shop, 10) == Counter({"a": times})


@pytest.mark.parametrize("state", [DeliveryState.refused, DeliveryState.skipped])
def test_customers_without_a_mail_have_not_received_it(shop: Shop, state: DeliveryState) -> None:
    shop.add(project.people(1))
    edition = shop.campaign(more="repeat: no\n")
    shop.launch(edition, BEGIN)
    settle(shop, BEGIN, state)
    assert planned(shop, edition, BEGIN + DAY) == {}


def planned(shop: Shop, edition: plan.Snapshot, now: datetime) -> dict[str, int]:
    """Return whom a plan leaves out."""
    return dict(plan.make_plan(shop.store, edition, now, now).left_out)


RECEIVED = {str(Reason.already_received): 1}


def test_repeat_means_the_same_without_cron(shop: Shop) -> None:
    shop.add(project.people(1))
    edition = shop.campaign(more="repeat: after 10 days\n")
    shop.launch(edition, BEGIN)
    settle(shop, BEGIN + timedelta(minutes=5))
    for days in (1, 9):
        assert planned(shop, edition, BEGIN + days * DAY) == RECEIVED
    assert planned(shop, edition, BEGIN + 10 * DAY) == RECEIVED  # an hour less, since the clocks went back
    assert planned(shop, edition, BEGIN + 10 * DAY + timedelta(hours=1)) == {}
    assert planned(shop, shop.campaign(more="repeat: no\n"), BEGIN + 5000 * DAY) == RECEIVED
    assert planned(shop, shop.campaign(more="repeat: yes\n"), BEGIN + DAY) == {}


def test_a_mail_that_still_waits_counts_however_old_its_run(shop: Shop) -> None:
    shop.add(project.people(1))
    edition = shop.campaign(more="repeat: after 7 days\n")
    run_id = shop.launch(edition, BEGIN)
    with shop.store.write() as connection:
        runs.move_run(connection, run_id, RunState.paused, BEGIN)
    assert planned(shop, edition, BEGIN + 20 * DAY) == RECEIVED
    settle(shop, BEGIN + 20 * DAY)
    # It went out twenty days late: the gap counts from then.
    assert planned(shop, edition, BEGIN + 21 * DAY) == RECEIVED
    assert planned(shop, edition, BEGIN + 28 * DAY) == {}


def test_explain_agrees_with_the_plan(shop: Shop) -> None:
    shop.add(project.people(1))
    edition = shop.campaign(more="repeat: after 10 days\n")
    shop.launch(edition, BEGIN)
    settle(shop, BEGIN)
    for days, passes in ((3, False), (11, True)):
        now = BEGIN + days * DAY
        reasons = planned(shop, edition, now)
        checks = {check.name: check for check in explain.explain_campaign(shop.store, edition, "c1", now).checks}
        assert checks["first time"].passes is passes
        assert (reasons == {}) is passes
    assert "repeat: after 10 days" in _failed(shop, edition)


def _failed(shop: Shop, edition: plan.Snapshot) -> str:
    explanation = explain.explain_campaign(shop.store, edition, "c1", BEGIN + DAY)
    return "".join(check.remedy for check in explanation.obstacles())


@pytest.mark.parametrize("schedule", [DAILY, 'schedule:\n  cron: "0 9 * * MON"\n'])
def test_a_recurring_campaign_must_say_whether_it_repeats(shop: Shop, schedule: str) -> None:
    path = shop.folder / "rules" / "campaigns" / "hello.yaml"
    shop.campaign()
    path.write_text(path.read_text() + schedule)
    rules = Rulebook.load(shop.folder)
    [problem] = rules.check()
    line = path.read_text().splitlines().index(schedule.splitlines()[0]) + 1
    assert (problem.file, problem.line - schedule.startswith("schedule:\n")) == ("rules/campaigns/hello.yaml", line)
    for way in ("'repeat: no'", "'repeat: yes'", "'repeat: after 300 days'"):
        assert way in problem.remedy
    with pytest.raises(InvalidInput, match="does not say whether"):
        rules.campaign("hello")


def test_a_schedule_launched_before_it_had_to_say_so_goes_on(shop: Shop) -> None:
    shop.add(project.people(2))
    edition = shop.campaign(more=DAILY + "repeat: yes\n")
    plan.make_plan(shop.store, edition, BEGIN, BEGIN)
    launch.launch_plan(shop.store, edition, BEGIN, BEGIN)
    rules = {name: text.replace("repeat: yes\n", "") for name, text in edition.body["rules"].items()}
    schedule = dialect.table(tables.Schedule)
    with shop.store.write() as connection:
        older = bodies.store_body(connection, "campaign", {**edition.body, "rules": rules})
        connection.execute(schedule.update().values(definition=older))
    assert tick_daily(shop, 3) == Counter({"c1": 3, "c2": 3})


def test_a_plan_fails_while_repeat_is_missing(shop: Shop) -> None:
    with pytest.raises((InvalidInput, Refused)):
        shop.launch(shop.campaign(more=DAILY))


@pytest.mark.parametrize(
    ("text", "means"),
    [("yes", True), ("true", True), ("no", False), ("False", False), ("After 300 days", Span(300, "day")),
     ("'after 1 year'", Span(1, "year")), ("after  2 weeks ", Span(2, "week"))],
)  # fmt: skip
def test_it_is_written_in_three_ways(shop: Shop, text: str, means: bool | Span) -> None:
    assert shop.campaign(more=f"repeat: {text}\n").read.campaign.repeat == means
