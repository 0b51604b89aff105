"""Who sent a webhook: published and self-signed requests are accepted, and every change of one is refused."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mailshot.errors import SettingsError
from mailshot.states import IncomingSource
from mailshot.webhooks import providers, verification
from mailshot.webhooks.providers import PROVIDERS, VerifiedRequest, Webhooks
from mailshot.webhooks.verification import UnreadableRequest, UnverifiedRequest, WebhookRequest
from tests.support import provider_webhooks as requests
from tests.support.provider_webhooks import MailIds, Posted

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MAIL = MailIds("b+token@bay.example.com", "message@bay.example.com")
SIGNED = ("standard", "resend", "sendgrid", "mailgun", "ses")
WITH_PASSWORD = ("postmark", "brevo", "mailjet")
TOO_OLD = {name: timedelta(hours=1, seconds=1) if name == "ses" else timedelta(minutes=5, seconds=1) for name in SIGNED}


def certificate(url: str) -> bytes:
    assert url == requests.CERTIFICATE_URL
    return requests.CERTIFICATE


def verify(
    source: str,
    posted: Posted,
    at: datetime,
    webhooks: Webhooks | None = None,
    fetch: Callable[[str], bytes] = certificate,
) -> VerifiedRequest:
    request = WebhookRequest(posted.headers, posted.body, at)
    return providers.verify(webhooks or requests.webhooks(), IncomingSource.of(source), request, fetch)


def now() -> datetime:
    """Return a whole second: certificates are valid around the present."""
    return datetime.now(UTC).replace(microsecond=0)


def test_the_vector_that_standard_webhooks_publish_is_accepted() -> None:
    """From the tests of its libraries."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,bm9ldHUjKzFob2VudXRob2VodWUzMjRvdWVvdW9ldQo= "
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    request = WebhookRequest(headers, b'{"test": 2432232314}', datetime.fromtimestamp(1614265330, UTC))
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert verification.verify_standard(request, [secret]) == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_the_vector_that_sendgrid_publishes_is_accepted() -> None:
    """From the tests of sendgrid-python."""
    key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="  # noqa: E501
    signature = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
    event = {
        "email": "hello@world.com",
        "event": "dropped",
        "reason": "Bounced Address",
        "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
        "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
        "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
        "timestamp": 1600112492,
    }
    body = json.dumps([event], sort_keys=True, separators=(",", ":")).encode() + b"\r\n"
    prefix = "x-twilio-email-event-webhook"
    posted = Posted(body, {f"{prefix}-signature": signature, f"{prefix}-timestamp": "1600112502"})
    at = datetime.fromtimestamp(1600112502, UTC)
    (signed,) = verify("sendgrid", posted, at, requests.webhooks(sendgrid=key)).events
    assert signed.event_id == event["sg_event_id"]
    for change in (body.rstrip(), body.replace(b"dropped", b"bounce"), b""):
        with pytest.raises(UnverifiedRequest):
            verify("sendgrid", Posted(change, posted.headers), at, requests.webhooks(sendgrid=key))


@pytest.mark.parametrize("source", PROVIDERS)
def test_a_signed_request_is_accepted(source: str) -> None:
    at = now()
    (signed,) = verify(source, requests.post(source, "hard", MAIL, at), at).events
    event = providers.read_event(IncomingSource.of(source), providers.encode(signed))
    assert event
    assert event.kind == "hard"


@pytest.mark.parametrize("source", SIGNED)
def test_a_request_is_accepted_within_its_time_only(source: str) -> None:
    at, future = now(), timedelta(minutes=5)
    posted = requests.post(source, "hard", MAIL, at)
    second = timedelta(seconds=1)
    for received in (at + TOO_OLD[source] - second, at - future):
        assert verify(source, posted, received).events
    for received in (at + TOO_OLD[source], at - future - second):
        with pytest.raises(UnverifiedRequest):
            verify(source, posted, received)


