"""Checks the sign-up of visitors: from the form by the mail and its link to the consent, and what it gives away."""

from __future__ import annotations

import email
import email.policy
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from mailshot.bootstrap import App
from mailshot.deliver import requested_mails, sign_up_mails
from mailshot.feedback import sign_up
from mailshot.feedback.sign_up import ConfirmationRequest, SignUpRequest
from mailshot.profile import address
from mailshot.store import consent, dialect, privacy, sign_ups, suppressed_digests, suppression, tables
from mailshot.store.sign_ups import SIGN_UP, SignUpLimits
from mailshot.store.suppressed_digests import SuppressedDigest
from mailshot.tokens import KeyRing, Purpose
from mailshot.web.site import SignUpSettings
from tests.support import customer_site, project
from tests.support.customer_site import ADA, ADDRESS_KEY
from tests.support.processes import Sink
from tests.support.project import Shop

BASE = "http://127.0.0.1:8000"
SENDER = {
    "name": "Greenleaf Market", "address": "hello@greenleaf.example.com", "reply_to": None, "brand": "",
    "postal_address": "12 Orchard Lane, Springfield",
}  # fmt: skip
FOREIGN = {"Origin": "https://shop.example.com", "Sec-Fetch-Site": "cross-site"}
NEW, KNOWN = "nina@example.com", "ada@example.com"
SENT = "If we may write to this address, a mail with a link is on its way."
KEYS = KeyRing.parse(project.KEYS)
CUSTOMER = dialect.table(tables.Customer)


@pytest.fixture
def shop(look: customer_site.Look, tmp_path: Path) -> Shop:
    """Return the customer site's store as a shop, for the settings of a worker."""
    return Shop(look.store, tmp_path)


@pytest.fixture
def client(look: customer_site.Look) -> Iterator[TestClient]:
    with opened(look) as client:
        yield client


def opened(look: customer_site.Look, sender: dict[str, Any] | None = SENDER, **limits: int) -> TestClient:
    """Return a client of a site where visitors can sign up, unless there is no sender."""
    settings = SignUpSettings(sender, SignUpLimits(**limits))
    site = customer_site.site(look.store, keys=KEYS, sign_up=settings)
    return TestClient(site, BASE, follow_redirects=False)


def ask(client: TestClient, to: str = NEW, topics: tuple[str, ...] = ("offers",), **more: str) -> Any:
    return client.post("/signup", data={"email": to, "topic": list(topics), **more}, headers=FOREIGN)


def hashed(to: str) -> str:
    return address.hash_address(ADDRESS_KEY, to)


def rows(look: customer_site.Look) -> list[dict[str, Any]]:
    with look.store.read() as connection:
        return [dict(row._mapping) for row in connection.execute(select(SIGN_UP).order_by(SIGN_UP.c.id))]


def link(row: dict[str, Any]) -> str:
    token = KEYS.sign(Purpose.signup, row["id"], sign_ups.mailbox_number(row["address_hash"]))
    return f"/signup/confirm/{token}"


def customers(look: customer_site.Look, to: str = NEW) -> list[Any]:
    with look.store.read() as connection:
        return list(connection.execute(select(CUSTOMER).where(CUSTOMER.c.address_hash == hashed(to))))


@pytest.fixture
def mailed(look: customer_site.Look, app: Callable[..., App], sink: Sink) -> Callable[[], list[Any]]:
    """Give a function that mails what is due and returns all mails."""
    process = app(base_url=BASE)

    def send() -> list[Any]:
        now, stop = datetime.now(UTC), threading.Event()
        requested_mails.send_due(process.send_settings, sign_up_mails.LINKS, now, stop)
        return [email.message_from_string(entry["data"], policy=email.policy.SMTP) for entry in sink.entries()]

    return send


