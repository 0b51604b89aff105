"""What comes back about a customer gives the same profile in any order and repeated any number of times."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import case, select
from starlette.testclient import TestClient

from mailshot.store import consent, dialect, feedback, incoming_mail, suppression
from mailshot.store.engine import Store
from mailshot.store.tables import Customer, Delivery
from mailshot.tokens import Purpose
from tests.support import customer_site
from tests.support import provider_webhooks as requests
from tests.support.customer_site import ADA, BEGAN, BEN, BROWSER, KEYS, LINK, RUN, Look
from tests.support.provider_webhooks import MailIds

LINKS = (LINK, 11, 12, 13)
EMAILS = {ADA: "ada@example.com", BEN: "ben@example.com"}
#: Pairs of provider and kind; "complaint" of two providers is one profile.
REPORTS = [
    ("sendgrid", "soft"), ("sendgrid", "block"), ("mailgun", "hard"), ("brevo", "complaint"), ("postmark", "complaint"),
    ("sendgrid", "unsubscribe"), ("resend", "delayed"), ("mailjet", "opened"),
]  # fmt: skip
Send = Callable[[TestClient], Any]


def fetch(path: str, method: str = "GET") -> Send:
    return lambda client: client.request(method, path, headers={"user-agent": BROWSER}, follow_redirects=False)


def report(source: str, kind: str, customer_id: int, number: int) -> Send:
    posted = requests.post(source, kind, MailIds.of(KEYS, RUN, customer_id), BEGAN, number)
    headers = {name: value.encode() for name, value in posted.headers.items()}
    return lambda client: client.post(f"/webhooks/{source}", content=posted.body, headers=headers)


def unsubscribe(customer_id: int) -> Send:
    path = customer_site.path(Purpose.unsubscribe, RUN, customer_id, customer_site.mailbox(EMAILS[customer_id]))
    return lambda client: client.post(path, data={"List-Unsubscribe": "One-Click"})


def everything(customer_id: int) -> list[Send]:
    """Return what comes back about a customer, in one order."""
    clicks = [customer_site.path(Purpose.click, RUN, customer_id, link) for link in LINKS]
    return [
        fetch(customer_site.path(Purpose.open, RUN, customer_id)),
        fetch(clicks[0]),
        fetch(clicks[0], "HEAD"),
        *map(fetch, clicks[1:]),
        unsubscribe(customer_id),
        *(report(*what, customer_id, 100 * customer_id + number) for number, what in enumerate(REPORTS)),
    ]


def profile(store: Store, customer_id: int) -> dict[str, Any]:
    """Return all that was kept about a customer, without the customer's own ids."""
    f, d, customer = feedback.FEEDBACK.c, dialect.table(Delivery).c, dialect.table(Customer).c
    with store.read() as connection:
        # Of several signs of a scanner, the one seen first is the reason of a click; its class depends on no order.
        why = case((f.kind == "clicked", ""), else_=f.why)
        events = connection.execute(select(f.kind, f.by, why, f.link_id, f.run_id).where(f.customer_id == customer_id))
        address = connection.scalar(select(customer.address_hash).where(customer.id == customer_id))
        suppressed = suppression.find_suppression(connection, address)
        state = connection.scalar(select(d.state).where(d.customer_id == customer_id, d.run_id == RUN))
        entries = consent.latest_entries(connection, customer_id)
        records = incoming_mail.latest(connection, [], False, 1000)
    effects = [(str(record.kind), record.effect) for record in records if record.customer == f"K{customer_id}"]
    return {
        "events": sorted(map(repr, events)),
        "suppressed": suppressed["reason"] if suppressed else None,
        "state": state,
        "consents": {topic: entry.given for topic, entry in entries.items()},
        "messages": sorted((kind, effect.split()[0]) for kind, effect in effects if effect),
    }


@pytest.mark.parametrize("seed", range(8))
def test_the_profile_depends_on_neither_order_nor_repetition(look: Look, seed: int) -> None:
    chance = random.Random(seed)
    with look.store.write() as connection:
        feedback.store_links(connection, {number: f"https://shop.example.com/{number}" for number in LINKS})
        for topic in ("offers", "tracking"):
            consent.record_consent(connection, BEN, topic, True, BEGAN - timedelta(days=30), "import")
        connection.execute(dialect.table(Delivery).update().values(state="unconfirmed"))
    app = customer_site.site(look.store, webhooks=requests.webhooks(), fetch_from_aws=lambda url: requests.CERTIFICATE)
    object.__setattr__(app.state.site, "clock", lambda: BEGAN + timedelta(minutes=1))
    shuffled = everything(BEN) * chance.randrange(1, 4)
    chance.shuffle(shuffled)
    with TestClient(app, "http://127.0.0.1") as client:
        for send in [*everything(ADA), *shuffled]:
            assert send(client).status_code in (200, 302)
    assert profile(look.store, BEN) == profile(look.store, ADA)
    assert profile(look.store, BEN)["suppressed"] == "complained"
    kinds = {(row["kind"], row["by"]) for row in look.feedback()}
    assert kinds >= {("opened", "human"), ("clicked", "scanner"), ("bounced", "human"), ("unsubscribed", "human")}
