"""Every link of mails that the shipped templates make: fetching changes nothing, and one-click POSTs are obeyed."""

from __future__ import annotations

import email
import email.policy
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from random import Random
from typing import Any

import pytest
from starlette.testclient import TestClient

from mailshot.bootstrap import App
from mailshot.campaign import launch, plan, snapshot
from mailshot.deliver import confirmations, pipeline, requested_mails
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import confirmations as asked
from mailshot.store import consent, purchase_totals, tables
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing
from tests.support import customer_site, ledger_rows, mail_visitors, project
from tests.support.campaigns import insert
from tests.support.processes import Sink
from tests.support.project import Shop

ROOT = Path(__file__).parents[2]
TEMPLATES = ("market", "vegetables", "weekly", "winback")
CAMPAIGN = """campaign: {name}
topic: offers
sender: greenleaf
audience: everyone
holdout: 0%
archive: yes
content: [{{name: {name}, template: {name}, offers: picks}}]
offers:
  picks: {{products: {{department: PRODUCE}}, take: 6, at_least: 1, fill: yes}}
"""
COMPANY = "brand: Greenleaf Market\ntime_zone: America/New_York\nlink_hosts: [shop.greenleaf.example]\n"
#: What may change: clicks and opens as they came, and the queue of customers whose conversions are looked at again.
RAW = {"feedback", "conversion_due"}
_URL = re.compile(r'(?:href|src)="(http://127\.0\.0\.1[^"]*)"|<(http://127\.0\.0\.1[^>]*)>')
AGENTS = (
    *mail_visitors.BROWSERS,
    mail_visitors.GMAIL,
    mail_visitors.APPLE_PRIVACY,
    "",
    "curl/8.14",
    "BarracudaCentral",
)


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    """Return a shop with the shipped templates and three customers who agreed to everything."""
    opened = Shop.open(store, tmp_path / "shop")
    shutil.copytree(ROOT / "templates", opened.folder / "templates", dirs_exist_ok=True)
    for name in ("facts", "topics", "senders", "preferences", "products"):
        shutil.copy(ROOT / f"rules/{name}.yaml", opened.folder / "rules")
    (opened.folder / "rules/company.yaml").write_text(COMPANY)
    (opened.folder / "rules/campaigns").mkdir()
    for name in TEMPLATES:
        (opened.folder / f"rules/campaigns/{name}.yaml").write_text(CAMPAIGN.format(name=name))
    products = [
        {"id": n, "key": f"P{n}", "name": f"Product {n}", "department": "PRODUCE", "category": "TOMATOES",
         "url": f"https://shop.greenleaf.example/p/{n}", "known": True, "facts": {}} for n in range(1, 9)
    ]  # fmt: skip
    insert(store, tables.Product, products)
    opened.add(project.people(3))
    lines = [
        {"customer_id": number, "order_key": "r", "product_id": n, "at": project.NOW, "nth": 1, "quantity": 1,
         "amount": 1}
        for number in opened.customers for n in range(1, 9)
    ]  # fmt: skip
    insert(store, tables.Purchase, lines)
    with store.write() as connection:
        purchase_totals.refresh(connection, opened.customers)
        for number in opened.customers:
            consent.record_consent(connection, number, "tracking", True, project.NOW, "test")
    return opened


@pytest.fixture
def site(shop: Shop) -> Iterator[TestClient]:
    opened = customer_site.site(shop.store, keys=KeyRing.parse(project.KEYS))
    with TestClient(opened, "http://127.0.0.1:8000", follow_redirects=False) as client:
        yield client


def begin(shop: Shop, name: str) -> int:
    """Plan and launch a campaign, and send nothing."""
    edition, now = snapshot.take_snapshot(Rulebook.load(shop.folder), shop.folder, name), customer_site.now()
    plan.make_plan(shop.store, edition, now, now)
    run_id = launch.launch_plan(shop.store, edition, now, now).run_id
    assert run_id is not None
    return run_id


