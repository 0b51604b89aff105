"""Checks what a plan decides, that a launch is exactly the plan, and what the clock does with schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from mailshot.campaign import control, explain, launch, plan, preview, schedules
from mailshot.campaign.launch import Launched
from mailshot.errors import InvalidInput, NotFound, Refused
from mailshot.states import Reason, RunState
from mailshot.store import consent, dialect, plans, runs, tables
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing
from tests.support import answers, campaigns
from tests.support.campaigns import NOW, WEEK, add, buy, edition, everybody, open_shop, planned, state, write
from tests.support.project import KEYS, Shop

DAY = timedelta(days=1)


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return open_shop(store, tmp_path / "shop")


def launched(
    shop: Shop, now: datetime = NOW, plan_id: str | None = None, asked: launch.LaunchOptions | None = None
) -> Launched:
    return launch.launch_plan(shop.store, edition(shop), now, now, asked or plan_id)


def ledger(shop: Shop) -> dict[int, tuple[str, str | None, str | None]]:
    """Return (state, content, reason) of every delivery of the newest run."""
    table = dialect.table(tables.Delivery)
    with shop.store.read() as connection:
        run_id = runs.runs_of(connection, "week")[0].id
        rows = connection.execute(select(table).where(table.c.run_id == run_id)).mappings()
        return {row["customer_id"]: (row["state"], row["content"], row["reason"]) for row in rows}


def rows(shop: Shop, plan_id: str) -> dict[int, Any]:
    table = dialect.table(tables.PlanRow)
    with shop.store.read() as connection:
        plan_rows = connection.execute(select(table).where(table.c.plan_id == plan_id)).mappings()
        return {row["customer_id"]: dict(row) for row in plan_rows}


def everything(store: Store) -> dict[str, list[Any]]:
    with store.read() as connection:
        known = dialect.table(tables.Run).metadata.sorted_tables
        return {table.name: sorted(map(repr, connection.execute(select(table)))) for table in known}


def test_each_customer_is_left_out_for_the_expected_reason(shop: Shop) -> None:
    who = everybody(shop)
    made = planned(shop)
    decided = rows(shop, made.id)
    reasons = {name: decided[number]["reason"] for name, number in who.items()}
    expected = {str(reason): str(reason) for reason in Reason if str(reason) in who}
    assert reasons == {**expected, "never asked": "no consent", "meat": None, "green": None}
    assert len(expected) == 9
    assert made.left_out == {"no consent": 2, **{name: 1 for name in expected if name != "no consent"}}
    assert made.contents == {"meat": 1, "green": 1}
    assert (made.customers, made.audience, made.mails) == (12, 12, 2)


def test_plan_rows_and_ledger_rows_are_the_same(shop: Shop) -> None:
    everybody(shop)
    made = planned(shop)
    begun = launched(shop)
    states = {None: "pending", "holdout": "holdout"}
    expected = {
        customer: (states.get(row["reason"], "skipped"), row["content"], row["reason"])
        for customer, row in rows(shop, made.id).items()
    }
    assert ledger(shop) == expected
    assert begun.mails == made.mails == sum(delivery[0] == "pending" for delivery in expected.values())


def test_own_favourites_come_first_then_what_others_buy_and_nothing_twice(shop: Shop) -> None:
    write(shop, "rules/campaigns/week.yaml", WEEK.replace("take: 2, at_least: 1, fill: no", "take: 3"))
    mine, other = add(shop, "a", country="SE"), add(shop, "b", country="SE")
    buy(shop.store, mine, {3: 2})
    buy(shop.store, other, {2: 4, 1: 1})
    decided = rows(shop, planned(shop).id)
    assert decided[mine]["offers"] == [[3, 2], [1, 0], [2, 0]]
    assert decided[other]["offers"] == [[2, 4], [1, 1], [3, 0]]
    assert decided == rows(shop, planned(shop).id)


def test_a_guard_holds_for_favourites_and_for_what_others_buy(shop: Shop) -> None:
    picks = "{products: {any_of: [{department: GREEN}, {department: MEAT}]}, take: 6, at_least: 1}"
    text = WEEK.replace("{products: {department: GREEN}, take: 2, at_least: 1, fill: no}", picks)
    write(shop, "rules/campaigns/week.yaml", text)
    guarded, free = add(shop, "a", country="SE"), add(shop, "b", country="SE")
    state(shop.store, guarded, "vegetarian")
    buy(shop.store, guarded, {4: 9, 1: 1})
    buy(shop.store, free, {4: 2, 5: 1, 2: 1})
    decided = rows(shop, planned(shop).id)
    assert decided[guarded]["offers"] == [[1, 1], [2, 0]]
    assert decided[free]["offers"] == [[4, 2], [2, 1], [5, 1], [1, 0]]


def test_an_offer_that_the_customer_has_ruled_out_since_the_plan_is_explained(shop: Shop) -> None:
    picks = "{products: {any_of: [{department: GREEN}, {department: MEAT}]}, take: 6, at_least: 1}"
    write(
        shop,
        "rules/campaigns/week.yaml",
        WEEK.replace("{products: {department: GREEN}, take: 2, at_least: 1, fill: no}", picks),
    )
    who = add(shop, "a", country="SE")
    buy(shop.store, who, {4: 9, 1: 1})
    planned(shop)
    before = explain.explain_campaign(shop.store, edition(shop), "a", NOW).offers
    assert [(offer.key, offer.forbidding) for offer in before] == [("P4", ()), ("P1", ())]
    state(shop.store, who, "vegetarian")
    meat, green = explain.explain_campaign(shop.store, edition(shop), "a", NOW).offers
    assert meat.words().endswith("; now forbidden by no meat to vegetarians")
    assert green.words().endswith("; allowed by no meat to vegetarians")


def test_held_out_customers_would_have_been_offered_something(shop: Shop) -> None:
    """Otherwise those without offers stay among the held out only, and the comparison is unfair."""
    with_offers, without = add(shop, "a", held=True, country="SE"), add(shop, "b", held=True, country="SE")
    buy(shop.store, with_offers, {1: 1})
    decided = rows(shop, planned(shop).id)
    assert (decided[with_offers]["reason"], decided[without]["reason"]) == ("holdout", "no offers")


def test_planning_twice_is_one_plan(shop: Shop) -> None:
    everybody(shop)
    first, second = planned(shop), planned(shop, NOW + timedelta(minutes=5))
    assert first.id == second.id
    assert second.changes == {"entered": 0, "left": 0, "changed": 0}


CHANGES = {
    "rules/campaigns/week.yaml": WEEK + "description: changed\n",
    "templates/hello/subject.txt": "Another subject",
    "rules/audiences/all.yaml": "audience: all\nwho: {consent: offers}\n",
}


@pytest.mark.parametrize("path", CHANGES)
def test_what_changed_since_the_plan_is_not_launched(shop: Shop, path: str) -> None:
    everybody(shop)
    planned(shop)
    write(shop, path, CHANGES[path])
    before = everything(shop.store)
    with pytest.raises(Refused, match="have changed since plan"):
        launched(shop)
    assert everything(shop.store) == before


def test_only_the_current_plan_is_launched_and_only_once(shop: Shop) -> None:
    everybody(shop)
    with pytest.raises(Refused, match="has not been planned"):
        launched(shop)
    made = planned(shop)
    with pytest.raises(Refused, match="is not the current plan"):
        launched(shop, plan_id="0123456789ab")
    launched(shop, plan_id=made.id)
    with pytest.raises(Refused, match="already launched"):
        launched(shop)
    again = planned(shop)
    assert again.id != made.id
    assert again.mails == 0
    assert again.left_out["already received"] == 3


def test_a_plan_of_another_day_is_not_launched(shop: Shop) -> None:
    everybody(shop)
    planned(shop, NOW - 2 * DAY)
    with pytest.raises(Refused, match="which is not today"):
        launched(shop)


def test_changes_since_the_last_plan(shop: Shop) -> None:
    stays, leaves, moves = (add(shop, key, country="NO") for key in "abc")
    buy(shop.store, moves, {1: 1})
    planned(shop)
    customer = dialect.table(tables.Customer)
    with shop.store.write() as connection:
        connection.execute(customer.update().where(customer.c.id == leaves).values(country="DK"))
        connection.execute(customer.update().where(customer.c.id == moves).values(country="SE"))
    comes = add(shop, "d", country="NO")
    write(shop, "templates/hello/subject.txt", "News")
    assert planned(shop, NOW + timedelta(hours=1)).changes == {"entered": 1, "left": 1, "changed": 1}
    assert stays
    assert comes


def test_a_correction_moves_the_content_of_the_next_plan(shop: Shop) -> None:
    veg = WEEK.replace('{country: "NO"}', "{preference: {diet: everything}}").replace(
        "{country: SE}", "{everyone: yes}"
    )
    write(shop, "rules/campaigns/week.yaml", veg)
    who = add(shop, "a")
    buy(shop.store, who, {1: 1})
    assert rows(shop, planned(shop).id)[who]["content"] == "green"
    state(shop.store, who, "everything")
    made = planned(shop)
    assert rows(shop, made.id)[who]["content"] == "meat"


def test_explain_says_what_the_plan_decided(shop: Shop) -> None:
    who = everybody(shop)
    made = planned(shop)
    keys = dict(zip(who, "abcdefghijkl", strict=True))
    for name, row in ((name, rows(shop, made.id)[number]) for name, number in who.items()):
        explanation = explain.explain_campaign(shop.store, edition(shop), keys[name], NOW)
        assert (explanation.plan, explanation.content, explanation.reason) == (made.id, row["content"], row["reason"])
        assert (row["reason"] or row["content"] or "") in explanation.outcome()
        assert explanation.guards["no meat to vegetarians"].holds is (name == "guard")
        assert [offer.key for offer in explanation.offers] == [f"P{product}" for product, _ in row["offers"] or []]
        assert explanation.as_dict()["outcome"] == explanation.outcome()


@pytest.mark.parametrize("people", [0, 1])
def test_few_are_planned_and_launched_like_many(shop: Shop, people: int) -> None:
    for number in range(people):
        add(shop, f"a{number}", country="NO")
    assert planned(shop).mails == people
    if not people:
        with pytest.raises(Refused, match="No customer would get a mail of 'week': the audience is empty"):
            launched(shop)
    assert launched(shop, asked=launch.LaunchOptions(even_if_empty=not people)).mails == people


def test_a_preview_is_the_mail_of_the_plan(shop: Shop) -> None:
    everybody(shop)
    planned(shop)
    key = preview.sample_customer(shop.store, edition(shop))
    assert key == "k"
    letter = preview.write_preview(shop.store, edition(shop), key, KeyRing.parse(KEYS), "http://127.0.0.1", NOW)
    assert letter.rendered.subject == "Hello Ann k"
    with pytest.raises(Refused, match="left out: guard"):
        preview.write_preview(shop.store, edition(shop), "f", KeyRing.parse(KEYS), "http://127.0.0.1", NOW)


BROKEN = {
    "lint": ("body.html", "<p>Dear {{ customer.first_name }}</p>", "There is no link to unsubscribe"),
    "sample": (
        "subject.txt",
        "Hello {{ customer.first_name | int + 1 // (customer.key | length - 1) }}",
        "1 of 1 samples",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_plan_with_errors_is_not_launched_until_they_are_fixed(shop: Shop, what: str) -> None:
    file, text, message = BROKEN[what]
    add(shop, "k", country="NO")
    sound = (shop.folder / "templates/hello" / file).read_text(encoding="utf-8")
    write(shop, f"templates/hello/{file}", text)
    made = planned(shop)
    assert any(message in error for error in made.errors), made.errors
    assert "templates/hello/" in " ".join(made.errors)
    with shop.store.read() as connection:
        kept = plans.find_plan(connection, made.id)
    assert kept is not None
    assert kept.errors == made.errors
    with pytest.raises(Refused, match="has errors"):
        launched(shop)
    write(shop, f"templates/hello/{file}", sound)
    assert planned(shop).errors == ()
    assert launched(shop).mails == 1


def test_errors_of_samples_say_nothing_of_the_customer(shop: Shop) -> None:
    add(shop, "k", country="NO", first_name="Rosalinde", last_name="https://O'Hara.example/x")
    add(shop, "l", country="SE", first_name="Wilhelm", last_name='https://O"Neill.example/x')
    body = (shop.folder / "templates/hello/body.html").read_text(encoding="utf-8")
    write(shop, "templates/hello/body.html", body.replace("https://shop.example/new", "{{ customer.last_name }}"))
    errors = " ".join(planned(shop).errors)
    write(shop, "templates/hello/subject.txt", "{{ customer.first_name + 1 }}")
    write(shop, "templates/hello/body.html", body)
    errors += " ".join(planned(shop).errors)
    assert errors.count("samples cannot be rendered: templates/hello/") == 2
    for private in ("Rosalinde", "Wilhelm", "Hara", "Neill"):
        assert private not in errors


def test_one_unusual_address_does_not_prevent_a_campaign(shop: Shop) -> None:
    add(shop, "k", country="NO", email="j\u00f8rn@mail.example")
    add(shop, "l", country="NO")
    assert planned(shop).errors == ()
    assert launched(shop).mails == 1


def scheduled(shop: Shop, schedule: str) -> None:
    repeat = "repeat: yes\n" if "cron" in schedule else ""
    write(shop, "rules/campaigns/week.yaml", f"{WEEK}schedule: {schedule}\n{repeat}")


def test_a_moment_that_has_passed_is_rejected_with_its_place(shop: Shop) -> None:
    scheduled(shop, "{at: 2026-05-01 09:00}")
    for attempt in (planned, launched):
        with pytest.raises(InvalidInput) as caught:
            attempt(shop)
        (problem,) = caught.value.problems
        assert (problem.file, problem.line, problem.column) == ("rules/campaigns/week.yaml", 12, 16)
        assert problem.message == "this moment has passed"


def test_a_future_moment_is_launched_once_by_the_clock(shop: Shop) -> None:
    scheduled(shop, "{at: 2026-06-01 18:00}")  # 22:00 UTC in New York
    everybody(shop)
    made = planned(shop)
    assert made.next_at == NOW.replace(hour=22)
    begun = launched(shop)
    assert (begun.run_id, begun.next_at) == (None, NOW.replace(hour=22))
    with pytest.raises(Refused, match="already scheduled"):
        launched(shop)
    assert schedules.launch_due(shop.store, NOW.replace(hour=21, minute=59)) == []
    assert len(schedules.launch_due(shop.store, NOW.replace(hour=22, minute=1))) == 1
    assert schedules.launch_due(shop.store, NOW.replace(hour=22, minute=2)) == []
    assert sum(delivery[0] == "pending" for delivery in ledger(shop).values()) == made.mails
    explanation = explain.explain_campaign(shop.store, edition(shop), "k", NOW)
    assert (explanation.content, len(explanation.deliveries)) == ("meat", 1)


def test_a_weekly_schedule_launches_each_slot_once_in_local_time(shop: Shop) -> None:
    scheduled(shop, '{cron: "0 9 * * MON"}')
    add(shop, "a", country="NO")
    monday = NOW.replace(hour=13)  # 9 o'clock in New York in summer
    assert planned(shop, NOW).next_at == monday
    launched(shop, NOW)
    began = [schedules.launch_due(shop.store, NOW + timedelta(hours=hours)) for hours in range(0, 24 * 22, 2)]
    assert [len(run_ids) for run_ids in began if run_ids] == [1, 1, 1, 1]
    with shop.store.read() as connection:
        slots = [run.slot for run in runs.runs_of(connection, "week")]
    assert slots == [monday + timedelta(days=days) for days in (21, 14, 7, 0)]


def test_a_slot_long_past_is_skipped(shop: Shop) -> None:
    scheduled(shop, '{cron: "0 9 * * MON"}')
    planned(shop)
    launched(shop)
    assert schedules.launch_due(shop.store, NOW + timedelta(days=3)) == []
    with shop.store.read() as connection:
        (waiting,) = runs.schedules(connection, "week")
    assert waiting.next_at == NOW.replace(hour=13) + timedelta(days=7)


def test_the_clock_uses_the_rules_of_the_launch(shop: Shop) -> None:
    scheduled(shop, '{cron: "0 9 * * MON"}')
    everybody(shop)
    made = planned(shop)
    launched(shop)
    write(shop, "rules/audiences/all.yaml", "audience: all\nwho: {country: XX}\n")
    assert len(schedules.launch_due(shop.store, NOW.replace(hour=13))) == 1
    # 'week' repeats every Monday, so who had it before may have it again.
    assert made.contents == {"meat": 2, "green": 1}
    assert len(ledger(shop)) == 12


def test_pause_resume_and_cancel(shop: Shop) -> None:
    everybody(shop)
    planned(shop)
    launched(shop)
    assert len(control.set_state(shop.store, "week", RunState.paused, NOW).runs) == 1
    with pytest.raises(Refused, match="no run or schedule"):
        control.set_state(shop.store, "week", RunState.paused, NOW)
    assert len(control.set_state(shop.store, "week", RunState.running, NOW).runs) == 1
    ended = control.set_state(shop.store, "week", RunState.cancelled, NOW)
    assert (len(ended.runs), ended.given_up) == (1, 2)
    assert not [delivery for delivery in ledger(shop).values() if delivery[0] == "pending"]
    for to in (RunState.running, RunState.paused, RunState.cancelled):
        with pytest.raises(Refused):
            control.set_state(shop.store, "week", to, NOW)


def test_the_clock_skips_a_paused_schedule(shop: Shop) -> None:
    scheduled(shop, '{cron: "0 9 * * MON"}')
    planned(shop)
    launched(shop)
    assert control.set_state(shop.store, "week", RunState.paused, NOW).schedules == 1
    assert schedules.launch_due(shop.store, NOW.replace(hour=14)) == []
    assert control.set_state(shop.store, "week", RunState.running, NOW).schedules == 1
    assert len(schedules.launch_due(shop.store, NOW.replace(hour=14))) == 1
    control.set_state(shop.store, "week", RunState.cancelled, NOW)
    assert schedules.launch_due(shop.store, NOW + timedelta(days=7, hours=5)) == []


def test_old_plans_leave_no_rows_behind(shop: Shop) -> None:
    scheduled(shop, '{cron: "0 9 * * *"}')
    add(shop, "a", country="NO")
    planned(shop)
    launched(shop)
    for days in range(5):
        assert len(schedules.launch_due(shop.store, NOW.replace(hour=13) + days * DAY)) == 1
    table = dialect.table(tables.PlanRow)
    with shop.store.read() as connection:
        assert len(connection.execute(select(table.c.plan_id).distinct()).all()) == 2


def test_an_address_that_we_cannot_send_to_is_left_out_and_explained(shop: Shop) -> None:
    jurgen = add(shop, "j", email="jürgen@mail.example", country="NO")
    idn = add(shop, "k", email="jorgen@xn--mnchen-3ya.example", country="NO")
    made = planned(shop)
    assert [rows(shop, made.id)[customer_id]["reason"] for customer_id in (jurgen, idn)] == [
        "unsupported address",
        None,
    ]
    explanation = explain.explain_campaign(shop.store, edition(shop), "j", NOW)
    assert [check.name for check in explanation.obstacles()] == ["address"]
    assert "SMTPUTF8" in explanation.obstacles()[0].remedy


def test_the_fixed_today_is_part_of_the_plan(shop: Shop) -> None:
    write(
        shop, "rules/company.yaml", "time_zone: America/New_York\nas_of: 2026-05-01 09:00\nlink_hosts: [shop.example]\n"
    )
    add(shop, "a", country="NO")
    first = plan.make_plan(shop.store, edition(shop), NOW - DAY, NOW)
    second = plan.make_plan(shop.store, edition(shop), NOW, NOW)
    assert first.id != second.id
    assert campaigns.planned(shop).id == second.id


def test_explain_lists_every_check_and_what_would_have_to_change(shop: Shop) -> None:
    who = everybody(shop)
    made = planned(shop)
    keys = dict(zip(who, "abcdefghijkl", strict=True))
    decided = {
        "no address": "address", "suppressed": "suppression", "no consent": "consent to 'offers'", "guard": "guards",
        "no content": "content", "already received": "first time", "frequency cap": "frequency cap",
        "holdout": "holdout",
    }  # fmt: skip
    for name, number in who.items():
        row = rows(shop, made.id)[number]
        explanation = explain.explain_campaign(shop.store, edition(shop), keys[name], NOW)
        failing = [check.name for check in explanation.obstacles()]
        assert failing[:1] == ([decided[row["reason"]]] if row["reason"] in decided else [])
        assert all(check.remedy for check in explanation.obstacles())


def test_explain_shows_a_run_by_the_data_of_that_time(shop: Shop) -> None:
    who = everybody(shop)
    planned(shop)
    begun = launched(shop)
    assert begun.run_id is not None
    keys = dict(zip(who, "abcdefghijkl", strict=True))
    before = {name: explain.explain_run(shop.store, "week", begun.run_id, keys[name]) for name in who}
    write(shop, "rules/audiences/all.yaml", "audience: all\nwho: {country: XX}\n")
    with shop.store.write() as connection:
        for number in who.values():
            later = datetime.now(UTC) + timedelta(days=1)
            consent.record_consent(connection, number, "offers", False, later, "page")
            answers.say(connection, number, "diet", "vegetarian", later, "unsaid" if number == who["guard"] else "yes")
    for name in who:
        explanation = explain.explain_run(shop.store, "week", begun.run_id, keys[name])
        assert explanation == before[name]
        assert str(begun.run_id) in explanation.outcome()
    with pytest.raises(NotFound, match="no run 99 of 'week'"):
        explain.explain_run(shop.store, "week", 99, "a")
