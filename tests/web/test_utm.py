"""Checks UTM parameters from the rules of a launched run, through its mails, to the redirect of a click."""

from __future__ import annotations

import email
import email.policy
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event, update
from starlette.testclient import TestClient

from mailshot.bootstrap import App
from mailshot.deliver import pipeline
from mailshot.feedback import link_parameters
from mailshot.feedback.link_parameters import RunParameters
from mailshot.profile.topics import TRACKING
from mailshot.store import consent, dialect, tables
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing
from mailshot.web import app as web_app
from mailshot.web.site import SiteSettings
from tests.support import customer_site, project
from tests.support.processes import Sink
from tests.support.project import Shop

BODY = """<p>Read <a href="https://shop.example/new?from=mail&amp;a=%7E#top">what is new</a>, <a
href="https://other.example/">elsewhere</a>.</p>
<p><a href="{{ links.unsubscribe }}">Unsubscribe</a>, {{ sender.postal_address }}</p>
"""
COMPANY = "brand: Bay Shop\nlink_hosts: [Shop.Example]\n"
UTM = "utm: {source: shop, medium: email, term: words}\n"
SENDER = project.FILES["rules/senders.yaml"]
FILES = {
    "rules/company.yaml": COMPANY + UTM,
    "rules/senders.yaml": SENDER + "  utm: {source: '{sender}', content: from the sender}\n",
    "templates/hello/body.html": BODY,
}
CAMPAIGN = "utm: {term: '', campaign: '{campaign} {topic}', content: '{content}'}\n"
STORED = "https://shop.example/new?from=mail&a=%7E#top"
ADDED = "utm_source=bay&utm_medium=email&utm_campaign=gr%C3%BCne%20Woche%20offers&utm_content=hello"
LINK = re.compile(r'href="(http://127\.0\.0\.1:8080/c/[^"]+)"')
Apps = Callable[..., App]
Click = Callable[[int], list[str]]


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    opened = Shop.open(store, tmp_path / "shop", 2, FILES)
    with store.write() as connection:
        for customer in opened.customers:
            consent.record_consent(connection, customer, TRACKING, True, project.NOW, "import")
    return opened


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    settings = SiteSettings(
        "Bay Shop",
        customer_site.TOPICS,
        customer_site.STATEMENTS,
        bytes.fromhex(project.ADDRESS_KEY),
        limits=customer_site.generous(),
    )
    site = web_app.create_app(store, KeyRing.parse(project.KEYS), settings)
    headers = {"User-Agent": customer_site.BROWSER}
    with TestClient(site, "http://127.0.0.1", follow_redirects=False, headers=headers) as opened:
        yield opened


@pytest.fixture
def click(client: TestClient, sink: Sink, app: Apps) -> Click:
    """Give a function that sends a run and returns where the links of its last mail lead."""

    def clicked(run_id: int) -> list[str]:
        pipeline.send_batch(app().send_settings, run_id, 100, threading.Event())
        message = email.message_from_string(sink.entries()[-1]["data"], policy=email.policy.default)
        html = message.get_body(("html",))
        assert html is not None
        *links, _ = LINK.findall(html.get_content())  # the last one is hidden
        return locations(client, links)

    return clicked


def locations(client: TestClient, links: list[str]) -> list[str]:
    answers = [client.get(link.removeprefix("http://127.0.0.1:8080")) for link in links]
    assert {answer.status_code for answer in answers} == {302}
    return [answer.headers["location"] for answer in answers]


def write(shop: Shop, path: str, text: str) -> None:
    (shop.folder / path).write_text(text, encoding="utf-8")


def with_utm(url: str) -> str:
    return url.replace("#top", f"&{ADDED}#top")


def test_a_click_has_the_parameters_of_the_run(shop: Shop, click: Click) -> None:
    run_id = shop.launch(shop.campaign("grüne Woche", CAMPAIGN))
    assert click(run_id) == [with_utm(STORED), "https://other.example/"]
    with shop.store.read() as connection:
        urls = set(connection.scalars(dialect.table(tables.Link).select().with_only_columns(tables.Link.url)))
    assert urls == {STORED, "https://other.example/"}


