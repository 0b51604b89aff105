"""Checks the public pages against visitors who mean harm: foreign tokens, floods, markup, odd bytes and races."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import select, text
from starlette.testclient import TestClient

from mailshot.feedback import sign_up
from mailshot.feedback.sign_up import ConfirmationRequest
from mailshot.profile import address
from mailshot.store import (
    address_changes,
    dialect,
    fact_corrections,
    privacy,
    sign_ups,
    suppressed_digests,
    suppression,
)
from mailshot.store.address_changes import NewAddress
from mailshot.store.sign_ups import SIGN_UP, SignUp
from mailshot.store.suppressed_digests import SuppressedDigest
from mailshot.store.tables import Customer
from mailshot.tokens import Purpose
from mailshot.web.site import SignUpSettings
from tests.support import customer_site
from tests.support.customer_site import ADA, ADDRESS_KEY, BEN, FOREIGN, KEYS, PREFERENCES, RUN, UNSUBSCRIBE

SENDER = {
    "name": "Greenleaf Market", "address": "hello@greenleaf.example.com", "reply_to": None, "brand": "",
    "postal_address": "12 Orchard Lane, Springfield",
}  # fmt: skip
NEW = "nina@example.com"
MARKUP = "\"'><img src=x onerror=alert(1)>{{12345*12345}}</script>"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def client(look: customer_site.Look) -> Iterator[TestClient]:
    site = customer_site.site(look.store, sign_up=SignUpSettings(SENDER))
    with TestClient(site, "http://127.0.0.1", follow_redirects=False, raise_server_exceptions=False) as opened:
        yield opened


def rows(look: customer_site.Look) -> list[dict[str, Any]]:
    with look.store.read() as connection:
        return [dict(row._mapping) for row in connection.execute(select(SIGN_UP).order_by(SIGN_UP.c.id))]


@pytest.mark.parametrize(
    "name", ["a\0b", "a\x1b]0;owned\x07b", "a\r\nBcc: x@y.example", "a\u202eb", "a\ud800b", "x" * 9999]
)
def test_the_name_of_a_form_is_kept_without_control_characters(
    client: TestClient, look: customer_site.Look, name: str
) -> None:
    body = json.dumps({"email": NEW, "topics": ["offers"], "form": name}).encode()
    assert client.post("/signup", content=body, headers=JSON).status_code == 202
    if "\ud800" not in name:
        form = {"email": f"2{NEW}", "topic": "offers", "form": name}
        assert client.post("/signup", data=form).status_code == 200
    for row in rows(look):
        assert row["form"].isprintable()
        assert len(row["form"]) <= 40


def test_a_token_opens_only_pages_of_its_purpose(client: TestClient, look: customer_site.Look) -> None:
    paths = {
        "o": Purpose.open, "c": Purpose.click, "u": Purpose.unsubscribe, "p": Purpose.preferences,
        "d": Purpose.confirm, "v": Purpose.view, "a": Purpose.address, "signup/confirm": Purpose.signup,
    }  # fmt: skip
    before = look.everything()
    ids = [(1,), (RUN, ADA), (RUN, ADA, customer_site.mailbox("ada@example.com")), (RUN, ADA, 5, 6)]
    for (path, own), purpose, numbers in product(paths.items(), Purpose, ids):
        if purpose is own:
            continue
        token = KEYS.sign(purpose, *numbers)
        for method in ("GET", "POST"):
            status = client.request(method, f"/{path}/{token}").status_code
            assert status in (404, 405) or (path == "o" and status == 200), (path, purpose, numbers, method, status)
    assert look.everything() == before


HOSTILE = [
    {"Host": "evil.example"},
    {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
    {"Forwarded": "host=evil.example"},
    {"Accept-Language": "de-../../../etc/passwd,en;q=inf"},
    {"Accept-Language": "en-" + "x" * 3000},
    {"Accept-Language": ",".join(["de;q=nan"] * 500)},
    {"Accept-Language": "fr-\u00e9\u00ff;q=1e999,*;q=--1"},
    {"Accept-Language": "de_DE@euro.utf8-999"},
    {"Accept-Language": "en-ZZ,de-AT-1901-x-evil"},
    {"User-Agent": MARKUP, "Referer": "https://evil.example/"},
]


@pytest.mark.parametrize("headers", HOSTILE)
@pytest.mark.parametrize("accept", ["text/html", "*/*"])
def test_headers_of_a_visitor_appear_nowhere(
    client: TestClient, look: customer_site.Look, headers: dict[str, str], accept: str
) -> None:
    with look.store.write() as connection:
        own_data = customer_site.own_data(connection, ADA, "ada@example.com")
    paths = ["/", "/signup", "/signup/", "//evil.example/", "/signup/confirm/x", "/a/x", "/d/x", own_data, PREFERENCES,
             f"{PREFERENCES}/data", UNSUBSCRIBE, f"{UNSUBSCRIBE}/topics", customer_site.CLICK]  # fmt: skip
    raw = {name: value.encode("latin-1") for name, value in {"Accept": accept, **headers}.items()}
    for path in paths:
        for query in ("", f"?lang={MARKUP}&next=https://evil.example", "?lang=de&lang=%00"):
            answer = client.get(path + query, headers=raw)
            assert answer.status_code < 500, (path, answer.text)
            assert "evil.example" not in answer.text + str(answer.headers)
            assert "onerror=" not in answer.text


@pytest.mark.parametrize("field", ["email", "form", "topic", "lang", "shown", "website"])
def test_markup_in_a_sign_up_is_shown_as_text(client: TestClient, field: str) -> None:
    form: dict[str, str] = {"email": "no address", "topic": "offers", **{field: MARKUP}}
    for answer in (client.post("/signup", data=form), client.get("/signup", params=form)):
        assert "<img src=x" not in answer.text
        assert "152399025" not in answer.text


def test_floods_of_fields_and_bytes_are_refused(client: TestClient, look: customer_site.Look) -> None:
    codes = [
        client.post("/signup", data={f"f{number}": "x" for number in range(10_000)}).status_code,
        client.post("/signup", content=b'"' + b"x" * 1_100_000, headers=JSON).status_code,
        client.post("/signup", content=b'{"email":' * 50_000, headers=JSON).status_code,
        client.post("/signup", content=b'{"email":' + b"9" * 500_000 + b"}", headers=JSON).status_code,
        client.post("/signup", json={"email": "a" * 900_000 + "@x.example", "topics": ["offers"]}).status_code,
        client.post("/signup", json={"email": NEW, "topics": ["x"] * 100_000 + ["offers"]}).status_code,
    ]
    assert codes == [400, 413, 400, 400, 422, 422]
    assert rows(look) == []


def ask(client: TestClient, email: str = NEW) -> None:
    assert client.post("/signup", data={"email": email, "topic": "offers"}).status_code == 200


def link(row: dict[str, Any]) -> str:
    return f"/signup/confirm/{KEYS.sign(Purpose.signup, row['id'], sign_ups.mailbox_number(row['address_hash']))}"


def hashed(email: str) -> str:
    return address.hash_address(ADDRESS_KEY, email)


def reason(look: customer_site.Look, email: str) -> str | None:
    with look.store.read() as connection:
        held = suppression.find_suppression(connection, hashed(email))
    return held["reason"] if held else None


def list_digest(look: customer_site.Look, email: str) -> None:
    """Keep the SHA-256 of an address, as the import of another system's list does."""
    entry = SuppressedDigest(digest=address.digest(email), reason="complained", source="list", at=customer_site.now())
    with look.store.write() as connection:
        suppressed_digests.add_digests(connection, [entry])
        suppressed_digests.suppress_matching(connection)