def test_from_the_form_by_the_mail_to_the_consent(
    client: TestClient, look: customer_site.Look, mailed: Callable[[], list[Any]]
) -> None:
    answer = ask(client, form="footer", lang="de")
    assert answer.status_code == 200
    assert "<h1>Bitte sehen Sie in Ihrem Postfach nach</h1>" in answer.text
    (message,) = mailed()
    assert (message["To"], message["List-Unsubscribe"], message["Auto-Submitted"]) == (NEW, None, "auto-replied")
    assert message["Subject"] == "Bitte bestätigen Sie, dass wir Ihnen schreiben dürfen"
    link_path = re.search(rf"{BASE}(/signup/confirm/\S+)", message.get_body(("plain",)).get_content())
    assert link_path
    before = look.everything()
    for number in range(30):
        assert client.request(("GET", "HEAD")[number % 2], link_path[1]).status_code == 200
    assert look.everything() == before
    page = client.get(link_path[1])
    assert "Greenleaf Market darf mir zu „Angebote der Woche“ schreiben." in page.text
    for _ in range(2):
        done = client.post(link_path[1], headers={"Sec-Fetch-Site": "same-origin"})
        assert (done.status_code, "Sie sind angemeldet" in done.text) == (200, True)
    (customer,) = customers(look)
    assert (customer.email, customer.language) == (NEW, "de")
    assert look.given(customer.id, "offers") is True
    with look.store.read() as connection:
        log = dialect.table(tables.ConsentLog)
        (entry,) = connection.execute(select(log).where(log.c.customer_id == customer.id))
    assert (entry.source, entry.given) == ("sign-up", True)
    assert entry.proof["wording"].startswith("Greenleaf Market darf mir")
    assert {"method", "form", "language", "client", "asked_at", "confirmed_at"} < entry.proof.keys()
    assert not any(secret in str(entry.proof) for secret in (NEW, "testclient"))
    assert rows(look)[0]["email"] is None
    assert len(mailed()) == 1


def test_what_a_visitor_is_told_never_depends_on_the_address(client: TestClient, look: customer_site.Look) -> None:
    with look.store.write() as connection:
        for to, reason in (("gone@example.com", "bounced"), ("angry@example.com", "complained")):
            suppression.add(connection, hashed(to), reason, "test", customer_site.now())
        listed = {"reason": "complained", "source": "list of another system", "at": customer_site.now()}
        digest = SuppressedDigest(digest=address.digest("listed@example.com"), **listed)
        suppressed_digests.add_digests(connection, [digest])
    suppressed_addresses = ("gone@example.com", "angry@example.com", "Listed@Example.com")
    asked = [ask(client, to) for to in (NEW, KNOWN, KNOWN, *suppressed_addresses)]
    asked.append(ask(client, "bot@example.com", website="https://spam.example"))
    assert {(answer.status_code, answer.text) for answer in asked} == {(200, asked[0].text)}
    assert SENT in asked[0].text
    header_sets = [{name: value for name, value in answer.headers.items() if name != "date"} for answer in asked]
    assert all(headers == header_sets[0] for headers in header_sets)
    assert [(row["state"], row["email"]) for row in rows(look)] == [
        ("asked", NEW), ("asked", KNOWN), *[("withheld", None)] * 4,
    ]  # fmt: skip
    answers = [client.post("/signup", json={"email": to, "topics": ["offers"]}) for to in (NEW, "other@example.com")]
    assert {(answer.status_code, answer.text) for answer in answers} == {(202, answers[0].text)}


def test_a_thousand_sign_ups_of_one_address_are_one_mail(
    client: TestClient, look: customer_site.Look, mailed: Callable[[], list[Any]]
) -> None:
    moment = customer_site.now()
    with look.store.write() as connection:
        for number in range(1000):
            sign_up_request = SignUpRequest("Victim@Example.com", ["offers"], "", "en", f"192.0.2.{number}", SENDER)
            assert sign_up.ask(connection, sign_up_request, ADDRESS_KEY, SignUpLimits(), moment)
    assert ask(client, "victim@example.com").status_code == 200
    assert len(mailed()) == 1
    with look.store.write() as connection:
        assert sign_up.ask(
            connection, sign_up_request, ADDRESS_KEY, SignUpLimits(), moment + timedelta(days=1, seconds=1)
        )
    assert [row["state"] for row in rows(look)].count("asked") == 1


