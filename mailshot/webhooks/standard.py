"""Reads webhooks in the format of Resend, and in ours, which any other program can send (docs/feedback.md).

Both are signed as Standard Webhooks say, and both are `{"type": …, "created_at" or "timestamp": …, "data": {…}}`.
"""

from __future__ import annotations

from typing import Any

from mailshot.states import FeedbackKind, IncomingKind
from mailshot.webhooks import provider_event
from mailshot.webhooks.provider_event import TOKEN_NAME, ProviderEvent, text

#: Resend repeats the headers of a mail in its events.
ID_HEADER = "X-Mailshot-Id"
_IGNORED = ("sent", "scheduled")
_KINDS: dict[str, IncomingKind | FeedbackKind] = {
    "delivered": IncomingKind.delivered,
    "delivery_delayed": IncomingKind.delayed,
    "deferred": IncomingKind.delayed,
    "complained": IncomingKind.complaint,
    "unsubscribed": IncomingKind.unsubscribe,
    "opened": FeedbackKind.opened,
    "clicked": FeedbackKind.clicked,
}


def id_header(token: str) -> tuple[str, str]:
    """Return the header that carries a token through Resend; recipients can see it."""
    return ID_HEADER, token


def read_resend(body: dict[str, Any]) -> ProviderEvent | None:
    """Read an event of Resend; None for one that says nothing about delivery."""
    data = body.get("data")
    headers = data.get("headers") if isinstance(data, dict) else None
    kind = text(body, "type").removeprefix("email.")
    if kind in _IGNORED:
        return None
    tracked = data.get("click") if kind == "clicked" and isinstance(data, dict) else _member(data, "open")
    common = {
        "name": kind or "unknown",
        "identifiers": (
            *provider_event.header_values(headers, (ID_HEADER.lower(), "message-id")),
            text(data, "tags", TOKEN_NAME),
            provider_event.message_id(text(data, "message_id")),
        ),
        "happened_at": provider_event.moment(body, "created_at"),
        "address": text(data, "to", 0),
        "url": text(tracked, "link"),
        "agent": text(tracked, "userAgent"),
    }
    return provider_event.event(_resend_fields(kind, data), common)


def _resend_fields(kind: str, data: Any) -> dict[str, Any]:
    bounce = _member(data, "bounce")
    message = text(bounce, "message")
    name = " ".join(filter(None, (kind, text(bounce, "type"), text(bounce, "subType"))))
    if kind == "suppressed" or "suppressed sending" in message or "Suppress" in text(bounce, "subType"):
        return provider_event.suppressed(name, message)
    if kind == "bounced":
        # Older events have no type, only a sentence.
        permanent = text(bounce, "type") == "Permanent" or (not text(bounce, "type") and "hard bounce" in message)
        claim = IncomingKind.hard if permanent else IncomingKind.soft
        # The sentence is Resend's advice; the reply of the server, where there is one, is apart from it.
        fields = provider_event.bounce(
            claim, name, "", text(bounce, "diagnosticCode", 0) or text(bounce, "diagnosticCode")
        )
        return {**fields, "diagnostic": fields["diagnostic"] or message}
    return {"kind": _KINDS.get(kind, IncomingKind.unknown)}


def read_standard(body: dict[str, Any]) -> ProviderEvent | None:
    """Read an event in our own format."""
    data = body.get("data")
    kind = text(body, "type").removeprefix("mail.")
    common = {
        "name": kind or "unknown",
        "identifiers": (
            text(data, "token"), text(data, "envelope_from"), provider_event.message_id(text(data, "message_id")),
        ),
        "happened_at": provider_event.moment(body, "timestamp"),
        "address": text(data, "recipient"),
        "url": text(data, "url"),
        "agent": text(data, "user_agent"),
    }  # fmt: skip
    return provider_event.event(_standard_fields(kind, data), common)


def _standard_fields(kind: str, data: Any) -> dict[str, Any]:
    status, diagnostic, claim = (text(data, name) for name in ("status", "diagnostic", "bounce"))
    if kind == "bounced" and claim in ("hard", "soft", "block"):
        return provider_event.bounce(IncomingKind.of(claim), f"bounced {claim}", status, diagnostic)
    if kind == "suppressed":
        return provider_event.suppressed(kind, diagnostic)
    return {"kind": _KINDS.get(kind, IncomingKind.unknown), "diagnostic": diagnostic}


def _member(data: Any, name: str) -> Any:
    return data.get(name) if isinstance(data, dict) else None
