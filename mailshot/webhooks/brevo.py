"""Reads transactional webhooks of Brevo. They are not signed, and an event has no id of its own.

The token comes back in the field X-Mailin-custom, which a mail sent by SMTP has as a header.
"""

from __future__ import annotations

from typing import Any

from mailshot.states import FeedbackKind, IncomingKind
from mailshot.webhooks import provider_event
from mailshot.webhooks.provider_event import ProviderEvent, text

ID_HEADER = "X-Mailin-custom"
_IGNORED = ("request", "sent", "list_addition")
_CLAIMS = {
    "hard_bounce": IncomingKind.hard,
    "invalid_email": IncomingKind.hard,
    "soft_bounce": IncomingKind.soft,
}
_KINDS: dict[str, IncomingKind | FeedbackKind] = {
    "delivered": IncomingKind.delivered,
    "deferred": IncomingKind.delayed,
    "spam": IncomingKind.complaint,
    "complaint": IncomingKind.complaint,
    "unsubscribe": IncomingKind.unsubscribe,
    "unsubscribed": IncomingKind.unsubscribe,
    "opened": FeedbackKind.opened,
    "unique_opened": FeedbackKind.opened,
    "proxy_open": FeedbackKind.opened,
    "unique_proxy_open": FeedbackKind.opened,
    "click": FeedbackKind.clicked,
}


def id_header(token: str) -> tuple[str, str]:
    """Return the header that makes Brevo repeat a token in each event."""
    return ID_HEADER, token


def event_id(body: dict[str, Any]) -> str:
    """Return what identifies an event."""
    return ":".join(text(body, name) for name in ("message-id", "event", "ts_epoch", "email", "link"))


def read(body: dict[str, Any]) -> ProviderEvent | None:
    """Read a request, which is one event; None for one that says nothing about delivery."""
    kind = text(body, "event")
    if kind in _IGNORED:
        return None
    common = {
        "name": kind or "unknown",
        "identifiers": (text(body, ID_HEADER), provider_event.message_id(text(body, "message-id"))),
        # The other times are in the zone of the account.
        "happened_at": provider_event.moment(body, "ts_epoch"),
        "address": text(body, "email"),
        "url": text(body, "link"),
        "agent": text(body, "user_agent"),
        "by_machine": "proxy" in kind,
    }
    return provider_event.event(_fields(kind, text(body, "reason")), common)


def _fields(kind: str, reason: str) -> dict[str, Any]:
    if kind in _CLAIMS:
        return provider_event.bounce(_CLAIMS[kind], kind, "", reason)
    if kind == "blocked":
        return provider_event.suppressed(kind, reason)
    return {"kind": _KINDS.get(kind, IncomingKind.unknown), "diagnostic": reason}