def test_sign_ups_are_limited_by_visitor_and_in_total(look: customer_site.Look) -> None:
    with opened(look, per_client=3) as client:
        codes = [ask(client, f"n{number}@example.com").status_code for number in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    with opened(look, mails_per_hour=3) as client:
        answer = ask(client, "n9@example.com")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3600")
    assert len(rows(look)) == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "no address", "topics": ["offers"]}, "email"),
        ({"email": "dörte@example.com", "topics": ["offers"]}, "email"),
        ({"email": "a@example.com\r\nBcc: b@example.com", "topics": ["offers"]}, "email"),
        ({"email": NEW}, "topic"),
        ({"email": NEW, "topics": ["service"]}, "topic"),
        ({"email": NEW, "topics": ["tracking"]}, "topic"),
        ({"email": NEW, "topics": "offers"}, "topic"),
        ({"email": {"$ne": 1}, "topics": ["offers"]}, "email"),
        ({"email": NEW + "\ud800", "topics": ["offers"]}, "email"),
    ],
)
def test_only_public_topics_and_addresses_are_taken(
    client: TestClient, look: customer_site.Look, body: dict[str, Any], field: str
) -> None:
    answer = client.post("/signup", content=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, [item["field"] for item in answer.json()["errors"]]) == (422, [field])
    assert rows(look) == []


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_object_is_refused(client: TestClient, look: customer_site.Look, body: bytes) -> None:
    answer = client.post("/signup", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert rows(look) == []


def test_our_own_page_must_have_been_shown_for_a_moment(client: TestClient, look: customer_site.Look) -> None:
    page = client.get("/signup?topic=offers&form=footer")
    assert 'value="offers" checked' in page.text
    page_token = re.search(r'name="shown" value="([^"]+)"', page.text)
    assert page_token
    quick = ask(client, shown=page_token[1])
    assert (quick.status_code, "send the form once more" in quick.text, NEW in quick.text) == (422, True, True)
    assert ask(client, shown="x").status_code == 422
    old = KEYS.sign(Purpose.signup, int((customer_site.now() - timedelta(days=2)).timestamp()))
    assert ask(client, shown=old).status_code == 422
    assert rows(look) == []
    patient = KEYS.sign(Purpose.signup, int((customer_site.now() - timedelta(seconds=10)).timestamp()))
    assert ask(client, shown=patient).status_code == 200
    assert len(rows(look)) == 1


def test_without_a_sender_or_a_public_topic_there_is_no_form(look: customer_site.Look) -> None:
    with opened(look, sender=None) as client:
        assert (client.get("/signup").status_code, ask(client).status_code) == (404, 404)


def test_a_confirmation_lifts_the_withdrawal_of_its_topic_for_the_whole_inbox(
    client: TestClient, look: customer_site.Look
) -> None:
    moment = customer_site.now()
    with look.store.write() as connection:
        values = {"key": "mate", "email": "ADA@example.com", "address_hash": hashed(KNOWN), "lot": 1, "facts": {}}
        mate = connection.execute(CUSTOMER.insert().values(**values).returning(CUSTOMER.c.id)).scalar_one()
        for number, topic in ((ADA, "offers"), (ADA, "recipes"), (mate, "offers")):
            consent.record_consent(connection, number, topic, False, moment, "page")
    ask(client, "Ada@Example.com")
    assert client.post(link(rows(look)[0])).status_code == 200
    assert [customer.id for customer in customers(look, KNOWN)] == [ADA, mate]
    for number in (ADA, mate):
        with look.store.read() as connection:
            binding = consent.binding_entries(connection, number)
        assert (binding["offers"].given, binding["recipes"].given) == (True, False)


def test_a_complaint_after_the_mail_still_suppresses(client: TestClient, look: customer_site.Look) -> None:
    ask(client)
    with look.store.write() as connection:
        suppression.add(connection, hashed(NEW), "complained", "test", customer_site.now())
    assert client.post(link(rows(look)[0])).status_code == 200
    with look.store.read() as connection:
        suppressed = suppression.find_suppression(connection, hashed(NEW))
    assert suppressed is not None
    assert suppressed["reason"] == "complained"


def test_an_erased_customer_can_sign_up_again(client: TestClient, look: customer_site.Look) -> None:
    ask(client, KNOWN)
    with look.store.write() as connection:
        assert privacy.erase(connection, ADA, ADDRESS_KEY, "page", customer_site.now())
    assert rows(look) == [], "what was asked before is erased, too"
    ask(client, KNOWN)
    assert client.post(link(rows(look)[0])).status_code == 200
    (customer,) = customers(look, KNOWN)
    assert customer.id != ADA
    assert look.given(customer.id, "offers") is True
    with look.store.read() as connection:
        assert suppression.find_suppression(connection, hashed(KNOWN)) is None
        assert "offers" not in {entry.topic for entry in consent.address_withdrawals(connection, customer.id)}


def test_two_confirmations_at_once_make_one_customer(look: customer_site.Look) -> None:
    moment = customer_site.now()
    with look.store.write() as connection:
        for number in range(8):
            at = moment - timedelta(days=2, seconds=number)
            limits = SignUpLimits(mails_per_address=100)
            sign_up_request = SignUpRequest(NEW, ["offers"], "", "en", str(number), SENDER)
            assert sign_up.ask(connection, sign_up_request, ADDRESS_KEY, limits, at)

    def confirm(row: dict[str, Any]) -> None:
        request = ConfirmationRequest(row["id"], sign_ups.mailbox_number(hashed(NEW)), ["offers"], "Yes.", moment)
        with look.store.write() as connection:
            assert sign_up.confirm(connection, request, timedelta(days=7))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(confirm, rows(look)))
    assert len(customers(look)) == 1


