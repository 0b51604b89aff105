"""A small shop for tests of the customer site: two customers, one run, one link."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from starlette.applications import Starlette

from mailshot import documents
from mailshot.facts import catalogue
from mailshot.facts.catalogue import Catalogue
from mailshot.profile import address, preferences, topics
from mailshot.store import address_changes, confirmations, consent, dialect, feedback
from mailshot.store.engine import Connection, Store
from mailshot.store.tables import Customer, Delivery, Feedback, Run, Trait
from mailshot.tokens import KeyRing, Purpose
from mailshot.web import app
from mailshot.web.rate_limits import RequestLimits
from mailshot.web.site import SiteSettings

RULES = Path(__file__).parents[2] / "rules"
KEYS = KeyRing({1: bytes(range(16))})
ADDRESS_KEY = b"address-key-of-the-test-shop"
ADA, BEN, RUN, LINK = 7, 8, 3, 5
LINK_URL = "https://shop.example.com/figs?week=23&from=mail#top"
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
TOPICS = topics.read(documents.load_document(RULES / "topics.yaml"))
STATEMENTS = preferences.read(documents.load_document(RULES / "preferences.yaml"))
#: Headers by which a browser says that another site posts a form.
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
]
CATALOGUE = catalogue.read(documents.load_document(RULES / "facts.yaml"))
EVIDENCE = {
    "label": "Vegetarian household",
    "words": "0 meat lines of 212 food lines in the last 365 days; a typical household would have had 21.",
    "lines": 212,
}


# One moment for a whole session: tests that compare with it may come many minutes after they were collected.
BEGAN = datetime.now(UTC)


def now() -> datetime:
    return datetime.now(UTC)


def seed(store: Store) -> None:
    """Put the shop's rows in: Ada takes offers and lets us count, Ben said nothing."""
    with store.write() as connection:
        for number, name in ((ADA, "Ada"), (BEN, "Ben")):
            email = f"{name.lower()}@example.com"
            row = {"id": number, "key": f"K{number}", "email": email, "first_name": name, "lot": number, "facts": {}}
            row["address_hash"] = address.hash_address(ADDRESS_KEY, email)
            connection.execute(dialect.table(Customer).insert().values(**row))
            delivery = {"run_id": RUN, "customer_id": number, "state": "sent", "attempts": 1}
            dotted = BEGAN - timedelta(minutes=5)
            connection.execute(dialect.table(Delivery).insert().values(**delivery, dotted_at=dotted))
        run = {"id": RUN, "campaign": "week-23", "topic": "offers", "definition": "d", "as_of": BEGAN}
        defaults = {"at_least_once": False, "state": "running", "launched_at": BEGAN}
        connection.execute(dialect.table(Run).insert().values(**run, **defaults))
        for topic in ("offers", topics.TRACKING):
            consent.record_consent(connection, ADA, topic, True, BEGAN - timedelta(days=30), "import")
        trait = {"customer_id": ADA, "name": "diet", "value": "vegetarian", "confidence": 0.994}
        connection.execute(dialect.table(Trait).insert().values(**trait, evidence=EVIDENCE, as_of=BEGAN))
        feedback.store_links(connection, {LINK: LINK_URL})


def site(
    store: Store,
    limits: RequestLimits | None = None,
    facts: Catalogue = CATALOGUE,
    zone: ZoneInfo | None = None,
    keys: KeyRing = KEYS,
    **settings: Any,
) -> Starlette:
    """Return the customer site over the shop's rows; `settings` are further ones of the site."""
    site_settings = SiteSettings(
        brand="Greenleaf Market",
        topics=TOPICS,
        statements=STATEMENTS,
        address_key=ADDRESS_KEY,
        facts=facts.customer,
        contact="hello@greenleaf.example.com",
        zone=zone or ZoneInfo("UTC"),
        limits=limits or generous(),
        **settings,
    )
    return app.create_app(store, keys, site_settings)


def generous() -> RequestLimits:
    return RequestLimits("1000000/minute", "1000000/minute", "1000000/minute")


@dataclass(frozen=True)
class Look:
    """What a test sees in the rows."""

    store: Store

    def given(self, customer_id: int, topic: str) -> bool | None:
        with self.store.read() as connection:
            entry = consent.latest_entries(connection, customer_id).get(topic)
        return entry.given if entry else None

    def feedback(self, kind: str | None = None) -> list[Mapping[str, Any]]:
        table = dialect.table(Feedback)
        query = select(table).order_by(table.c.id)
        with self.store.read() as connection:
            rows = connection.execute(query.where(table.c.kind == kind) if kind else query)
            return [dict(row._mapping) for row in rows]

    def address_link(self) -> str:
        """Return the path of the link of the latest change of an address."""
        with self.store.read() as connection:
            change = connection.execute(address_changes.CHANGE.select().order_by("id")).mappings().all()[-1]
        return path(Purpose.address, change["id"], mailbox(change["new_email"]))

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table, to compare before and after."""
        with self.store.read() as connection:
            return {
                name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
                for name, table in dialect.table(Customer).metadata.tables.items()
            }


def free_port() -> int:
    """Return a port of this machine that nobody uses just now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def path(purpose: Purpose, *ids: int) -> str:
    """Return the path of a page for genuine ids."""
    return f"/{purpose.value[0]}/{KEYS.sign(purpose, *ids)}"


def mailbox(email: str) -> int:
    """Return what tokens that belong to an address carry of it."""
    return KEYS.fingerprint(address.fold_mailbox(email))


def own_data(connection: Connection, customer_id: int, email: str, at: datetime | None = None) -> str:
    """Ask for the link to a customer's own data and return its path, as if the mail with it had been read."""
    assert confirmations.ask(connection, customer_id, RUN, at or now()) is None
    newest = select(func.max(confirmations.CONFIRMATION.c.id))
    return f"/d/{KEYS.sign(Purpose.confirm, connection.scalar(newest) or 0, mailbox(email))}"


UNSUBSCRIBE = path(Purpose.unsubscribe, RUN, ADA, mailbox("ada@example.com"))
PREFERENCES = path(Purpose.preferences, RUN, ADA, mailbox("ada@example.com"))
PIXEL = path(Purpose.open, RUN, ADA)
CLICK = path(Purpose.click, RUN, ADA, LINK)
