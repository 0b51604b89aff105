"""Reads webhooks of Postmark: bounces, spam complaints, deliveries, opens, clicks and subscription changes.

Postmark replaces the Message-ID. The token comes back as metadata, which a mail sent by SMTP names in a header.
"""

from __future__ import annotations

from typing import Any

from mailshot.states import FeedbackKind, IncomingKind
from mailshot.webhooks import provider_event
from mailshot.webhooks.provider_event import TOKEN_NAME, ProviderEvent, text

_TIMES = ("BouncedAt", "DeliveredAt", "ReceivedAt", "ChangedAt")
_ADDRESSES = ("Email", "Recipient")
_CLAIMS = {
    "HardBounce": IncomingKind.hard,
    "BadEmailAddress": IncomingKind.hard,
    "SoftBounce": IncomingKind.soft,
    "Transient": IncomingKind.soft,
    "DnsError": IncomingKind.soft,
    "Unknown": IncomingKind.soft,
    "Blocked": IncomingKind.block,
    "DMARCPolicy": IncomingKind.block,
    "SpamNotification": IncomingKind.block,
    "VirusNotification": IncomingKind.block,
}
_OTHER_TYPES = {
    "SpamComplaint": IncomingKind.complaint,
    "Unsubscribe": IncomingKind.unsubscribe,
    "AutoResponder": IncomingKind.auto_reply,
    "AddressChange": IncomingKind.auto_reply,
    "ChallengeVerification": IncomingKind.auto_reply,
}
_SUPPRESSED = ("ManuallyDeactivated", "ManualSuppression")
_RECORDS: dict[str, IncomingKind | FeedbackKind] = {
    "Delivery": IncomingKind.delivered,
    "Open": FeedbackKind.opened,
    "Click": FeedbackKind.clicked,
}


def id_header(token: str) -> tuple[str, str]:
    """Return the header that makes Postmark repeat a token in each event; Postmark removes it."""
    return f"X-PM-Metadata-{TOKEN_NAME}", token


def event_id(body: dict[str, Any]) -> str:
    """Return what identifies an event: only bounces and complaints have a number."""
    record = text(body, "RecordType")
    if number := text(body, "ID"):
        return f"{record}:{number}"
    parts = (
        record,
        text(body, "MessageID"),
        _first(body, _TIMES),
        _first(body, _ADDRESSES),
        text(body, "OriginalLink"),
    )
    return ":".join(parts)


def read(body: dict[str, Any]) -> ProviderEvent | None:
    """Read a request, which is one event."""
    record = text(body, "RecordType")
    common = {
        "name": record or "unknown",
        "identifiers": (text(body, "Metadata", TOKEN_NAME),),
        "happened_at": provider_event.moment(_first(body, _TIMES)),
        "address": _first(body, _ADDRESSES),
        "url": text(body, "OriginalLink"),
        "agent": text(body, "UserAgent"),
    }
    return provider_event.event(_fields(record, body), common)


def _fields(record: str, body: dict[str, Any]) -> dict[str, Any]:
    if record in ("Bounce", "SpamComplaint"):
        return _bounce(text(body, "Type") or record, text(body, "Details"))
    if record == "SubscriptionChange":
        return _subscription_change(body)
    return {"kind": _RECORDS.get(record, IncomingKind.unknown)}


def _bounce(type_: str, details: str) -> dict[str, Any]:
    name = f"Bounce {type_}"
    if type_ in _CLAIMS:
        return provider_event.bounce(_CLAIMS[type_], name, "", details)
    if type_ in _SUPPRESSED:
        return provider_event.suppressed(name, details)
    return {"kind": _OTHER_TYPES.get(type_, IncomingKind.unknown), "name": name, "diagnostic": details}


def _subscription_change(body: dict[str, Any]) -> dict[str, Any]:
    """Read that an address was put on Postmark's list, or taken from it, which subscribes nobody again."""
    reason, origin = text(body, "SuppressionReason"), text(body, "Origin")
    name = " ".join(filter(None, ("SubscriptionChange", reason, origin)))
    if body.get("SuppressSending") is not True:
        return {"kind": IncomingKind.unknown, "name": name}
    if reason == "SpamComplaint":
        return {"kind": IncomingKind.complaint, "name": name}
    if reason == "ManualSuppression" and origin == "Recipient":
        return {"kind": IncomingKind.unsubscribe, "name": name}
    # The bounce is reported by itself; what you do in Postmark's console says nothing of the customer.
    return {"kind": IncomingKind.unknown, "name": name}


def _first(body: dict[str, Any], names: tuple[str, ...]) -> str:
    return next(filter(None, (text(body, name) for name in names)), "")