def test_a_link_ends_and_what_is_not_confirmed_is_deleted(client: TestClient, look: customer_site.Look) -> None:
    ask(client)
    (row,) = rows(look)
    with look.store.write() as connection:
        connection.execute(SIGN_UP.update().values(asked_at=row["asked_at"] - timedelta(days=7)))
    for method in ("GET", "POST"):
        answer = client.request(method, link(row))
        assert (answer.status_code, "This link has expired" in answer.text) == (410, True)
    with look.store.write() as connection:
        assert sign_ups.delete_old(connection, customer_site.now() - timedelta(days=7)) == 1
    assert client.post(link(row)).status_code == 410
    assert customers(look) == []


def test_a_link_confirms_only_its_own_sign_up(client: TestClient, look: customer_site.Look) -> None:
    ask(client)
    (row,) = rows(look)
    other = KEYS.sign(Purpose.signup, row["id"], sign_ups.mailbox_number(hashed(KNOWN)))
    page_token = KEYS.sign(Purpose.signup, row["id"])
    codes = [
        client.post(f"/signup/confirm/{token}").status_code for token in (other, page_token, "x", link(row)[16:-1])
    ]
    assert codes == [410, 404, 404, 404]
    assert client.post(link(row), headers=FOREIGN).status_code == 403
    assert customers(look) == []


def test_the_export_of_a_customer_holds_their_sign_up(client: TestClient, look: customer_site.Look) -> None:
    ask(client, KNOWN)
    with look.store.read() as connection:
        exported = {table: list(table_rows) for table, table_rows in privacy.export(connection, ADA)}
    assert [row["email"] for row in exported["sign_up"]] == [KNOWN]


def test_the_mail_takes_the_first_relay_of_its_sender_that_works(
    look: customer_site.Look, app: Callable[..., App], sink: Sink
) -> None:
    through = [{"relay": "own", "weight": 1, "spare": True}, {"relay": "ses", "weight": 3, "spare": False}]
    with opened(look, {**SENDER, "through": through}) as client:
        ask(client)
    nowhere, stop = "smtp://127.0.0.1:1", threading.Event()
    now = datetime.now(UTC)
    # A relay is missing in the settings first; the mail is tried again later.
    for relays, at, sent in (
        ({"ses": sink.url}, now, 0),
        ({"own": sink.url, "ses": nowhere}, now + timedelta(hours=1), 1),
    ):
        process = app(base_url=BASE, smtp=nowhere, relay=relays)
        assert requested_mails.send_due(process.send_settings, sign_up_mails.LINKS, at, stop) == sent
    assert [entry["rcpt"] for entry in sink.entries()] == [NEW]