@pytest.mark.parametrize("source", ["standard", "resend"])
def test_one_of_several_signatures_and_secrets_is_enough(source: str) -> None:
    """A secret is replaced while both sign, or while both are in the setting."""
    at, other = now(), "whsec_" + b64encode(b"another key, as long as it has to be").decode()
    posted = requests.post(source, "hard", MAIL, at)
    name = "webhook-signature" if source == "standard" else "svix-signature"
    both = posted.with_headers(**{name: f"v1a,AAAA v1,{b64encode(bytes(32)).decode()} {posted.headers[name]}"})
    assert verify(source, both, at).events
    assert verify(source, posted, at, requests.webhooks(**{source: f"{other}, {requests.WHSEC}"})).events


Mutation = Callable[[Posted], Posted]


def flipped(posted: Posted) -> Posted:
    """Change one character in the middle of the body, and leave it JSON."""
    body = posted.body.replace(b"mail.example", b"mail.examplf", 1)
    assert body != posted.body
    return Posted(body, posted.headers)


def header_changes(source: str, posted: Posted) -> dict[str, Posted]:
    """Return the request with each of its headers that matter missing, empty, cut and made up."""
    kept = ("content-type", "x-amz-sns-message-type")
    changed: dict[str, Posted] = {}
    for name in (name for name in posted.headers if name not in kept):
        value = posted.headers[name]
        without = {key: item for key, item in posted.headers.items() if key != name}
        changed[f"{name} missing"] = Posted(posted.body, without)
        for label, other in {"empty": "", "cut": value[:-3], "longer": value + "A", "odd": "\u00e9\ud800"}.items():
            changed[f"{name} {label}"] = Posted(posted.body, {**without, name: other})
    return changed


def body_changes(source: str, posted: Posted) -> dict[str, Posted]:
    """Return the request with changed bodies: only a signature of the whole body notices all of them."""
    changed = {
        "truncated": posted.body[:-20],
        "empty": b"",
        "not JSON": b"\xff\xfe{",
        "other JSON": b"42",
        "null": b"null",
    }
    result = {name: Posted(body, posted.headers) for name, body in changed.items()}
    if source in ("standard", "resend", "sendgrid", "ses"):
        result["one character"] = flipped(posted)
        result["a blank"] = Posted(posted.body.replace(b"mail.example", b"mail. example", 1), posted.headers)
        result["twice"] = Posted(posted.body + posted.body, posted.headers)
    return result


def foreign(source: str, at: datetime) -> dict[str, Posted]:
    """Return requests signed with other keys, and with another provider's way of signing."""
    body = requests.BODIES[source]("hard", MAIL, at, 1)
    other = "whsec_" + b64encode(b"another key, as long as it has to be").decode()
    by: dict[str, Any] = {
        "standard": lambda: requests.sign_standard(body, at, secret=other),
        "resend": lambda: requests.sign_standard(body, at, name="svix", secret=other),
        "sendgrid": lambda: requests.sign_sendgrid(body, at, key=ec.generate_private_key(ec.SECP256R1())),
        "mailgun": lambda: requests.sign_mailgun(body, at, key="another signing key"),
        "ses": lambda: requests.post_sns(
            requests.sns_message(json.dumps(body), at), rsa.generate_private_key(65537, 2048)
        ),
    }
    made = by.get(source, lambda: requests.sign_credentials(body, at, credentials="mailshot:another password"))
    result = {
        "another secret": made(),
        "not signed": Posted(json.dumps(body).encode(), {"content-type": "application/json"}),
    }
    if source in WITH_PASSWORD:
        for name, credentials in {
            "user only": "mailshot:",
            "bearer": "canary-password",
            "other user": "x:canary-password",
        }.items():
            result[name] = requests.sign_credentials(body, at, credentials=credentials)
    else:
        result["a password"] = requests.sign_credentials(body, at)
    return result