def send(app: App, run_id: int) -> None:
    pipeline.send_batch(app.send_settings, run_id, 1000, threading.Event())


def links_of(entry: dict[str, Any]) -> list[str]:
    """Return the links to the customer site in a mail's header and HTML."""
    message: Any = email.message_from_string(entry["data"], policy=email.policy.SMTP)
    html = message.get_body(("html", "plain")).get_content()
    return [
        unescape(in_header or in_html)
        for in_header, in_html in _URL.findall(f"{message['List-Unsubscribe'] or ''}\n{html}")
    ]


@pytest.fixture
def links(shop: Shop, app: Callable[..., App], sink: Sink) -> list[str]:
    """Send a mail of each template and the one with the link to a customer's own data; return all links."""
    process = app(base_url="http://127.0.0.1:8000")
    runs = [begin(shop, name) for name in TEMPLATES]
    for run_id in runs:
        send(process, run_id)
    with shop.store.write() as connection:
        assert asked.ask(connection, shop.customers[0], runs[0], customer_site.now()) is None
    settings, now = process.send_settings, customer_site.now()
    assert requested_mails.send_due(settings, confirmations.LINKS, now, threading.Event()) == 1
    mail_links = [link for entry in sink.entries() for link in links_of(entry)]
    archived = [f"http://127.0.0.1:8000/archive/{run_id}/{name}" for run_id, name in zip(runs, TEMPLATES, strict=True)]
    return [*dict.fromkeys(mail_links), *archived]


def fetch(site: TestClient, shop: Shop, links: list[str], hits: int) -> None:
    """Fetch links as anything may, and compare all rows but the raw ones before and after."""
    kinds = {link.split("/")[3] for link in links}
    assert kinds == {"u", "p", "v", "c", "o", "d", "archive"}
    look, chance = customer_site.Look(shop.store), Random(7)
    before = look.everything()
    for number in range(hits):
        headers = {"User-Agent": chance.choice(AGENTS)} | ({"Purpose": "prefetch"} if number % 5 == 0 else {})
        answer = site.request(chance.choice(("GET", "GET", "HEAD")), links[number % len(links)], headers=headers)
        assert answer.status_code in (200, 204, 302), links[number % len(links)]
    after = look.everything()
    assert {name for name in before if before[name] != after[name]} <= RAW
    rows = look.feedback()
    assert {row["kind"] for row in rows} == {"opened", "clicked"}
    assert {row["by"] for row in rows} >= {"human", "scanner", "proxy"}


def test_fetching_every_link_changes_nothing_but_raw_events(site: TestClient, shop: Shop, links: list[str]) -> None:
    fetch(site, shop, links, 600)


@pytest.mark.torture
def test_ten_thousand_fetches_change_nothing_but_raw_events(site: TestClient, shop: Shop, links: list[str]) -> None:
    fetch(site, shop, links, 10_000)


@pytest.mark.parametrize("multipart", [False, True], ids=["urlencoded", "multipart"])
def test_one_click_holds_for_mails_whose_dot_is_not_out(
    site: TestClient, shop: Shop, app: Callable[..., App], sink: Sink, multipart: bool
) -> None:
    process = app(base_url="http://127.0.0.1:8000")
    send(process, begin(shop, "market"))
    entries = {entry["rcpt"]: entry for entry in sink.entries()}
    waiting = begin(shop, "weekly")
    header = email.message_from_string(entries["c1@mail.example"]["data"])
    assert header["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    url = header["List-Unsubscribe"].strip("<>")
    part: Any = (None, "One-Click") if multipart else "One-Click"
    body: dict[str, Any] = {"files" if multipart else "data": {"List-Unsubscribe": part}}
    assert site.post(url, **body).status_code == 200
    send(process, waiting)
    assert sorted(entry["rcpt"] for entry in sink.entries()) == [
        f"c{number}@mail.example" for number in (1, 2, 2, 3, 3)
    ]
    rows = ledger_rows.rows(shop.store, waiting)
    assert [rows[number]["reason"] for number in shop.customers] == ["no consent", None, None]
