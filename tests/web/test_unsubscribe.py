"""Checks the unsubscribe page, its one-click POST and the page of topics."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from mailshot.store import consent, dialect, preferences
from mailshot.store.tables import Customer
from mailshot.tokens import KeyRing, Purpose
from mailshot.web import app
from mailshot.web.site import SiteSettings
from tests.support import customer_site
from tests.support.customer_site import ADA, BEN, PREFERENCES, RUN, UNSUBSCRIBE
from tests.support.pages import form as form_of

HITS = int(os.environ.get("MAILSHOT_TEST_HITS", "1000"))
FORMS = {"one-click": {"List-Unsubscribe": "One-Click"}, "button": {"leave": "yes"}}


def encoded(fields: dict[str, str], multipart: bool) -> dict[str, Any]:
    return {"files": {name: (None, value) for name, value in fields.items()}} if multipart else {"data": fields}


@pytest.mark.parametrize("multipart", [False, True], ids=["urlencoded", "multipart"])
@pytest.mark.parametrize("form", FORMS)
def test_a_post_unsubscribes_at_once_and_once(
    client: TestClient, look: customer_site.Look, form: str, multipart: bool
) -> None:
    foreign = {"Origin": "https://mail.example", "Sec-Fetch-Site": "cross-site"}
    for _ in range(3):
        answer = client.post(UNSUBSCRIBE, headers=foreign, **encoded(FORMS[form], multipart))
        assert answer.status_code == 200
        assert "location" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert "You are unsubscribed" in answer.text
        assert look.given(ADA, "offers") is False
    (row,) = look.feedback()
    assert (row["kind"], row["run_id"], row["detail"]) == ("unsubscribed", RUN, {"topic": "offers"})
    assert look.given(ADA, "tracking") is True


def test_a_customer_without_consent_is_unsubscribed_too(client: TestClient, look: customer_site.Look) -> None:
    assert client.post(customer_site.path(Purpose.unsubscribe, RUN, BEN), data=FORMS["one-click"]).status_code == 200
    assert look.given(BEN, "offers") is False


def test_after_subscribing_again_the_old_mail_still_unsubscribes(client: TestClient, look: customer_site.Look) -> None:
    client.post(UNSUBSCRIBE, data=FORMS["one-click"])
    client.post(PREFERENCES, data={"shown": "{}", "topic.offers": "on"})
    assert look.given(ADA, "offers") is True
    client.post(UNSUBSCRIBE, data=FORMS["one-click"])
    assert look.given(ADA, "offers") is False
    assert len(look.feedback("unsubscribed")) == 2


@pytest.mark.parametrize("body", [{}, {"List-Unsubscribe": "No"}, {"other": "One-Click"}])
def test_another_body_changes_nothing(client: TestClient, look: customer_site.Look, body: dict[str, str]) -> None:
    assert client.post(UNSUBSCRIBE, data=body).status_code == 400
    assert look.given(ADA, "offers") is True


def test_viewing_the_page_changes_nothing(client: TestClient, look: customer_site.Look) -> None:
    with look.store.write() as connection:
        data = customer_site.own_data(connection, ADA, "ada@example.com")
    before = look.everything()
    pages = [UNSUBSCRIBE, f"{UNSUBSCRIBE}/topics", PREFERENCES, f"{PREFERENCES}/data", data, f"{UNSUBSCRIBE}?leave=yes"]
    for number in range(HITS):
        headers = {"Purpose": "prefetch"} if number % 3 == 0 else {}
        method = "HEAD" if number % 2 else "GET"
        assert client.request(method, pages[number % len(pages)], headers=headers).status_code == 200
    assert look.everything() == before


def test_an_unknown_run_or_customer_is_not_found(client: TestClient) -> None:
    for ids in ((99, ADA), (RUN, 99)):
        path = customer_site.path(Purpose.unsubscribe, *ids)
        assert client.get(path).status_code == 404
        assert client.post(path, data=FORMS["one-click"]).status_code == 404


def test_a_link_signed_with_an_older_key_still_works(look: customer_site.Look) -> None:
    old = KeyRing({1: bytes(range(16))})
    keys = KeyRing({number: bytes([number]) * 16 for number in (6, 5, 4, 3, 2)} | {1: bytes(range(16))})
    settings = SiteSettings("Greenleaf", customer_site.TOPICS, customer_site.STATEMENTS, customer_site.ADDRESS_KEY)
    site = app.create_app(look.store, keys, settings)
    with TestClient(site) as client:
        path = f"/u/{old.sign(Purpose.unsubscribe, RUN, ADA)}"
        assert client.post(path, data=FORMS["one-click"]).status_code == 200
    assert look.given(ADA, "offers") is False


SUFFIXES = (
    (Path(__file__).parents[1] / "inputs/W04-unsubscribe-suffixes.txt").read_text(encoding="utf-8").splitlines()[1:]
)


@pytest.mark.parametrize("suffix", [*SUFFIXES, "%22", "%27", "]", "%C2%A0", ").", "/.", "-", "_", ">%0D%0A"])
def test_a_link_with_something_appended_works(client: TestClient, look: customer_site.Look, suffix: str) -> None:
    assert client.get(f"{UNSUBSCRIBE}{suffix}").status_code == 200
    assert look.given(ADA, "offers") is True
    assert client.post(f"{UNSUBSCRIBE}{suffix}", data=FORMS["one-click"]).status_code == 200
    assert look.given(ADA, "offers") is False


@pytest.mark.parametrize("dead", ["/u/x", "/u/", "/u/%20", UNSUBSCRIBE[:-1], UNSUBSCRIBE.replace("/u/", "/u/A")])
def test_a_broken_unsubscribe_link_names_an_address_to_write_to(
    client: TestClient, look: customer_site.Look, dead: str
) -> None:
    before = look.everything()
    for answer in (client.get(dead), client.post(dead, data=FORMS["one-click"])):
        assert answer.status_code == 404
        assert "This link does not work" in answer.text
        assert "hello@greenleaf.example.com" in answer.text
    assert look.everything() == before


def test_an_unsubscribed_customer_sees_it(client: TestClient, look: customer_site.Look) -> None:
    assert "Stop mail about" in client.get(UNSUBSCRIBE).text
    client.post(UNSUBSCRIBE, data=FORMS["button"])
    before = look.everything()
    page = client.get(UNSUBSCRIBE).text
    assert "You are unsubscribed" in page
    assert "<form" not in page
    assert look.everything() == before
    client.post(PREFERENCES, data={"shown": "{}", "topic.offers": "on"})
    assert "Stop mail about" in client.get(UNSUBSCRIBE).text


def test_a_customer_sees_that_another_of_the_inbox_unsubscribed(client: TestClient, look: customer_site.Look) -> None:
    customer = dialect.table(Customer)
    with look.store.write() as connection:
        hashed = select(customer.c.address_hash).where(customer.c.id == ADA).scalar_subquery()
        connection.execute(customer.update().where(customer.c.id == BEN).values(address_hash=hashed))
        consent.record_consent(connection, BEN, "offers", False, customer_site.BEGAN, "import")
    assert "You are unsubscribed" in client.get(UNSUBSCRIBE).text


def test_unsubscribing_leads_to_the_topics_and_to_nothing_else(client: TestClient, look: customer_site.Look) -> None:
    page = client.post(UNSUBSCRIBE, data=FORMS["one-click"]).text
    assert f'href="{UNSUBSCRIBE}/topics"' in page
    assert "/p/" not in page
    topics = client.get(f"{UNSUBSCRIBE}/topics").text
    assert set(form_of(topics)) == {"shown", "topic.service"}
    sent = {"shown": form_of(topics)["shown"], "topic.service": "on", "topic.offers": "on"}
    more = {"say.diet": "vegan", "judge.diet.vegetarian": "wrong", "tracking": "", "forget.diet": "on"}
    saved = client.post(f"{UNSUBSCRIBE}/topics", data=sent | more)
    assert (saved.status_code, saved.headers["location"]) == (303, f"{UNSUBSCRIBE}/topics?saved=1")
    assert look.given(ADA, "offers") is True
    assert look.given(ADA, "tracking") is True
    with look.store.read() as connection:
        assert preferences.stated_answers(connection, ADA) == {}


def test_a_former_address_can_unsubscribe_and_no_more(client: TestClient, look: customer_site.Look) -> None:
    customer = dialect.table(Customer)
    with look.store.write() as connection:
        connection.execute(customer.update().where(customer.c.id == ADA).values(email="ada@new.example"))
    assert client.get(f"{UNSUBSCRIBE}/topics").status_code == 404
    assert client.post(f"{UNSUBSCRIBE}/topics", data={"topic.recipes": "on"}).status_code == 404
    assert "/topics" not in client.get(UNSUBSCRIBE).text
    assert client.post(UNSUBSCRIBE, data=FORMS["one-click"]).status_code == 200
    assert look.given(ADA, "offers") is False
    assert look.given(ADA, "recipes") is None


TEST_MAIL = [
    customer_site.path(Purpose.unsubscribe, 0, 0, 1),
    customer_site.path(Purpose.preferences, 0, 0, 1),
    f"{customer_site.path(Purpose.preferences, 0, 0, 1)}/data",
    customer_site.path(Purpose.click, 0, 0, customer_site.LINK),
]


@pytest.mark.parametrize("path", TEST_MAIL)
def test_the_links_of_a_test_mail_say_what_they_are(client: TestClient, look: customer_site.Look, path: str) -> None:
    before = look.everything()
    answers = [client.get(path), client.get(f"{path}/")]
    if not path.startswith("/c/"):
        answers += [client.post(path, data=form) for form in (*FORMS.values(), {"confirm": "erase"}, {})]
    for answer in answers:
        assert answer.status_code == 200
        assert "This is a test mail: nothing was changed" in answer.text
    assert client.get(customer_site.path(Purpose.open, 0, 0)).headers["content-type"] == "image/gif"
    assert look.everything() == before
