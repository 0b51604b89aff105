"""Machines and people visit real mails over HTTP: how many clicks that count as a person's are one, and the reverse."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import select

from mailshot.bootstrap import App
from mailshot.deliver import pipeline
from mailshot.states import FeedbackClass, FeedbackKind
from mailshot.store import consent, dialect, tables
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing, Purpose
from mailshot.web.server import ThreadedServer
from tests.support import customer_site, ledger_rows, mail_visitors, project
from tests.support.mail_visitors import AT_HANDOVER, GATEWAYS, PEOPLE, PROXIES, DeliveredMail, Visit
from tests.support.project import Shop

SEED = 20
MAILS_OF_A_GATEWAY, READERS = 20, 200
LINKS = "".join(f'<p><a href="https://shop.example/offer-{n}">Offer {n}</a></p>\n' for n in range(1, 6))
BODY = f"""<!doctype html>
<html lang="en"><head><title>Offers</title></head><body>
{LINKS}
<p><a href="{{{{ links.unsubscribe }}}}">Unsubscribe</a>, <a href="{{{{ links.preferences }}}}">Preferences</a>,
{{{{ sender.postal_address }}}}</p>
</body></html>
"""
KEYS = KeyRing.parse(project.KEYS)


@dataclass
class MailServer:
    """Takes mails and, for recipients of the kinds in `AT_HANDOVER`, visits their links before it accepts them."""

    mails: dict[str, DeliveredMail] = field(default_factory=dict)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        (recipient,) = envelope.rcpt_tos
        mail = DeliveredMail.parse(recipient, envelope.content)
        kind = kind_of(recipient)
        if kind in AT_HANDOVER:
            await asyncio.to_thread(self._visit, mail, GATEWAYS[kind](Random(SEED), mail))
        self.mails[recipient] = mail
        return "250 OK"

    def _visit(self, mail: DeliveredMail, visits: list[Visit]) -> None:
        for visit in visits:
            assert httpx.get(visit.url, headers={"User-Agent": visit.agent}).status_code == 302


@dataclass
class Clock:
    """The clock of the site: the real one, until it is set."""

    moment: datetime | None = None

    def __call__(self) -> datetime:
        return self.moment or customer_site.now()


@dataclass
class Post:
    """Everything between the shop and its readers: the mail server, the customer site and its clock."""

    shop: Shop
    app: App
    server: MailServer
    clock: Clock
    client: httpx.Client

    def send(self) -> int:
        run_id = self.shop.launch(self.shop.campaign())
        pipeline.send_batch(self.app.send_settings, run_id, 10_000, threading.Event())
        return run_id


def kind_of(recipient: str) -> str:
    return recipient.partition("@")[0].rpartition("-")[0]


@pytest.fixture
def post(store: Store, tmp_path: Any, app: Callable[..., App]) -> Iterator[Post]:
    shop = Shop.open(store, tmp_path / "shop", 0, {"templates/hello/body.html": BODY})
    clock, server = Clock(), MailServer()
    port, smtp_port = customer_site.free_port(), customer_site.free_port()
    site = customer_site.site(store, keys=KEYS)
    site.state.site = replace(site.state.site, clock=clock)
    web = ThreadedServer(site, "127.0.0.1", port)
    controller = Controller(server, "127.0.0.1", smtp_port)
    web.start()
    controller.start()
    try:
        with httpx.Client() as client:
            settings = {"smtp": f"smtp://127.0.0.1:{smtp_port}", "base_url": f"http://127.0.0.1:{port}"}
            yield Post(shop, app(**settings), server, clock, client)
    finally:
        controller.stop()
        web.stop()


def people(kinds: dict[str, int]) -> list[dict[str, Any]]:
    """Return customers whose addresses say which kind of visitor their mails get."""
    names = [f"{kind}-{number}" for kind, many in kinds.items() for number in range(many)]
    return [project.person(name, f"{name}@mail.example") for name in names]


@dataclass(frozen=True)
class Labelled:
    visit: Visit
    kind: str
    by_person: bool
    at: datetime


def everything(chance: Random, mails: dict[str, DeliveredMail], dots: dict[str, datetime]) -> list[Labelled]:
    """Return the visits to all mails in the order of time."""
    visits = []
    for recipient, mail in sorted(mails.items()):
        kind = kind_of(recipient)
        if kind in GATEWAYS and kind not in AT_HANDOVER:
            visits += [(visit, kind, False, recipient) for visit in GATEWAYS[kind](chance, mail)]
        if kind in PEOPLE or (kind not in PROXIES and chance.random() < 0.5):
            reader = PEOPLE[kind][0] if kind in PEOPLE else mail_visitors.reads_and_clicks
            visits += [(visit, kind, True, recipient) for visit in reader(chance, mail)]
    labelled = [
        Labelled(visit, kind, person, dots[recipient] + timedelta(seconds=visit.after))
        for visit, kind, person, recipient in visits
    ]
    return sorted(labelled, key=lambda it: it.at)


def test_clicks_of_people_are_told_from_those_of_machines(post: Post) -> None:
    kinds = dict.fromkeys(GATEWAYS, MAILS_OF_A_GATEWAY) | {
        kind: share * READERS // 100 for kind, (_, share) in PEOPLE.items()
    }
    post.shop.add(people(kinds))
    track(post.shop)
    run_id = post.send()
    assert len(post.server.mails) == sum(kinds.values())
    addresses = customers(post.shop)
    dots = {addresses[number]: row["dotted_at"] for number, row in ledger_rows.rows(post.shop.store, run_id).items()}
    visits = everything(Random(SEED), post.server.mails, dots)
    for labelled in visits:
        post.clock.moment = labelled.at
        visit = labelled.visit
        answer = post.client.request(visit.method, visit.url, headers={"User-Agent": visit.agent})
        assert answer.status_code in (200, 204, 302)
    judge(post, visits, dots)


def judge(post: Post, visits: list[Labelled], dots: dict[str, datetime]) -> None:
    """Print and check the figures: of clicks that count as a person's, and of opens by proxies."""
    rows = customer_site.Look(post.shop.store).feedback()
    human = {place(row["customer_id"], row["link_id"], row["at"]) for row in rows
             if (row["kind"], row["by"]) == (FeedbackKind.clicked, FeedbackClass.human)}  # fmt: skip
    right: Counter[tuple[str, bool]] = Counter()
    total: Counter[tuple[str, bool]] = Counter()
    for labelled in visits:
        ids = KEYS.verify(Purpose.click, labelled.visit.url.rpartition("/")[2]) if "/c/" in labelled.visit.url else None
        if ids and len(ids) == 3 and labelled.visit.method == "GET":
            total[labelled.kind, labelled.by_person] += 1
            right[labelled.kind, labelled.by_person] += (place(*ids[1:], labelled.at) in human) is labelled.by_person
    early = [row for row in rows if kind_of(customers(post.shop)[row["customer_id"]]) in AT_HANDOVER
             and row["at"] < post.clock.moment - timedelta(days=1) and row["by"] == FeedbackClass.scanner]  # fmt: skip
    for kind, person in sorted(total):
        print(f"{'person' if person else 'machine'} {kind}: {right[kind, person]} of {total[kind, person]}")
    clicks = sum(total[key] for key in total if key[1])
    recognised = sum(right[key] for key in total if key[1])
    wrong = sum(total[key] - right[key] for key in total if not key[1])
    precision, recall = recognised / (recognised + wrong), recognised / clicks
    print(f"precision {precision:.4f}, recall {recall:.4f}, {len(rows)} rows")
    assert len(early) == 2 * MAILS_OF_A_GATEWAY
    assert precision >= 0.98
    assert recall >= 0.90
    opens = {kind_of(customers(post.shop)[row["customer_id"]]): row["by"] for row in rows if row["kind"] == "opened"}
    assert {opens[kind] for kind in PROXIES} == {"proxy"}


def place(customer_id: int, link_id: int | None, at: datetime) -> tuple[int, int | None, str]:
    return customer_id, link_id, f"{at:%Y-%m-%dT%H:%M}"


def track(shop: Shop) -> None:
    """Let all customers agree to tracking."""
    with shop.store.write() as connection:
        for number in shop.customers:
            consent.record_consent(connection, number, "tracking", True, project.NOW, "test")


def customers(shop: Shop) -> dict[int, str]:
    """Return the addresses by number."""
    customer = dialect.table(tables.Customer).c
    with shop.store.read() as connection:
        return {row.id: row.email for row in connection.execute(select(customer.id, customer.email))}