def test_later_rules_change_no_mail_that_was_sent(shop: Shop, click: Click) -> None:
    run_id = shop.launch(shop.campaign("grüne Woche", CAMPAIGN))
    write(shop, "rules/company.yaml", "brand: Bay Shop\nlink_hosts: [other.example]\n")
    write(shop, "rules/senders.yaml", SENDER)
    shop.campaign("grüne Woche", "utm: {campaign: new}\n")
    assert click(run_id) == [with_utm(STORED), "https://other.example/"]


@pytest.mark.parametrize(
    ("written", "location"),
    [
        ("https://other.example/gulrøtter", "https://other.example/gulr%C3%B8tter"),
        (
            "https://bücher.example/søk?q=blåbær&amp;page=2#øverst",
            "https://xn--bcher-kva.example/s%C3%B8k?q=bl%C3%A5b%C3%A6r&page=2#%C3%B8verst",
        ),
        ("https://other.example/🥕/%F0%9F%A5%95", "https://other.example/%F0%9F%A5%95/%F0%9F%A5%95"),
        ("https://other.example/a?b=1&copy=2&reg;=3", "https://other.example/a?b=1&copy=2%C2%AE=3"),
    ],
)
def test_addresses_outside_ascii_reach_the_browser(shop: Shop, click: Click, written: str, location: str) -> None:
    write(shop, "templates/hello/body.html", BODY.replace("https://other.example/", written))
    assert click(shop.launch(shop.campaign("grüne Woche", CAMPAIGN)))[1] == location


def test_runs_of_one_process_have_their_own_parameters(shop: Shop, click: Click) -> None:
    first = shop.launch(shop.campaign("grüne Woche", CAMPAIGN))
    second = shop.launch(shop.campaign("red", "utm: {source: '', medium: '', term: '', content: ''}\n"))
    third = shop.launch(shop.campaign("blue", "utm: {source: '', medium: '', content: ''}\n"))
    assert click(first)[0] == with_utm(STORED)
    assert click(second)[0] == STORED
    assert click(third)[0] == STORED.replace("#", "&utm_term=words#")


def test_a_run_that_was_frozen_without_them_adds_none(shop: Shop, click: Click) -> None:
    for name, text in {"rules/company.yaml": COMPANY, "rules/senders.yaml": SENDER}.items():
        write(shop, name, text)
    edition = shop.campaign("grüne Woche")
    assert "utm" not in edition.body["mailing"]
    run_id = shop.launch(edition)
    write(shop, "rules/company.yaml", COMPANY + UTM)
    assert click(run_id) == [STORED, "https://other.example/"]


def test_a_withdrawn_consent_to_tracking_changes_no_address(shop: Shop, client: TestClient, click: Click) -> None:
    run_id = shop.launch(shop.campaign("grüne Woche", CAMPAIGN))
    click(run_id)
    with shop.store.write() as connection:
        for customer in shop.customers:
            consent.record_consent(connection, customer, TRACKING, False, datetime.now(UTC), "page")
    assert click(run_id)[0] == with_utm(STORED)


def test_settings_of_a_run_are_read_once_and_few_are_kept(shop: Shop) -> None:
    runs = [shop.launch(shop.campaign(name, f"utm: {{content: {name}}}\n")) for name in ("a", "b", "c")]
    statements: list[str] = []
    event.listen(shop.store.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    parameters = RunParameters(most=2)

    def read(run_id: int) -> tuple[str, int]:
        statements.clear()
        with shop.store.read() as connection:
            url = parameters.of(connection, run_id).add_to("https://shop.example", "hello")
        return url[-1], sum("frozen" in statement for statement in statements)

    assert [read(run_id) for run_id in (runs[0], runs[1], runs[0], runs[2])] == [("a", 1), ("b", 1), ("a", 0), ("c", 1)]
    assert [read(run_id) for run_id in (runs[0], runs[2], runs[1])] == [("a", 0), ("c", 0), ("b", 1)]


def test_an_imported_run_and_an_unknown_one_add_none(shop: Shop) -> None:
    run_id = shop.launch(shop.campaign("grüne Woche", CAMPAIGN))
    with shop.store.write() as connection:
        run = dialect.table(tables.Run)
        connection.execute(update(run).where(run.c.id == run_id).values(definition=""))
        for number in (run_id, run_id + 1):
            assert RunParameters().of(connection, number) == link_parameters.LinkParameters()
