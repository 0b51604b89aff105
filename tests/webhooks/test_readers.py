"""What events of providers mean: every kind, published samples, and JSON of any shape."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailshot.states import BounceReason, IncomingKind, IncomingSource
from mailshot.webhooks import provider_event, providers
from mailshot.webhooks.provider_event import ProviderEvent
from mailshot.webhooks.providers import PROVIDERS
from tests.incoming.keys import KEYS
from tests.support import provider_webhooks as requests
from tests.support.provider_webhooks import KINDS, MailIds

AT = datetime(2026, 6, 1, 12, 0, 5, tzinfo=UTC)
MAIL = MailIds.of(KEYS, 3, 7)
#: What is not called so by a provider: it sends delays as soft bounces.
OTHER = {("postmark", "delayed"): "soft"}


def read(source: str, body: Any) -> ProviderEvent | None:
    return PROVIDERS[IncomingSource.of(source)].read(json.loads(json.dumps(body)))


def first(body: Any) -> Any:
    return body[0] if isinstance(body, list) else body


@pytest.mark.parametrize("source", PROVIDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_with_time_address_and_mail(source: str, kind: str) -> None:
    event = read(source, first(requests.BODIES[source](kind, MAIL, AT, 1)))
    assert event
    assert event.kind == OTHER.get((source, kind), "block" if kind == "suppressed" else kind)
    assert (event.reason is BounceReason.suppressed) == (kind == "suppressed")
    assert event.happened_at == AT
    assert event.address == MAIL.recipient
    token = providers.token_of(event, KEYS)
    assert token
    assert token.ids[:2] == (3, 7)
    if kind == "opened":
        assert event.agent == requests.BROWSER


@pytest.mark.parametrize(
    ("claim", "reply", "kind"),
    [
        ("hard", "", "hard"),
        ("hard", "550 5.1.1 user unknown", "hard"),
        ("hard", "550 something went wrong", "hard"),
        ("hard", "554 5.7.1 blocked using zen.spamhaus.org", "block"),
        ("hard", "550 5.7.515 Access denied, sending domain does not pass DMARC", "block"),
        ("hard", "552 5.2.2 mailbox full", "soft"),
        ("soft", "550 5.1.1 user unknown", "soft"),
        ("soft", "421 4.7.0 too many messages from your IP", "block"),
        ("block", "550 5.1.1 user unknown", "block"),
    ],
)
def test_the_milder_of_the_claim_and_the_reply_counts(claim: str, reply: str, kind: str) -> None:
    assert provider_event.bounce(IncomingKind.of(claim), "x", "", reply)["kind"] == kind


SAMPLES: list[tuple[str, dict[str, Any], str | None]] = [
    ("ses", {"notificationType": "Bounce", "bounce": {"bounceType": "Permanent", "bounceSubType": "NoEmail"}}, "hard"),
    ("ses", {"notificationType": "Bounce", "bounce": {"bounceType": "Undetermined"}}, "soft"),
    ("ses", {"notificationType": "Complaint", "complaint": {"complaintSubType": "OnAccountSuppressionList"}}, "block"),
    ("ses", {"eventType": "Reject", "reject": {"reason": "Bad content"}}, "block"),
    ("ses", {"eventType": "Send", "send": {}}, None),
    ("sendgrid", {"event": "processed"}, None),
    ("sendgrid", {"event": "group_resubscribe"}, "unknown"),
    ("sendgrid", {"event": "dropped", "reason": "Unsubscribed Address"}, "block"),
    ("mailgun", {"event-data": {"event": "failed", "severity": "temporary"}}, "delayed"),
    ("mailgun", {"event-data": {"event": "failed", "severity": "permanent", "reason": "suppress-complaint"}}, "block"),
    ("mailgun", {"event-data": {"event": "accepted"}}, None),
    ("postmark", {"RecordType": "Bounce", "Type": "AutoResponder"}, "auto_reply"),
    ("postmark", {"RecordType": "Bounce", "Type": "BadEmailAddress"}, "hard"),
    ("postmark", {"RecordType": "SubscriptionChange", "SuppressSending": False}, "unknown"),
    ("postmark", {
        "RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": "HardBounce",
    }, "unknown"),
    ("postmark", {
        "RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": "ManualSuppression",
        "Origin": "Customer",
    }, "unknown"),
    ("postmark", {
        "RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": "SpamComplaint",
    }, "complaint"),
    ("resend", {"type": "email.bounced", "data": {"bounce": {"message": "sent a hard bounce message"}}}, "hard"),
    ("resend", {"type": "email.bounced", "data": {"bounce": {"message": "… the recipient's inbox was full."}}}, "soft"),
    ("resend", {"type": "email.bounced", "data": {"bounce": {"message": "Resend has suppressed sending"}}}, "block"),
    ("resend", {"type": "email.sent", "data": {}}, None),
    ("brevo", {"event": "invalid_email"}, "hard"),
    ("brevo", {"event": "request"}, None),
    ("mailjet", {"event": "bounce", "hard_bounce": True, "error": "user unknown"}, "hard"),
    ("mailjet", {"event": "bounce", "hard_bounce": True, "error": "policy issue", "error_related_to": "spam"}, "block"),
    ("mailjet", {"event": "blocked", "error": "preblocked", "error_related_to": "mailjet"}, "block"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "body", "kind"), SAMPLES)
def test_what_providers_document(source: str, body: dict[str, Any], kind: str | None) -> None:
    event = read(source, body)
    assert (str(event.kind) if event else None) == kind


def test_an_open_by_a_machine_is_marked() -> None:
    bodies = {
        "sendgrid": {"event": "open", "sg_machine_open": True}, "brevo": {"event": "unique_proxy_open"},
        "mailgun": {"event-data": {"event": "opened", "client-info": {"bot": "apple"}}},
    }  # fmt: skip
    for source, body in bodies.items():
        event = read(source, body)
        assert event
        assert event.by_machine


@pytest.mark.parametrize(
    ("written", "at"),
    [
        (1780315205, AT), ("1780315205", AT), (1780315205.0, AT), (1780315205000, AT), ("2026-06-01T12:00:05Z", AT),
        ("2026-06-01T14:00:05.0000000+02:00", AT), ("2026-06-01T12:00:05", AT), ("nan", None), ("inf", None),
        (1e300, None), (-1e300, None), ("", None), (None, None), (True, None), ([], None),
        ("0001-01-01T00:00:00+10:00", None),
    ],
)  # fmt: skip
def test_times_of_all_providers_are_read(written: Any, at: datetime | None) -> None:
    assert provider_event.moment({"at": written}, "at") == at


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=10,
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in _paths(item, (*path, key)))]


def _replaced(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(copy[path[0]], path[1:], other)
    return copy


@given(st.sampled_from(sorted(PROVIDERS)), st.sampled_from(KINDS), st.data())
def test_no_shape_of_json_raises(source: str, kind: str, data: st.DataObject) -> None:
    body = first(requests.BODIES[source](kind, MAIL, AT, 1))
    for _ in range(2):
        path = data.draw(st.sampled_from(_paths(body)[1:]))
        body = _replaced(body, path, data.draw(json_values))
    event = PROVIDERS[IncomingSource.of(source)].read(body)
    if event is not None:
        providers.token_of(event, KEYS)
