"""Checks conversions: an order or event within a campaign's goal is credited to one mail, in any order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlmodel import select

from mailshot.campaign import conversions
from mailshot.errors import InvalidInput
from mailshot.insight import report
from mailshot.rulebook.rulebook import Rulebook
from mailshot.states import FeedbackClass, FeedbackKind
from mailshot.store import audiences, dialect, feedback, ledger, privacy, purchase_totals, tables
from mailshot.store import conversions as rows
from mailshot.store.engine import Store
from mailshot.store.feedback import FeedbackEvent
from tests.support.campaigns import insert
from tests.support.project import Shop

SENT = datetime(2026, 6, 1, 9, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)
HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
GREEN, MEAT = 1, 4
EVENTS = "event: {redeemed: {facts: {coupon: {type: text}}}, viewed: {}}\n"
GOAL = "goal: {products: {department: GREEN}, within: 14 days}\n"


class Field:
    """A shop with a few customers, and what happens to them."""

    def __init__(self, store: Store, folder: Path, customers: int = 3, company: str = "") -> None:
        files = {"rules/facts.yaml": EVENTS} | ({"rules/company.yaml": company} if company else {})
        self.shop, self.store = Shop.open(store, folder, customers, files), store
        self.orders = count(1)
        products = [
            {"id": n, "key": f"P{n}", "department": "GREEN" if n < MEAT else "MEAT", "known": True, "facts": {}}
            for n in range(1, 6)
        ]
        insert(store, tables.Product, products)

    def mail(self, name: str = "week", goal: str = GOAL, at: datetime = SENT, to: Iterable[int] | None = None,
             state: str = "sent", **run: Any) -> int:  # fmt: skip
        """Launch a campaign and let its mails leave at once, to some customers or to all."""
        run_id = self.shop.launch(self.shop.campaign(name, goal + "repeat: yes\n"), at)
        run_table, delivery = dialect.table(tables.Run), dialect.table(tables.Delivery)
        with self.store.write() as connection:
            if run:
                connection.execute(run_table.update().where(run_table.c.id == run_id).values(**run))
            mine = delivery.update().where(delivery.c.run_id == run_id)
            connection.execute(mine.values(state="holdout"))
            some = mine if to is None else mine.where(delivery.c.customer_id.in_(list(to)))
            real = run.get("launched_at", at)
            connection.execute(some.values(state=state, dotted_at=real, settled_at=real))
            ledger.finish_runs(connection, real)
        return run_id

    def buy(self, customer: int, at: datetime, product: int = GREEN, order: str = "", quantity: int = 1) -> str:
        key = order or f"o{next(self.orders)}"
        line = {"customer_id": customer, "order_key": key, "product_id": product, "at": at, "channel": None,
                "nth": 1 + (quantity < 0), "quantity": Decimal(quantity), "amount": Decimal(quantity)}  # fmt: skip
        with self.store.write() as connection:
            connection.execute(dialect.table(tables.Purchase).insert(), line)
            purchase_totals.refresh(connection, [customer])
        return key

    def do(self, customer: int, at: datetime, name: str = "redeemed", product: int | None = None) -> str:
        key = f"e{next(self.orders)}"
        row = {"customer_id": customer, "key": key, "name": name, "at": at, "product_id": product, "facts": {}}
        with self.store.write() as connection:
            connection.execute(dialect.table(tables.Event).insert(), row)
            rows.mark(connection, [customer])
        return key

    def click(self, customer: int, run_id: int, at: datetime, by: FeedbackClass = FeedbackClass.human) -> None:
        key = f"clicked:{run_id}:{at.isoformat()}:{by}"
        with self.store.write() as connection:
            feedback.record_event(connection, FeedbackEvent(customer, FeedbackKind.clicked, key, at, run_id, by))

    def made(self) -> set[tuple[int, int, str]]:
        """Make what is due and return every conversion as (customer, run, order or event)."""
        conversions.make_conversions(self.store)
        f = dialect.table(tables.Feedback).c
        with self.store.read() as connection:
            conversion_rows = connection.execute(
                select(f.customer_id, f.run_id, f.key).where(f.kind == "converted")
            ).all()
        return {(row[0], row[1], row[2].rpartition(":")[2]) for row in conversion_rows}

    def rule(self, condition: str, as_of: datetime) -> set[int]:
        """Return whom a rule means."""
        path = self.shop.folder / "rules/audiences/asked.yaml"
        path.write_text(f"audience: asked\nwho: {condition}\n")
        rulebook = Rulebook.load(self.shop.folder)
        compiler = audiences.compiler(as_of, rulebook.company.time_zone)
        with self.store.read() as connection:
            return set(audiences.members(connection, compiler, rulebook.book.audience("asked").condition))


@pytest.fixture
def field(store: Store, tmp_path: Path) -> Field:
    return Field(store, tmp_path / "shop")


def test_report_rule_and_sql_agree(field: Field) -> None:
    ann, bob, cid = field.shop.customers
    run_id = field.mail(to=[ann, bob])
    field.buy(ann, SENT + DAY)
    field.buy(ann, SENT + 2 * DAY)
    field.buy(bob, SENT + DAY, MEAT)
    field.buy(cid, SENT + DAY)
    field.made()
    (line,) = report.summaries(field.store, LATER, "week")
    later = SENT + 20 * DAY
    by_hand = text(
        "select count(distinct p.customer_id) from purchase p join product on product.id = p.product_id"
        " join delivery d on d.customer_id = p.customer_id and d.run_id = :run and d.state = 'sent'"
        " where product.department = 'GREEN' and p.at >= d.dotted_at and p.at < :end"
    )
    end = SENT + 14 * DAY
    bound = end if not field.store.sqlite else int(end.timestamp() * 1_000_000)
    with field.store.read() as connection:
        counted = connection.execute(by_hand, {"run": run_id, "end": bound}).scalar_one()
    assert line.converted == counted == 1
    assert field.rule("{converted: {campaign: week}}", later) == {ann}
    assert field.rule("{converted: {campaign: week, times: {at_least: 2}}}", later) == {ann}
    assert field.rule("{never_converted: {campaign: week}}", later) == {bob, cid}
    details = report.load_report(field.store, line, LATER)
    assert (details.mailed.customers, details.mailed.buyers, details.held.buyers) == (2, 1, 1)
    assert details.aim == "bought department is GREEN within 14 days"


def test_an_order_with_a_future_date_counts_from_that_day_on(field: Field) -> None:
    ann, _, _ = field.shop.customers
    field.mail(to=[ann])
    field.buy(ann, SENT + 3 * DAY)
    field.made()
    for today, number in ((SENT + 2 * DAY, 0), (SENT + 4 * DAY, 1)):
        (line,) = report.summaries(field.store, today, "week")
        assert (line.converted, report.load_report(field.store, line, today).mailed.buyers) == (number, number)
        assert len(field.rule("{converted: {campaign: week}}", today)) == number


def test_a_campaign_without_a_goal_has_no_conversions(field: Field) -> None:
    field.mail(goal="")
    for who in field.shop.customers:
        field.buy(who, SENT + DAY)
    assert field.made() == set()
    details = report.load_report(field.store, report.summaries(field.store, LATER, "week")[0], LATER)
    assert (details.aim, details.line.converted, details.mailed.buyers) == (None, 0, 3)


@pytest.mark.parametrize(
    ("after", "converts"),
    [(-HOUR, False), (-TICK, False), (0 * DAY, True), (14 * DAY - TICK, True), (14 * DAY, False), (15 * DAY, False)],
)
def test_the_window_begins_with_the_mail_and_ends_before_its_end(
    field: Field, after: timedelta, converts: bool
) -> None:
    ann = field.shop.customers[0]
    field.mail()
    field.buy(ann, SENT + after)
    assert bool(field.made()) is converts


def test_days_and_months_are_those_of_the_company(store: Store, tmp_path: Path) -> None:
    field = Field(store, tmp_path / "shop", company="brand: B\ntime_zone: Europe/Oslo\nlink_hosts: [shop.example]\n")
    ann, bob, cid = field.shop.customers
    oslo = ZoneInfo("Europe/Oslo")
    # The clocks go back on 25 October: seven days are 169 hours then; and the second mail's month has 31 days.
    sent = datetime(2026, 10, 20, 12, tzinfo=oslo)
    run_id = field.mail(goal="goal: {within: 7 days}\n", at=sent, to=[ann, bob])
    field.buy(ann, datetime(2026, 10, 27, 11, 59, tzinfo=oslo))
    field.buy(bob, datetime(2026, 10, 27, 12, tzinfo=oslo))
    month = field.mail("month", "goal: {within: 1 month}\n", datetime(2026, 1, 31, 12, tzinfo=oslo), [cid])
    field.buy(cid, datetime(2026, 2, 28, 11, tzinfo=oslo), order="in")
    field.buy(cid, datetime(2026, 2, 28, 13, tzinfo=oslo), order="out")
    assert {(who, run) for who, run, _ in field.made()} == {(ann, run_id), (cid, month)}


def test_only_those_who_got_the_mail_convert(field: Field) -> None:
    ann, bob, cid = field.shop.customers
    run_id = field.mail(to=[ann, bob], state="unconfirmed")
    for who in (ann, bob, cid):
        field.buy(who, SENT + DAY)
    assert field.made() == set(), "in doubt, or held out"
    with field.store.write() as connection:
        ledger.confirm_arrival(connection, run_id, ann, SENT + 2 * DAY, "seen")
    assert {who for who, *_ in field.made()} == {ann}
    with field.store.write() as connection:
        ledger.resolve_unconfirmed(connection, run_id, False, SENT + 3 * DAY)
    assert {who for who, *_ in field.made()} == {ann, bob}
    with field.store.write() as connection:
        feedback.record_event(connection, FeedbackEvent(bob, FeedbackKind.bounced, "b", SENT + 4 * DAY, run_id))
    assert {who for who, *_ in field.made()} == {ann}, "it came back"


def test_an_order_counts_once_for_the_last_human_click_else_the_last_mail(field: Field) -> None:
    ann = field.shop.customers[0]
    first = field.mail("first")
    second = field.mail("second", at=SENT + HOUR)
    third = field.mail("third", at=SENT + 2 * HOUR, goal="")
    order = field.buy(ann, SENT + DAY)
    assert field.made() == {(ann, second, order)}, "the last mail with a goal"
    field.click(ann, first, SENT + 5 * HOUR, FeedbackClass.scanner)
    field.click(ann, third, SENT + 5 * HOUR)
    assert field.made() == {(ann, second, order)}, "robots do not count, nor mails without a goal"
    field.click(ann, first, SENT + 4 * HOUR)
    assert field.made() == {(ann, first, order)}
    field.click(ann, second, SENT + 6 * HOUR)
    assert field.made() == {(ann, second, order)}
    field.click(ann, first, SENT + DAY + TICK)
    assert field.made() == {(ann, second, order)}, "after the order"
    with field.store.write() as connection:
        f = dialect.table(tables.Feedback).c
        ids = connection.scalars(select(f.id).where(f.run_id == second, f.kind == "clicked")).all()
        feedback.reclassify_as_scanner(connection, [int(number) for number in ids], "burst")
    assert field.made() == {(ann, first, order)}
    assert {line.campaign: line.converted for line in report.summaries(field.store, LATER)} == {
        "first": 1,
        "second": 0,
        "third": 0,
    }


def test_a_campaign_sent_again_counts_for_the_run_whose_mail_it_was(field: Field) -> None:
    ann = field.shop.customers[0]
    first, second = field.mail(), field.mail(at=SENT + 20 * DAY)
    orders = [field.buy(ann, SENT + days * DAY) for days in (1, 15, 21)]
    assert field.made() == {(ann, first, orders[0]), (ann, second, orders[2])}


def test_corrected_or_returned_purchases_no_longer_count(field: Field) -> None:
    ann, bob, cid = field.shop.customers
    run_id = field.mail()
    orders = {who: field.buy(who, SENT + DAY) for who in (ann, bob, cid)}
    assert len(field.made()) == 3
    field.buy(ann, SENT + 30 * DAY, order=orders[ann], quantity=-1)
    line = dialect.table(tables.Purchase)
    with field.store.write() as connection:
        connection.execute(line.update().where(line.c.customer_id == bob).values(at=SENT - DAY))
        connection.execute(line.delete().where(line.c.customer_id == cid))
        purchase_totals.refresh(connection)
    assert field.made() == set()
    again = field.buy(ann, SENT + 3 * DAY)
    assert field.made() == {(ann, run_id, again)}


def test_products_may_be_described_after_they_were_bought(field: Field) -> None:
    ann = field.shop.customers[0]
    run_id = field.mail()
    insert(field.store, tables.Product, [{"id": 9, "key": "new", "known": False, "facts": {}}])
    order = field.buy(ann, SENT + DAY, 9)
    assert field.made() == set()
    product = dialect.table(tables.Product)
    with field.store.write() as connection:
        connection.execute(product.update().where(product.c.id == 9).values(department="GREEN"))
        rows.mark_sent(connection)
    assert field.made() == {(ann, run_id, order)}


def test_an_event_may_be_the_goal(field: Field) -> None:
    ann, bob, cid = field.shop.customers
    run_id = field.mail(goal="goal: {event: redeemed, within: 2 days}\n", to=[ann, bob])
    key = field.do(ann, SENT + DAY)
    field.do(bob, SENT + DAY, "viewed")
    field.do(bob, SENT + 3 * DAY)
    field.do(cid, SENT + DAY)
    field.buy(bob, SENT + DAY)
    assert field.made() == {(ann, run_id, key)}
    details = report.load_report(field.store, report.summaries(field.store, LATER, "week")[0], LATER)
    assert (details.mailed.buyers, details.mailed.customers, details.held.buyers) == (1, 2, 1)
    assert details.goal.words() == "did 'redeemed' within 2 days"
    about = field.mail("about", "goal: {event: viewed, products: {department: GREEN}}\n", SENT + 9 * DAY)
    field.do(ann, SENT + 10 * DAY, "viewed", MEAT)
    key = field.do(bob, SENT + 10 * DAY, "viewed", GREEN)
    assert (bob, about, key) in field.made()
    assert len(field.made()) == 2


def test_an_unknown_event_is_rejected_with_the_nearest(field: Field) -> None:
    with pytest.raises(InvalidInput) as caught:
        field.shop.campaign(more="goal: {event: redemed}\n")
    assert "unknown event 'redemed'" in str(caught.value)
    assert "redeemed" in str(caught.value.problems[0].remedy)


def test_a_later_change_of_the_file_or_a_group_does_not_judge_mails_that_are_out(field: Field) -> None:
    ann = field.shop.customers[0]
    (field.shop.folder / "rules/products.yaml").write_text("fresh: {department: GREEN, except: {key: P3}}\n")
    run_id = field.mail(goal="goal: {products: {group: fresh}}\n")
    (field.shop.folder / "rules/products.yaml").write_text("fresh: {department: MEAT}\n")
    field.shop.campaign("week", "goal: {products: {group: fresh}, within: 1 hour}\n")
    order = field.buy(ann, SENT + DAY)
    field.buy(ann, SENT + DAY, 3)
    assert field.made() == {(ann, run_id, order)}
    with field.store.write() as connection:  # as an earlier version launched it
        run = dialect.table(tables.Run)
        connection.execute(run.update().values(goal=None))
        rows.mark(connection)
    assert field.made() == {(ann, run_id, order)}


def test_a_pinned_today_uses_the_calendar_of_the_run(field: Field) -> None:
    ann, bob, cid = field.shop.customers
    real = datetime(2026, 11, 1, tzinfo=UTC)
    for who in (ann, bob, cid):
        field.buy(who, SENT + DAY)
    run_id = field.mail(launched_at=real, to=[ann, bob])
    other = field.mail("other", launched_at=real + DAY, to=[ann, bob])
    assert {(who, run) for who, run, _ in field.made()} == {(ann, other), (bob, other)}, "known when it was sent"
    field.click(ann, run_id, real + HOUR)
    field.click(bob, run_id, real + DAY + TICK)
    assert {(who, run) for who, run, _ in field.made()} == {(ann, run_id), (bob, other)}


def test_an_erasure_deletes_computed_conversions(field: Field) -> None:
    ann, bob, _ = field.shop.customers
    run_id = field.mail()
    for who in (ann, bob):
        field.buy(who, SENT + DAY)
    imported = {"customer_id": ann, "run_id": run_id, "kind": "converted", "key": "imported", "at": SENT, "detail": {}}
    insert(field.store, tables.Feedback, [imported])
    assert len(field.made()) == 3
    with field.store.write() as connection:
        assert privacy.erase(connection, ann, b"k" * 32, "test", SENT + 2 * DAY)
    # The key that the shop gave may name the person.
    left = {who: key for who, _, key in field.made()}
    assert left.keys() == {ann, bob}
    assert left[ann] != "imported"
    assert left[bob] == "o2"


def test_computing_again_changes_no_row(field: Field) -> None:
    field.mail()
    for who in field.shop.customers:
        field.buy(who, SENT + DAY)

    def kept() -> list[Any]:
        field.made()
        with field.store.read() as connection:
            return sorted(map(tuple, connection.execute(select(dialect.table(tables.Feedback))).all()), key=repr)

    before = kept()
    with field.store.write() as connection:
        rows.mark(connection)
        rows.mark(connection, field.shop.customers)
    assert kept() == before
    with field.store.read() as connection:
        assert not rows.has_queued(connection)


def test_most_bounds_one_call(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversions, "CHUNK", 1)
    field.mail()
    for who in field.shop.customers:
        field.buy(who, SENT + DAY)
    assert conversions.make_conversions(field.store, most=2)
    while conversions.make_conversions(field.store, most=2):
        pass
    assert len(field.made()) == 3


@pytest.mark.parametrize("seed", range(12))
def test_any_order_of_arrival_has_the_same_result(store: Store, tmp_path: Path, seed: int) -> None:
    """Facts in a shuffled order, with conversions made in between, against a plain reading of the rule."""
    chance = Random(seed)
    field = Field(store, tmp_path / "shop", 4)
    people = field.shop.customers
    moments = [SENT + hours * HOUR for hours in range(0, 24 * 12, 7)]
    goals = {"a": ("GREEN", 3), "b": ("GREEN", 6), "c": ("MEAT", 4), "d": (None, 2)}
    mails: dict[int, tuple[str, datetime, set[int]]] = {}
    for name, (department, days) in goals.items():
        products = f"products: {{department: {department}}}, " if department else ""
        at, to = chance.choice(moments), {who for who in people if chance.random() < 0.7}
        mails[field.mail(name, f"goal: {{{products}within: {days} days}}\n", at, to)] = (name, at, to)
    purchases = [(chance.choice(people), chance.choice(moments), chance.randint(1, 5), f"r{n}") for n in range(25)]
    clicks = [
        (chance.choice(people), chance.choice(list(mails)), chance.choice(moments) + timedelta(minutes=n),
         chance.choice([FeedbackClass.human, FeedbackClass.human, FeedbackClass.scanner]))
        for n in range(20)
    ]  # fmt: skip
    steps: list[Callable[[], Any]] = [lambda it=it: field.buy(*it) for it in purchases]  # type: ignore[misc]
    steps += [lambda it=it: field.click(*it) for it in clicks]  # type: ignore[misc]
    chance.shuffle(steps)
    for step in steps:
        step()
        if chance.random() < 0.3:
            field.made()
    expected = set()
    for who, at, product, order in purchases:
        department = "GREEN" if product < MEAT else "MEAT"
        able = [
            run_id
            for run_id, (name, sent, to) in mails.items()
            if who in to and sent <= at < sent + goals[name][1] * DAY and goals[name][0] in (None, department)
        ]
        clicked = [
            (moment, run_id)
            for clicker, run_id, moment, by in clicks
            if clicker == who and run_id in able and moment <= at and by is FeedbackClass.human
        ]
        if clicked:
            expected.add((who, max(clicked)[1], order))
        elif able:
            expected.add((who, max(able, key=lambda run_id: (mails[run_id][1], run_id)), order))
    assert field.made() == expected
    assert expected
