"""Webhooks of mail providers at the customer site: what they change, how often, and what is refused."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from mailshot.feedback import incoming_mail as taking
from mailshot.feedback import provider_events
from mailshot.profile import address
from mailshot.states import DeliveryState, IncomingSource
from mailshot.store import dialect, incoming_mail, privacy, suppression
from mailshot.store.engine import Connection, Store
from mailshot.store.tables import Delivery
from mailshot.tokens import KeyRing, Purpose
from mailshot.webhooks import providers
from mailshot.webhooks.providers import PROVIDERS
from tests.support import customer_site
from tests.support import provider_webhooks as requests
from tests.support.customer_site import ADA, ADDRESS_KEY, BEN, KEYS, LINK, RUN, Look
from tests.support.provider_webhooks import KINDS, MailIds, Posted

MAIL = MailIds.of(KEYS, RUN, ADA)
HASH = address.hash_address(ADDRESS_KEY, "ada@example.com")
STORED = ("hard", "soft", "block", "suppressed", "complaint", "unsubscribe", "delayed")


@pytest.fixture
def fetched() -> list[str]:
    """Return the addresses that the site fetched, in their order."""
    return []


@pytest.fixture
def client(look: Look, fetched: list[str]) -> Iterator[TestClient]:
    def fetch(url: str) -> bytes:
        fetched.append(url)
        return requests.CERTIFICATE

    app = customer_site.site(look.store, webhooks=requests.webhooks(), fetch_from_aws=fetch)
    with TestClient(app, "http://127.0.0.1") as opened:
        yield opened


def send(client: TestClient, source: str, posted: Posted) -> int:
    headers = {name: value.encode("utf-8", "replace") for name, value in posted.headers.items()}
    return int(client.post(f"/webhooks/{source}", content=posted.body, headers=headers).status_code)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def suppressed(look: Look) -> str | None:
    with look.store.read() as connection:
        row = suppression.find_suppression(connection, HASH)
    return row["reason"] if row else None


def records(look: Look) -> list[incoming_mail.IncomingRecord]:
    with look.store.read() as connection:
        return incoming_mail.latest(connection, [], False, 1000)


def effects(look: Look) -> dict[str, Any]:
    """Return all that may have changed: suppression, consent, feedback without moments, and stored events."""
    return {
        "suppressed": suppressed(look),
        "consent": look.given(ADA, "offers"),
        "feedback": sorted((row["kind"], row["by"], str(row["detail"])) for row in look.feedback()),
        "events": sorted((str(record.kind), record.customer or "", record.effect) for record in records(look)),
    }


EXPECTED: dict[str, dict[str, Any]] = {
    "hard": {"suppressed": "bounced", "feedback": ["bounced"], "effect": "suppressed the address"},
    "complaint": {"suppressed": "complained", "feedback": ["complained"], "effect": "suppressed the address"},
    "unsubscribe": {"consent": False, "feedback": ["unsubscribed"], "effect": "withdrew 'offers'"},
    "soft": {"feedback": ["bounced"]},
    "block": {"feedback": ["bounced"]},
    "suppressed": {"feedback": ["bounced"]},
    "opened": {"feedback": ["opened"]},
}


@pytest.mark.parametrize("source", PROVIDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_event_changes_what_a_mail_would_and_ten_times_the_same_is_once(
    client: TestClient, look: Look, source: str, kind: str
) -> None:
    posted = requests.post(source, kind, MAIL, now())
    assert send(client, source, posted) == 200
    changed, expected = effects(look), EXPECTED.get(kind, {})
    if (source, kind) == ("postmark", "delayed"):  # Postmark has no other word for it than a soft bounce
        expected = EXPECTED["soft"]
    assert changed["suppressed"] == expected.get("suppressed")
    assert changed["consent"] is expected.get("consent", True)
    assert [row["kind"] for row in look.feedback()] == expected.get("feedback", [])
    assert [(record.customer, record.effect) for record in records(look)] == (
        [("K7", expected.get("effect", ""))] if kind in STORED else []
    )
    assert [send(client, source, posted) for _ in range(9)] == [200] * 9
    assert effects(look) == changed


@pytest.mark.parametrize("source", PROVIDERS)
def test_events_in_any_order_and_repeated_have_the_same_effects(client: TestClient, look: Look, source: str) -> None:
    at, order = now(), random.Random(source)
    events = [requests.post(source, kind, MAIL, at - timedelta(seconds=n), n) for n, kind in enumerate(KINDS, 1)]
    shuffled = [event for event in events for _ in range(10)]
    order.shuffle(shuffled)
    assert {send(client, source, posted) for posted in shuffled} == {200}
    assert suppressed(look) in ("bounced", "complained")
    assert look.given(ADA, "offers") is False
    assert len(records(look)) == len(STORED)
    kinds = sorted(row["kind"] for row in look.feedback())
    bounces = 5 if source == "postmark" else 4
    assert kinds == ["bounced"] * bounces + ["complained", "opened", "unsubscribed"]


@pytest.mark.parametrize("source", PROVIDERS)
def test_an_event_about_no_mail_of_ours_is_kept_as_unmatched_and_changes_nothing(
    client: TestClient, look: Look, source: str
) -> None:
    foreign = KeyRing({1: bytes(range(1, 17))})
    at = now()
    for number, mail in enumerate((MailIds("b+x@y.example", "x@y.example"), MailIds.of(foreign, RUN, ADA)), 1):
        for kind in ("hard", "complaint", "unsubscribe", "opened", "delivered"):
            assert send(client, source, requests.post(source, kind, mail, at, number * 10 + KINDS.index(kind))) == 200
    for number, mail in enumerate((MailIds.of(KEYS, RUN, 99), MailIds.of(KEYS, 99, ADA)), 1000):
        assert send(client, source, requests.post(source, "hard", mail, at, number)) == 200
    assert suppressed(look) is None
    assert look.given(ADA, "offers") is True
    assert look.feedback() == []
    assert {record.customer for record in records(look)} == {None}
    assert len(records(look)) >= 6


@pytest.mark.parametrize("source", PROVIDERS)
def test_refused_requests_write_nothing(client: TestClient, look: Look, source: str) -> None:
    at = now()
    genuine = requests.post(source, "hard", MAIL, at)
    before = look.everything()
    plain = {"content-type": genuine.headers["content-type"]}
    changed = {
        "body": Posted(genuine.body.replace(b"a", b"b"), genuine.headers),
        "truncated": Posted(genuine.body[:-30], genuine.headers),
        "empty": Posted(b"", genuine.headers),
        "no signature": Posted(genuine.body, plain)
        if source not in ("mailgun", "ses")
        else Posted(genuine.body.replace(b"ignature", b"ignatura"), genuine.headers),
        "form": genuine.with_headers(content_type="application/x-www-form-urlencoded"),
        "html": genuine.with_headers(content_type="text/html"),
        "no type": genuine.with_headers(content_type=""),
        "too large": Posted(genuine.body + b" " * 2**20, genuine.headers),
    }
    if source in ("standard", "resend", "sendgrid", "mailgun", "ses"):
        changed["old"] = requests.post(source, "hard", MAIL, at - timedelta(hours=1, minutes=1))
        changed["future"] = requests.post(source, "hard", MAIL, at + timedelta(minutes=6))
    if source in ("postmark", "brevo", "mailjet"):  # not signed, so a changed body is not noticed
        del changed["body"]
        changed["password"] = genuine.with_headers(authorization="Basic bWFpbHNob3Q6eA==")
        changed["scheme"] = genuine.with_headers(authorization="Digest x")
        changed["bearer"] = genuine.with_headers(authorization="Bearer " + requests.CREDENTIALS)
    statuses = {name: send(client, source, posted) for name, posted in changed.items()}
    assert len(statuses) >= 8
    assert set(statuses.values()) <= {400, 401, 413, 415}, statuses
    assert look.everything() == before
    assert send(client, source, genuine) == 200, "a refused request does not use up the genuine one"
    assert suppressed(look) == "bounced"


def test_a_token_of_mailgun_comes_with_one_event_only(client: TestClient, look: Look) -> None:
    """Mailgun does not sign the body: who saw a request may not send another event with its signature."""
    posted = requests.post("mailgun", "delivered", MAIL, now())
    assert send(client, "mailgun", posted) == 200
    body = json.loads(posted.body)
    forged = {**requests.BODIES["mailgun"]("complaint", MAIL, now(), 2), "signature": body["signature"]}
    assert send(client, "mailgun", Posted(json.dumps(forged).encode(), posted.headers)) == 401
    assert send(client, "mailgun", posted) == 200, "a repeated request is answered like the first"
    assert suppressed(look) is None
    assert records(look) == []


def test_a_provider_without_a_setting_has_no_route(look: Look) -> None:
    posted = requests.post("postmark", "hard", MAIL, now())
    only = providers.parse_settings({"brevo": requests.CREDENTIALS})
    with TestClient(customer_site.site(look.store, webhooks=only)) as client:
        for source in (*PROVIDERS, "unknown", "", "brevo/x"):
            assert send(client, source, posted) == (200 if source == "brevo" else 404)
            assert client.get(f"/webhooks/{source}").status_code == (405 if source == "brevo" else 404)
    with TestClient(customer_site.site(look.store)) as client:
        assert {send(client, source, posted) for source in PROVIDERS} == {404}


@pytest.mark.parametrize("source", PROVIDERS)
def test_a_delivery_or_bounce_settles_a_mail_in_doubt(client: TestClient, look: Look, source: str) -> None:
    delivery = dialect.table(Delivery)
    with look.store.write() as connection:
        connection.execute(delivery.update().values(state=DeliveryState.unconfirmed))
    for number, (kind, customer) in enumerate((("delivered", ADA), ("soft", BEN)), 1):
        assert send(client, source, requests.post(source, kind, MailIds.of(KEYS, RUN, customer), now(), number)) == 200
    with look.store.read() as connection:
        states = {row.customer_id: row.state for row in connection.execute(select(delivery))}
    assert states == {ADA: "sent", BEN: "sent"}


def test_opens_and_clicks_are_classified_by_us_and_need_consent(client: TestClient, look: Look) -> None:
    at = now()
    click_link = f"https://news.example.com/c/{KEYS.sign(Purpose.click, RUN, ADA, LINK)}"
    opened, clicked = (
        {"event": kind, "email": "x@y.example", "timestamp": int(at.timestamp()), "mailshot": MAIL.token,
         "useragent": requests.BROWSER, "sg_event_id": kind}
        for kind in ("open", "click")
    )  # fmt: skip
    events = [
        opened, {**opened, "sg_machine_open": True, "sg_event_id": "machine"}, {**clicked, "url": click_link},
        {**clicked, "url": customer_site.LINK_URL, "sg_event_id": "by URL"}, {**clicked, "url": "https://foreign.example/"},
        {**clicked, "url": "javascript:x"},
        {**opened, "mailshot": MailIds.of(KEYS, RUN, BEN).token, "sg_event_id": "Ben did not agree"},
        {**clicked, "url": f"https://news.example.com/c/{KEYS.sign(Purpose.click, RUN, BEN, LINK)}"},
        {**clicked, "url": f"https://news.example.com{customer_site.UNSUBSCRIBE}"},
    ]  # fmt: skip
    assert send(client, "sendgrid", requests.sign_sendgrid(events, at)) == 200
    rows = [(row["customer_id"], row["kind"], row["by"], row["link_id"]) for row in look.feedback()]
    assert rows == [(ADA, "opened", "human", None), (ADA, "opened", "proxy", None), (ADA, "clicked", "human", LINK)]
    assert look.given(ADA, "offers") is True, "a click on a link is no withdrawal"


def test_all_events_of_a_request_are_applied_or_none(client: TestClient, look: Look) -> None:
    """A request that cannot be applied is answered with an error, so the provider repeats it."""
    at = now()
    bodies = [
        requests.BODIES["sendgrid"](kind, MailIds.of(KEYS, RUN, who), at, n)[0]
        for n, (kind, who) in enumerate((("hard", ADA), ("complaint", BEN), ("soft", ADA)), 1)
    ]
    odd: list[Any] = [None, 7, [], {}, {"event": 5}, {"event": "bounce", "sg_event_id": {"a": 1}}]
    assert send(client, "sendgrid", requests.sign_sendgrid([*odd, *bodies, *bodies], at)) == 200
    matched = [(record.customer, str(record.kind)) for record in records(look) if record.customer]
    assert sorted(matched) == [("K7", "hard"), ("K7", "soft"), ("K8", "complaint")]
    assert suppressed(look) == "bounced"


def test_five_soft_bounces_in_any_order_suppress(client: TestClient, look: Look) -> None:
    at, table = now(), dialect.table(Delivery)
    with look.store.write() as connection:
        for run in range(20, 24):
            row = {"run_id": run, "customer_id": ADA, "state": "sent", "attempts": 1, "dotted_at": at}
            connection.execute(table.insert().values(**row))
    runs = [RUN, 20, 21, 22, 23]
    for number, run in enumerate(reversed(runs), 1):
        assert suppressed(look) is None
        posted = requests.post("brevo", "soft", MailIds.of(KEYS, run, ADA), at - timedelta(days=number), number)
        assert send(client, "brevo", posted) == 200
    assert suppressed(look) == "bounced"


def test_sns_subscriptions_are_confirmed_for_our_topic_only(client: TestClient, look: Look, fetched: list[str]) -> None:
    at, page = now(), requests.confirmation(now())["SubscribeURL"]
    refused = [
        requests.confirmation(at, TopicArn=requests.TOPIC.replace("mailshot", "another")),
        requests.confirmation(at, SubscribeURL=page.replace("amazonaws.com", "amazonaws.com.evil.example")),
        requests.confirmation(at, SubscribeURL="http://169.254.169.254/latest/meta-data/"),
        requests.confirmation(at, SubscribeURL=page.replace("ConfirmSubscription", "DeleteTopic")),
        requests.confirmation(at, SubscribeURL=page.replace("mailshot", "another")),
        requests.confirmation(at - timedelta(hours=2)),
    ]
    assert [send(client, "ses", requests.post_sns(message)) for message in refused] == [401] * len(refused)
    unsigned = requests.post_sns(requests.confirmation(at))
    assert send(client, "ses", Posted(unsigned.body.replace(b"canary-token", b"other-token1"), unsigned.headers)) == 401
    assert [url for url in fetched if url != requests.CERTIFICATE_URL] == []
    assert send(client, "ses", requests.post_sns(requests.confirmation(at))) == 200
    assert [url for url in fetched if url != requests.CERTIFICATE_URL] == [page]
    removal = requests.sns_message("", at, Type="UnsubscribeConfirmation", SubscribeURL=page, Token="x")
    assert send(client, "ses", requests.post_sns(removal)) == 200
    assert fetched.count(page) == 1, "a subscription that was ended is not begun again"
    assert send(client, "ses", requests.post_sns(requests.sns_message("Successfully validated SNS topic.", at))) == 200
    assert records(look) == []


def test_a_subscription_that_cannot_be_confirmed_is_tried_again(look: Look) -> None:
    def fetch(url: str) -> bytes:
        if url.endswith(".pem"):
            return requests.CERTIFICATE
        raise OSError("no route to canary.example")

    app = customer_site.site(look.store, webhooks=requests.webhooks(), fetch_from_aws=fetch)
    with TestClient(app) as client:
        assert send(client, "ses", requests.post_sns(requests.confirmation(now()))) == 503


def test_stored_events_can_be_read_again(client: TestClient, look: Look) -> None:
    for number, source in enumerate(PROVIDERS):
        for kind in ("hard", "complaint", "soft", "unsubscribe"):
            posted = requests.post(source, kind, MAIL, now(), 10 * number + KINDS.index(kind))
            assert send(client, source, posted) == 200
    before = effects(look)
    with look.store.write() as connection:
        assert incoming_mail.process_again(connection, 1000) == 4 * len(PROVIDERS)
    assert taking.process_waiting(look.store, KEYS, lambda: datetime.now(UTC)) == 4 * len(PROVIDERS)
    assert effects(look) == before


def test_erasing_a_customer_erases_the_events(client: TestClient, look: Look) -> None:
    strangers = MailIds("x@y.example", "x@y.example", "ada@example.com")
    for source in PROVIDERS:
        assert send(client, source, requests.post(source, "hard", MAIL, now(), 1)) == 200
        assert send(client, source, requests.post(source, "hard", strangers, now(), 2)) == 200
    assert len(records(look)) == 2 * len(PROVIDERS)
    with look.store.write() as connection:
        privacy.erase(connection, ADA, ADDRESS_KEY, "test", datetime.now(UTC))
    assert records(look) == []
    before = look.feedback()
    for source in PROVIDERS:
        assert send(client, source, requests.post(source, "complaint", MAIL, now(), 3)) == 200
    assert "canary" not in str(look.everything()), "an event that comes later does not bring the address back"
    assert look.feedback() == before


def test_no_address_token_or_secret_is_logged(client: TestClient, look: Look, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for source in PROVIDERS:
        for number, kind in enumerate(KINDS):
            posted = requests.post(source, kind, MAIL, now(), number)
            send(client, source, posted)
            send(client, source, Posted(posted.body[:-40], posted.headers))
            send(client, source, Posted(posted.body, {**posted.headers, "authorization": "Basic Y2FuYXJ5OmNhbmFyeQ=="}))
    send(client, "ses", requests.post_sns(requests.confirmation(now())))
    canaries = [
        "canary", "Y2FuYXJ5", MAIL.token, MAIL.token[2:], MAIL.message_id.partition("@")[0], requests.WHSEC,
        requests.CREDENTIALS, requests.public_key(),
    ]  # fmt: skip
    text = caplog.text
    assert "webhook" in text
    assert [canary for canary in canaries if canary in text] == []


def test_refusals_do_not_fill_the_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(50):
        assert send(client, "brevo", Posted(b"{}", {"content-type": "application/json"})) == 401
    assert [record.levelname for record in caplog.records if record.name == "mailshot.web.webhooks"] == ["WARNING"]


@pytest.mark.parametrize("source", PROVIDERS)
def test_the_source_of_an_event_is_shown(client: TestClient, look: Look, source: str) -> None:
    assert send(client, source, requests.post(source, "hard", MAIL, now())) == 200
    (record,) = records(look)
    assert record.source == IncomingSource.of(source)
    verdict: Mapping[str, Any] = record.verdict
    assert verdict["address"] == MAIL.recipient
    assert verdict["token"] == "provider"


@pytest.mark.parametrize("source", ["sendgrid", "mailgun", "postmark"])
def test_two_processes_that_get_the_same_events_at_once_apply_them_once(
    store: Store, store_url: str, source: str
) -> None:
    customer_site.seed(store)
    at, other = now(), Store.open(store_url)
    events = [requests.post(source, kind, MAIL, at, number) for number, kind in enumerate(KINDS)] * 4
    clients = [TestClient(customer_site.site(opened, webhooks=requests.webhooks())) for opened in (store, other)]
    with clients[0], clients[1], ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda n: send(clients[n % 2], source, events[n // 2]), range(2 * len(events))))
    other.close()
    assert set(statuses) == {200}
    look = Look(store)
    assert len(records(look)) == len(STORED)
    assert len(look.feedback()) == (8 if source == "postmark" else 7)


def test_a_body_without_a_length_is_limited(client: TestClient, look: Look) -> None:
    genuine = requests.post("brevo", "hard", MAIL, now())

    def parts() -> Iterator[bytes]:
        yield genuine.body
        for _ in range(20):
            yield b" " * 2**16

    answer = client.post("/webhooks/brevo", content=parts(), headers=dict(genuine.headers))
    assert answer.status_code == 413
    assert records(look) == []


def test_a_request_of_many_events_is_applied_in_several_transactions_and_all_count(
    client: TestClient, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opens and unsubscribe requests of others get their turn in between."""
    sizes = []
    whole = provider_events.apply_events

    def apply(connection: Connection, keys: KeyRing, source: IncomingSource, events: Any, at: datetime) -> Counter[str]:
        sizes.append(len(events))
        return whole(connection, keys, source, events, at)

    monkeypatch.setattr(provider_events, "apply_events", apply)
    at = now()
    bodies = [event for number in range(50) for event in requests.BODIES["sendgrid"]("soft", MAIL, at, number)]
    posted = requests.sign(IncomingSource.sendgrid, bodies, at)
    assert [send(client, "sendgrid", posted) for _ in range(2)] == [200, 200]
    assert sizes == [20, 20, 10] * 2
    assert len(look.feedback("bounced")) == 50
    assert suppressed(look) is None