def ask_for_address(look: customer_site.Look, email: str) -> None:
    new = NewAddress(email, hashed(email))
    with look.store.write() as connection:
        assert address_changes.ask(connection, ADA, RUN, new, "en", customer_site.now()) is None


def test_tags_of_one_mailbox_are_one_address_to_a_flood(client: TestClient, look: customer_site.Look) -> None:
    for email in ("vic@example.com", *(f"Vic+{number}@example.com" for number in range(5)), "vi_c+1@example.com"):
        ask(client, email)
    ask(client, "victor+1@example.com")
    mailed = [row["email"] for row in rows(look) if row["state"] == "asked"]
    assert mailed == ["vic@example.com", "vi_c+1@example.com", "victor+1@example.com"]
    ask(client, "vi_c@example.com")
    assert rows(look)[-1]["state"] == "withheld"


def test_an_address_suppressed_before_its_mail_leaves_gets_none(client: TestClient, look: customer_site.Look) -> None:
    at = customer_site.now()
    ask(client)
    ask_for_address(look, NEW)
    later = at + timedelta(hours=1)
    with look.store.write() as connection:
        assert (len(sign_ups.due_mails(connection, later)), len(address_changes.due_mails(connection, later))) == (1, 1)
        suppression.add(connection, hashed(NEW), "complained", "test", at)
        assert sign_ups.due_mails(connection, later) == []
        assert address_changes.due_mails(connection, later) == []


