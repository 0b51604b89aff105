"""A small shop to test with: a project folder, customers in the store, and a launched run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailshot.campaign import launch, plan
from mailshot.campaign import snapshot as editions
from mailshot.campaign.snapshot import Snapshot
from mailshot.profile import address, bucketing
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import dialect, tables
from mailshot.store.engine import Store

ADDRESS_KEY = "0f" * 32
KEYS = "1:" + "5a" * 32
NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
TOPIC = "offers"
FILES = {
    "rules/company.yaml": "brand: Bay Shop\ntime_zone: America/New_York\nlink_hosts: [shop.example]\n",
    "rules/topics.yaml": "offers: {title: Offers}\n",
    "rules/senders.yaml": """
bay:
  name: Bay Shop
  address: hello@bay.example.com
  postal_address: 1 Quay, 0150 Oslo
  feedback_id: bayshop
""",
    "rules/audiences/everyone.yaml": "audience: everyone\nwho: {consent: offers}\n",
    "templates/hello/subject.txt": "Hello {{ customer.first_name }}",
    "templates/hello/body.html": """<!doctype html>
<html lang="en"><head><title>Hello</title><style>p { margin: 0 }</style></head><body>
<p>Dear {{ customer.first_name }}, read <a href="https://shop.example/new">what is new</a>.</p>
<p><a href="{{ links.unsubscribe }}">Unsubscribe</a>, {{ sender.postal_address }}</p>
</body></html>
""",
    "templates/hello/sample.yaml": "customer: {first_name: Rosa}\n",
}
CAMPAIGN = """campaign: {name}
topic: offers
sender: bay
audience: everyone
holdout: 0%
content: [{{name: hello, template: hello}}]
"""


@dataclass
class Shop:
    """A project folder and its store."""

    store: Store
    folder: Path
    customers: list[int] = field(default_factory=list)

    @classmethod
    def open(cls, store: Store, folder: Path, customers: int = 0, more: dict[str, str] | None = None) -> Shop:
        """Write the project, its templates and rules, and so many customers who want the offers."""
        for name, text in {**FILES, **(more or {})}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        shop = cls(store, folder)
        shop.add(people(customers))
        return shop

    def add(self, rows: list[dict[str, Any]], consent: bool = True) -> list[int]:
        """Insert customers, with consent to the offers, and return their ids."""
        if not rows:
            return []
        customer = dialect.table(tables.Customer)
        with self.store.write() as connection:
            connection.execute(customer.insert(), rows)
            keys = [row["key"] for row in rows]
            customer_ids = [
                int(number)
                for some in chunks(keys)
                for number in connection.scalars(customer.select().with_only_columns(customer.c.id).where(
                    customer.c.key.in_(some)))
            ]  # fmt: skip
            if consent:
                consents = [
                    {"customer_id": number, "topic": TOPIC, "given": True, "at": NOW} for number in customer_ids
                ]
                connection.execute(dialect.table(tables.Consent).insert(), consents)
        self.customers += customer_ids
        return customer_ids

    def campaign(self, name: str = "hello", more: str = "") -> Snapshot:
        """Write a campaign file and read it; `more` is YAML to add."""
        path = self.folder / "rules" / "campaigns" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CAMPAIGN.format(name=name) + more, encoding="utf-8")
        return editions.take_snapshot(Rulebook.load(self.folder), self.folder, name)

    def launch(self, edition: Snapshot | None = None, now: datetime | None = None) -> int:
        """Plan and launch a campaign and return its run."""
        edition = edition or self.campaign()
        moment = now or datetime.now(UTC)
        as_of = editions.as_of(edition, None, moment)
        plan.make_plan(self.store, edition, as_of, moment)
        run_id = launch.launch_plan(self.store, edition, as_of, moment).run_id
        assert run_id is not None
        return run_id

    def environment(self, **more: str) -> dict[str, str]:
        """Return the MAILSHOT_* variables of a process that works for this shop."""
        return {
            "MAILSHOT_PROJECT": str(self.folder),
            "MAILSHOT_DATABASE": self.store.engine.url.render_as_string(hide_password=False).replace("+psycopg", ""),
            "MAILSHOT_KEYS": KEYS,
            "MAILSHOT_ADDRESS_KEY": ADDRESS_KEY,
            **more,
        }


def people(number: int, local: str = "c{n}", first: int = 1) -> list[dict[str, Any]]:
    """Return rows of customers; `local` is the local part of their addresses."""
    return [person(f"c{n}", f"{local.format(n=n)}@mail.example") for n in range(first, first + number)]


def person(key: str, email: str) -> dict[str, Any]:
    """Return the row of one customer."""
    hashed = address.hash_address(bytes.fromhex(ADDRESS_KEY), email)
    return {
        "key": key, "email": email, "address_hash": hashed, "first_name": f"Ann {key}", "lot": bucketing.bucket(key),
        "facts": {},
    }  # fmt: skip


def chunks(items: list[str], size: int = 500) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
