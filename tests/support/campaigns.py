"""A shop in which every reason for no mail applies to exactly one customer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from mailshot.campaign import plan, snapshot
from mailshot.campaign.plan import CampaignPlan
from mailshot.campaign.snapshot import Snapshot
from mailshot.profile import bucketing
from mailshot.rulebook.rulebook import Rulebook
from mailshot.states import AnswerState
from mailshot.store import dialect, purchase_totals, suppression, tables
from mailshot.store.engine import Store
from tests.support import project
from tests.support.answers import say
from tests.support.project import TOPIC, Shop

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
FILES = {
    "rules/preferences.yaml": "diet: {title: Diet, choice: single, values: {vegetarian: Vegetarian, everything: All}}\n",  # noqa: E501
    "rules/guards.yaml": """
- guard: no meat to vegetarians
  customers: {preference: {diet: vegetarian}}
  never: {department: MEAT}
""",
    "rules/audiences/all.yaml": "audience: all\nwho: {everyone: yes}\n",
}
WEEK = """campaign: week
topic: offers
sender: bay
audience: all
holdout: 10%
content:
  - {name: meat, when: {country: "NO"}, template: hello, about: {department: MEAT}}
  - {name: green, when: {country: SE}, template: hello, offers: picks}
offers:
  picks: {products: {department: GREEN}, take: 2, at_least: 1, fill: no}
limits: {cap: {mails: 1, per: 7 days}}
"""
DEPARTMENTS = {1: "GREEN", 2: "GREEN", 3: "GREEN", 4: "MEAT", 5: "MEAT"}


def open_shop(store: Store, folder: Path, campaign: str = WEEK) -> Shop:
    """Return a shop with the campaign and its products, and nobody in it."""
    shop = Shop.open(store, folder, 0, {**FILES, "rules/campaigns/week.yaml": campaign})
    products = [
        {"id": number, "key": f"P{number}", "name": f"Product {number}", "department": name, "known": True, "facts": {}}
        for number, name in DEPARTMENTS.items()
    ]
    insert(store, tables.Product, products)
    return shop


def write(shop: Shop, path: str, text: str) -> None:
    (shop.folder / path).write_text(text, encoding="utf-8")


def edition(shop: Shop, name: str = "week") -> Snapshot:
    """Read the campaign as it now stands in the folder."""
    return snapshot.take_snapshot(Rulebook.load(shop.folder), shop.folder, name)


def planned(shop: Shop, now: datetime = NOW, name: str = "week") -> CampaignPlan:
    return plan.make_plan(shop.store, edition(shop, name), now, now)


def lots(held: bool, campaign: str = "week", parts: int = 1000) -> Iterator[int]:
    """Give lots of customers who are (not) held out of the campaign."""
    chosen = bucketing.holdout(campaign)
    return (number for number in count(1) if (chosen.part(number) < parts) is held)


def add(shop: Shop, key: str, consent: bool | None = True, held: bool = False, **facts: Any) -> int:
    """Insert one customer and return the id."""
    row = project.person(key, f"{key}@mail.example") | {"country": None, "lot": next(lots(held)), **facts}
    if row["email"] is None:
        row["address_hash"] = None
    (customer_id,) = shop.add([row], consent=False)
    if consent is not None:
        insert(shop.store, tables.Consent, [{"customer_id": customer_id, "topic": TOPIC, "given": consent, "at": NOW}])
    return customer_id


def buy(store: Store, customer: int, bought: Mapping[int, int], at: datetime = NOW - timedelta(days=3)) -> None:
    """Let a customer buy products, each so many times in orders of its own."""
    lines = [
        {
            "customer_id": customer,
            "order_key": f"{product}-{n}",
            "product_id": product,
            "nth": 1,
            "at": at,
            "quantity": Decimal(1),
            "amount": Decimal("2.50"),
        }
        for product, times in bought.items()
        for n in range(times)
    ]
    insert(store, tables.Purchase, lines)
    with store.write() as connection:
        purchase_totals.refresh(connection)


def state(store: Store, customer: int, value: str, holds: bool = True, at: datetime = NOW) -> None:
    with store.write() as connection:
        say(connection, customer, "diet", value, at, AnswerState.yes if holds else AnswerState.no)


def sent(store: Store, customer: int, campaign: str, at: datetime) -> None:
    """Record a mail of an earlier run."""
    run = {
        "campaign": campaign,
        "topic": TOPIC,
        "definition": "d",
        "at_least_once": False,
        "state": "finished",
        "as_of": at,
        "launched_at": at,
    }
    with store.write() as connection:
        runs = dialect.table(tables.Run)
        run_id = connection.execute(runs.insert().returning(runs.c.id), run).scalar_one()
        row = {"run_id": run_id, "customer_id": customer, "state": "sent", "attempts": 1}
        connection.execute(dialect.table(tables.Delivery).insert(), row)


def everybody(shop: Shop) -> dict[str, int]:
    """Put in one customer for each reason, named by it, and two who get a mail."""
    store = shop.store
    who = {
        "no address": add(shop, "a", email=None, country="NO"),
        "suppressed": add(shop, "b", country="NO"),
        "no consent": add(shop, "c", consent=False, country="NO"),
        "never asked": add(shop, "d", consent=None, country="NO"),
        "no content": add(shop, "e", country="DK"),
        "guard": add(shop, "f", country="NO"),
        "already received": add(shop, "g", country="NO"),
        "frequency cap": add(shop, "h", country="NO"),
        "holdout": add(shop, "i", held=True, country="NO"),
        "no offers": add(shop, "j", country="SE"),
        "meat": add(shop, "k", country="NO"),
        "green": add(shop, "l", country="SE"),
    }
    with store.write() as connection:
        suppression.add(connection, project.person("b", "b@mail.example")["address_hash"], "bounced", "test", NOW)
    state(store, who["guard"], "vegetarian")
    sent(store, who["already received"], "week", NOW - timedelta(days=300))
    sent(store, who["frequency cap"], "another", NOW - timedelta(days=6))
    buy(store, who["no offers"], {4: 3})
    buy(store, who["green"], {1: 1, 2: 3, 3: 2})
    return who


def insert(store: Store, model: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        with store.write() as connection:
            connection.execute(dialect.table(model).insert(), rows)