def test_topics_that_are_no_longer_public_are_not_confirmed(client: TestClient, look: customer_site.Look) -> None:
    ask(client, "ben@example.com")
    (row,) = rows(look)
    for topics, status in ((["gone", "service"], 410), (["gone", "offers", "service"], 200)):
        with look.store.write() as connection:
            connection.execute(SIGN_UP.update().values(topics=topics))
        for method in ("GET", "POST"):
            answer = client.request(method, link(row))
            assert (answer.status_code, "gone" in answer.text, "About your orders" in answer.text) == (
                status, False, False,
            )  # fmt: skip
    assert [look.given(BEN, topic) for topic in ("gone", "offers", "service")] == [None, True, None]


def test_a_list_imported_before_the_confirmation_counts(client: TestClient, look: customer_site.Look) -> None:
    ask(client)
    other = "other@example.com"
    ask_for_address(look, other)
    for email in (NEW, other):
        list_digest(look, email)
        assert reason(look, email) is None
    assert client.post(link(rows(look)[0])).status_code == 200
    assert client.post(look.address_link()).status_code == 200
    assert (reason(look, NEW), reason(look, other)) == ("complained", "complained")


def test_a_list_counts_for_erased_customers_who_sign_up_again(client: TestClient, look: customer_site.Look) -> None:
    with look.store.write() as connection:
        privacy.erase(connection, ADA, ADDRESS_KEY, "page", customer_site.now())
    list_digest(look, "ada@example.com")
    ask(client, "ada@example.com")
    assert [row["state"] for row in rows(look)] == ["withheld"]


def test_erasing_forgets_that_others_asked_for_the_address(client: TestClient, look: customer_site.Look) -> None:
    ask_for_address(look, "ben@example.com")
    path = look.address_link()
    with look.store.write() as connection:
        assert privacy.erase(connection, BEN, ADDRESS_KEY, "page", customer_site.now())
        assert address_changes.due_mails(connection, customer_site.now()) == []
    assert client.post(path).status_code == 410
    assert "ben@example.com" not in str(look.everything())


def test_an_import_undoes_no_change_that_was_committed_late(client: TestClient, look: customer_site.Look) -> None:
    """A confirmation and a correction have the moment of their request, and may wait for the database after it."""
    ask_for_address(look, NEW)
    assert client.post(look.address_link()).status_code == 200
    began, customer = datetime.now(UTC), dialect.table(Customer)
    with look.store.write() as connection:
        fact_corrections.correct_facts(connection, ADA, {"age": "25-34"}, "page", began - timedelta(minutes=1))
        imported = {"email": "ada@example.com", "address_hash": hashed("ada@example.com"), "facts": {"age": "45-54"}}
        connection.execute(customer.update().where(customer.c.id == ADA).values(**imported))
        fact_corrections.apply_since(connection, began)
        address_changes.apply_since(connection, began)
        row = connection.execute(select(customer).where(customer.c.id == ADA)).one()
    assert (row.email, row.address_hash, row.facts) == (NEW, hashed(NEW), {"age": "25-34"})


@pytest.mark.parametrize("headers", FOREIGN)
def test_no_other_site_can_confirm(client: TestClient, look: customer_site.Look, headers: dict[str, str]) -> None:
    ask(client)
    ask_for_address(look, "other@example.com")
    with look.store.write() as connection:
        own_data = customer_site.own_data(connection, ADA, "ada@example.com")
    before = look.everything()
    for path in (link(rows(look)[0]), look.address_link(), own_data, f"{own_data}/address", f"{own_data}/readable"):
        assert client.post(path, data={"address": NEW}, headers=headers).status_code == 403
    assert look.everything() == before


def test_a_confirmation_and_an_erasure_at_once_both_end(client: TestClient, look: customer_site.Look) -> None:
    """An erasure that has the customer first wins: the sign-up is erased, too."""
    ask(client, "ada@example.com")
    (row,) = rows(look)
    mailbox = sign_ups.mailbox_number(row["address_hash"])
    request = ConfirmationRequest(row["id"], mailbox, ["offers"], "Yes.", customer_site.now())

    def confirm() -> SignUp | None:
        with look.store.write() as connection:
            return sign_up.confirm(connection, request, timedelta(days=7))

    with ThreadPoolExecutor(1) as pool:
        with look.store.write() as connection:
            dialect.lock_customers(connection, [ADA], alone=True, inbox=True)
            confirmed = pool.submit(confirm)
            wait_for_a_lock(look)
            assert privacy.erase(connection, ADA, ADDRESS_KEY, "page", customer_site.now())
        assert confirmed.result(30) is None
    assert rows(look) == []
    assert reason(look, "ada@example.com") == "erased"


def wait_for_a_lock(look: customer_site.Look) -> None:
    """Wait until another transaction waits for ours; on SQLite it does so from its beginning."""
    if look.store.sqlite:
        return
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(500):
        with look.store.read() as connection:
            if connection.scalar(waiting):
                return
        time.sleep(0.02)
    raise AssertionError("the confirmation does not wait for the customer")