def inner_changes(source: str, posted: Posted) -> dict[str, Posted]:
    """Return the request with changes of what is signed inside the body."""
    body = json.loads(posted.body)
    if source == "mailgun":
        changes: list[dict[str, Any]] = [
            {"token": "x"},
            {"timestamp": "1"},
            {"signature": ""},
            {"signature": None},
            {"token": ""},
            {"timestamp": ""},
        ]
        made: list[Any] = [{**body, "signature": {**body["signature"], **change}} for change in changes]
        made += [{**body, "signature": []}, {"event-data": body["event-data"]}, [body]]
    elif source == "ses":
        names = (
            "MessageId",
            "Timestamp",
            "TopicArn",
            "Type",
            "Message",
            "Signature",
            "SignatureVersion",
            "SigningCertURL",
        )
        made = [{**body, name: value} for name in names for value in ("", "1", None, 7)]
        made += [{key: value for key, value in body.items() if key != name} for name in names]
        made += [{**body, "Subject": "not signed"}]
    else:
        made = []
    return {f"inside {number}": Posted(json.dumps(item).encode(), posted.headers) for number, item in enumerate(made)}


@pytest.mark.parametrize("source", PROVIDERS)
def test_no_changed_request_is_accepted(source: str) -> None:
    at = now()
    posted = requests.post(source, "hard", MAIL, at)
    changes = {
        **header_changes(source, posted), **body_changes(source, posted), **foreign(source, at),
        **inner_changes(source, posted),
    }  # fmt: skip
    assert len(changes) >= 8
    accepted = []
    for name, change in changes.items():
        try:
            verify(source, change, at)
            accepted.append(name)
        except (UnverifiedRequest, UnreadableRequest):
            pass
    assert accepted == []


def test_a_version_1_signature_of_sns_is_refused() -> None:
    """It is made with SHA-1."""
    at = now()
    message = requests.sns_message("{}", at, SignatureVersion="1")
    with pytest.raises(UnverifiedRequest, match="SHA-256"):
        verify("ses", requests.post_sns(message), at)


def test_a_signed_message_of_another_topic_is_refused_and_nothing_fetched() -> None:
    at = now()
    message = requests.sns_message("{}", at, TopicArn=requests.TOPIC + "2")

    def fetch(url: str) -> bytes:
        pytest.fail(f"fetched {url}")

    with pytest.raises(UnverifiedRequest, match="topic"):
        verify("ses", requests.post_sns(message), at, fetch=fetch)


@pytest.mark.parametrize("made", [b"", b"no certificate", requests.certificate(years=-1)])
def test_a_certificate_that_is_over_or_none_is_refused(made: bytes) -> None:
    at = now()
    with pytest.raises(UnverifiedRequest, match="signature"):
        verify("ses", requests.post("ses", "hard", MAIL, at), at, fetch=lambda url: made)


@pytest.mark.parametrize(
    ("source", "secret"),
    [
        ("standard", "whsec_QUJD"),
        ("standard", "whsec_not base64"),
        ("resend", "whsec_QQ=="),
        ("sendgrid", "MFkw"),
        ("sendgrid", "no key"),
        ("ses", "arn:aws:sqs:eu-west-1:123456789012:queue"),
        ("ses", "https://sns.eu-west-1.amazonaws.com/"),
        ("mailgun", "short"),
        ("postmark", "a:b"),
        ("brevo", "x"),
        ("mailjet", "u:p"),
    ],
)
def test_a_malformed_setting_stops_the_boot_and_does_not_show_the_secret(source: str, secret: str) -> None:
    with pytest.raises(SettingsError) as caught:
        requests.webhooks(**{source: secret})
    assert f"MAILSHOT_WEBHOOK_{source.upper()}" in str(caught.value)
    assert len(secret) < 6 or secret not in str(caught.value)


def test_secrets_show_in_no_repr() -> None:
    shown = repr(requests.webhooks())
    assert not [secret for secret in requests.SETTINGS.values() if secret in shown]
