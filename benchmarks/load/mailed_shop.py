"""A shop that has just sent one campaign: customers who agreed to tracking, with a mail each, and the links in them.

They also agreed to offers, so that the next campaign can be sent to all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle

from mailshot.profile.topics import TRACKING
from mailshot.states import DeliveryState, RunState
from mailshot.store import dialect, installation, tables
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing, Purpose

RUN, LINKS, TOPIC = 1, 4, "offers"
#: One request in so many is a click, the others are opens.
CLICK_EVERY = 5
CHUNK = 5_000


def fill(url: str, customers: int) -> None:
    """Create the tables and fill them."""
    store = Store.open(url)
    installation.upgrade_schema(store)
    sent_at = datetime.now(UTC) - timedelta(hours=1)
    for start in range(1, customers + 1, CHUNK):
        _add_customers(store, range(start, min(start + CHUNK, customers + 1)), sent_at)
    with store.write() as connection:
        run = {"id": RUN, "campaign": "last week", "topic": TOPIC, "definition": "", "state": RunState.finished}
        connection.execute(dialect.table(tables.Run).insert().values(**run, as_of=sent_at, launched_at=sent_at))
        if not store.sqlite:
            connection.exec_driver_sql("SELECT setval('run_id_seq', 1)")
        links = [{"id": number, "url": f"https://shop.example/{number}"} for number in range(1, LINKS + 1)]
        connection.execute(dialect.table(tables.Link).insert(), links)
        connection.exec_driver_sql("ANALYZE")  # as an import does
    store.close()


def paths(keys: KeyRing, customers: int) -> Iterator[str]:
    """Give requests for pixels and links, each of the next customer, without end."""
    for customer_id in cycle(range(1, customers + 1)):
        if customer_id % CLICK_EVERY:
            yield f"/o/{keys.sign(Purpose.open, RUN, customer_id)}"
        else:
            yield f"/c/{keys.sign(Purpose.click, RUN, customer_id, 1 + customer_id % LINKS)}"


def _add_customers(store: Store, ids: range, sent_at: datetime) -> None:
    people = [
        {"id": number, "key": f"K{number}", "email": f"c{number}@example.com", "address_hash": f"{number:064x}",
         "first_name": "Ada", "lot": number, "facts": {}}
        for number in ids
    ]  # fmt: skip
    consents = [
        {"customer_id": number, "topic": topic, "given": True, "at": sent_at}
        for number in ids
        for topic in (TRACKING, TOPIC)
    ]
    mails = [
        {"run_id": RUN, "customer_id": number, "state": DeliveryState.sent, "content": "thanks", "attempts": 1,
         "dotted_at": sent_at, "settled_at": sent_at}
        for number in ids
    ]  # fmt: skip
    with store.write() as connection:
        connection.execute(dialect.table(tables.Customer).insert(), people)
        connection.execute(dialect.table(tables.Consent).insert(), consents)
        connection.execute(dialect.table(tables.Delivery).insert(), mails)
