"""A mail in the browser: the customer's own page, and public copies without any customer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from mailshot.bootstrap import App
from mailshot.campaign import browser_view
from mailshot.deliver import pipeline
from mailshot.errors import NotFound, Refused
from mailshot.render import compose, problems
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import dialect, privacy, profiles, runs, tables
from mailshot.tokens import KeyRing, Purpose
from mailshot.web.app import create_app
from mailshot.web.site import SiteSettings
from tests.deliver.test_enclosures import HERO, write
from tests.support import campaigns, project
from tests.support.processes import Sink
from tests.support.project import Shop

KEYS = KeyRing.parse(project.KEYS)
BODY = """<!doctype html><html lang="en"><head><title>x</title><style>p {{ color: navy }}</style></head><body>
<p>Dear {{ customer.first_name }}, <img data-inline src="hero.png" alt="Hero"> {{ campaign.name }}</p>
{% for offer in offers %}<p>[{{ offer.name }}: {{ offer.reason }}]</p>{% endfor %}
{% if links.unsubscribe %}<p><a href="{{ links.unsubscribe }}">Unsubscribe</a>
<a href="{{ links.view_in_browser }}">View in browser</a></p>{% endif %}
{% if links.archive %}<p><a href="{{ links.archive }}">Share</a></p>{% endif %}
<p>{{ sender.postal_address }} <a href="https://shop.example/new">new</a></p></body></html>
""".replace("{{ color", "{ color").replace("navy }}", "navy }")
CAMPAIGN = """campaign: week
topic: offers
sender: bay
audience: all
holdout: 0%
archive: yes
content: [{name: picks & more, template: picks, offers: picks}]
offers: {picks: {products: {department: [GREEN, MEAT]}, take: 2, at_least: 1, fill: no}}
"""


@pytest.fixture
def shop(shop: Shop) -> Shop:
    opened = campaigns.open_shop(shop.store, shop.folder, CAMPAIGN)
    write(opened.folder, {"picks/subject.txt": "For {{ customer.first_name or 'all' }} <ü>", "picks/body.html": BODY})
    write(opened.folder, {"picks/hero.png": HERO})
    for number in range(25):
        customer = campaigns.add(opened, f"k{number:02}", first_name=f"Ida{number}")
        campaigns.buy(opened.store, customer, {1: 3, 2: 1} if number else {1: 1, 3: 9}, datetime.now(UTC))
    return opened


@pytest.fixture
def launched(shop: Shop, sink: Sink, app: Callable[..., App]) -> int:
    run_id = shop.launch(campaigns.edition(shop), datetime.now(UTC))
    pipeline.send_batch(app().send_settings, run_id, 1000, threading.Event())
    return run_id


@pytest.fixture
def client(shop: Shop) -> Iterator[TestClient]:
    rules = Rulebook.load(shop.folder)
    settings = SiteSettings(
        brand="Bay Shop", topics=rules.topics, statements=rules.statements, address_key=bytes.fromhex("0f" * 32)
    )
    with TestClient(create_app(shop.store, KEYS, settings), "http://127.0.0.1", follow_redirects=False) as opened:
        yield opened


def id_of(shop: Shop, key: str) -> int:
    with shop.store.read() as connection:
        return profiles.find_customer(connection, key)


def page_of(shop: Shop, run_id: int, key: str = "k01", email: str | None = None) -> str:
    mailbox = KEYS.fingerprint(email or f"{key}@mail.example")
    return f"/v/{KEYS.sign(Purpose.view, run_id, id_of(shop, key), mailbox)}"


def test_a_customer_sees_their_mail(shop: Shop, launched: int, client: TestClient, sink: Sink) -> None:
    sent = next(entry["data"] for entry in sink.entries() if entry["rcpt"] == "k01@mail.example")
    assert "/v/" in sent
    response = client.get(page_of(shop, launched))
    assert response.status_code == 200
    html = response.text
    assert "Dear Ida1," in html
    assert "[Product 1: You bought it 3 times]" in html
    assert 'src="data:image/png;base64,' in html
    assert 'href="https://shop.example/new"' in html, "links are not tracked, and there is no pixel"
    assert "/o/" not in html
    assert client.get(next(part for part in html.split('"') if part.startswith("/u/"))).status_code == 200


def test_the_page_is_in_a_sandbox_and_tells_no_address(shop: Shop, launched: int, client: TestClient) -> None:
    headers = client.get(page_of(shop, launched)).headers
    policy = headers["content-security-policy"]
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "noindex" in headers["x-robots-tag"]


def test_looking_changes_nothing(shop: Shop, launched: int, client: TestClient) -> None:
    def rows() -> list[object]:
        with shop.store.read() as connection:
            return [
                connection.execute(dialect.table(model).select()).all()
                for model in (tables.Feedback, tables.Delivery, tables.Consent, tables.Link)
            ]

    before = rows()
    for method in ("get", "head"):
        getattr(client, method)(page_of(shop, launched))
        client.request(method, f"/archive/{launched}/picks%20%26%20more")
        client.request(method, "/archive")
    assert rows() == before


@pytest.mark.parametrize("word", ["u", "p", "c", "o"])
def test_only_its_own_link_opens_a_mail(shop: Shop, launched: int, client: TestClient, word: str) -> None:
    purposes = {"u": Purpose.unsubscribe, "p": Purpose.preferences, "c": Purpose.click, "o": Purpose.open}
    token = KEYS.sign(purposes[word], launched, id_of(shop, "k01"), KEYS.fingerprint("k01@mail.example"))
    assert client.get(f"/v/{token}").status_code == 404


def test_whoever_has_the_address_later_sees_no_mail(shop: Shop, launched: int, client: TestClient) -> None:
    assert client.get(page_of(shop, launched, email="other@mail.example")).status_code == 404


def test_an_erased_customer_has_no_page(shop: Shop, launched: int, client: TestClient) -> None:
    address = page_of(shop, launched)
    with shop.store.write() as connection:
        privacy.erase(connection, id_of(shop, "k01"), bytes.fromhex("0f" * 32), "page", datetime.now(UTC))
    assert client.get(address).status_code == 410


def test_a_mail_that_was_not_sent_has_no_page(shop: Shop, client: TestClient) -> None:
    run_id = shop.launch(campaigns.edition(shop), datetime.now(UTC))
    assert client.get(page_of(shop, run_id)).status_code == 410


def test_after_90_days_the_page_ends(shop: Shop, launched: int, client: TestClient) -> None:
    with shop.store.write() as connection:
        table = dialect.table(tables.Run)
        connection.execute(table.update().values(launched_at=datetime.now(UTC) - timedelta(days=91)))
    response = client.get(page_of(shop, launched))
    assert response.status_code == 410
    assert "no longer shown" in response.text


def test_a_test_mail_has_no_page(client: TestClient) -> None:
    response = client.get(f"/v/{KEYS.sign(Purpose.view, 0, 0, KEYS.fingerprint('k01@mail.example'))}")
    assert "This is a test mail" in response.text


def test_the_public_copy_has_nothing_of_a_customer(shop: Shop, launched: int, client: TestClient) -> None:
    listed = client.get("/archive").text
    assert "For all &lt;ü&gt;" in listed
    address = f"/archive/{launched}/picks%20%26%20more"
    assert address in listed
    html = client.get(address).text
    assert "Ida" not in html
    assert "/u/" not in html
    assert "/v/" not in html
    assert "[Product 1:" in html
    assert "[Product 2:" in html
    assert "[Product 3:" not in html, "one customer's choice is nobody else's business"
    assert "You bought" not in html
    assert 'src="data:image/png;base64,' in html


def test_the_mail_names_its_public_copy(shop: Shop, launched: int, sink: Sink) -> None:
    assert compose.archive_url("https://x.example", 3, "a/b & c") == "https://x.example/archive/3/a%2Fb%20%26%20c"
    assert f"/archive/{launched}/picks%20%26%20more" in sink.entries()[0]["data"].replace("=\r\n", "")


def test_an_imported_run_has_no_copy(shop: Shop, launched: int, client: TestClient) -> None:
    campaigns.sent(shop.store, id_of(shop, "k01"), "imported", datetime.now(UTC))
    with shop.store.write() as connection:
        connection.execute(
            dialect.table(tables.Run).update().values(state="past").where(tables.Run.campaign == "imported")
        )
        (imported,) = runs.runs_of(connection, "imported")
    with pytest.raises(Refused, match="was imported"):
        browser_view.set_archived(shop.store, imported.id, True)
    with pytest.raises(NotFound):
        browser_view.set_archived(shop.store, 99, True)
    assert client.get(page_of(shop, imported.id)).status_code in (404, 410)


def test_a_run_can_leave_the_archive(shop: Shop, launched: int, client: TestClient) -> None:
    browser_view.set_archived(shop.store, launched, False)
    assert client.get(f"/archive/{launched}/picks%20%26%20more").status_code == 404
    assert "no mail here yet" in client.get("/archive").text


@pytest.mark.parametrize(
    "path",
    [
        "/archive/99/x",
        "/archive/1/nothing",
        "/archive/x/y",
        "/archive/1/",
        "/archive/-1/x",
        f"/archive/{2**64}/x",
        f"/archive/{'9' * 5000}/x",
    ],
)
def test_what_is_not_in_the_archive_is_not_found(launched: int, client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_campaign_is_not_public_unless_it_says_so(
    shop: Shop, sink: Sink, app: Callable[..., App], client: TestClient
) -> None:
    campaigns.write(shop, "rules/campaigns/week.yaml", CAMPAIGN.replace("archive: yes\n", ""))
    run_id = shop.launch(campaigns.edition(shop), datetime.now(UTC))
    pipeline.send_batch(app().send_settings, run_id, 1000, threading.Event())
    assert "/archive/" not in sink.entries()[0]["data"]
    assert client.get(f"/archive/{run_id}/picks%20%26%20more").status_code == 404


def test_a_copy_that_cannot_be_rendered_stops_the_launch(shop: Shop) -> None:
    write(shop.folder, {"picks/body.html": BODY.replace("{{ campaign.name }}", "{{ customer.first_name[0] }}")})
    made = campaigns.planned(shop, datetime.now(UTC))
    assert any("the copy for the public archive cannot be rendered" in error for error in made.errors)


def test_a_copy_that_cannot_be_rendered_any_more_is_tried_once(
    shop: Shop, launched: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every visitor of the archive would wait for it, one after another."""
    tried: list[object] = []

    def refuse(*arguments: object) -> object:
        tried.append(arguments)
        raise problems.RenderError("no longer allowed")

    monkeypatch.setattr(compose, "public_copy", refuse)
    views = browser_view.BrowserViews(shop.store, KEYS)
    assert views.archived_mails() == []
    assert views.archived_mails() == []
    assert len(tried) == 1
