"""Reads webhooks of Mailgun. It keeps our Message-ID and repeats it in each event, with the envelope's sender."""

from __future__ import annotations

from typing import Any

from mailshot.states import BounceReason, FeedbackKind, IncomingKind
from mailshot.webhooks import provider_event
from mailshot.webhooks.provider_event import TOKEN_NAME, ProviderEvent, text

_IGNORED = ("accepted", "stored")
#: The reasons of a permanent failure after which the recipient's server had been asked.
_ASKED = ("bounce", "generic", "")
_KINDS: dict[str, IncomingKind | FeedbackKind] = {
    "delivered": IncomingKind.delivered,
    "complained": IncomingKind.complaint,
    "unsubscribed": IncomingKind.unsubscribe,
    "opened": FeedbackKind.opened,
    "clicked": FeedbackKind.clicked,
}


def read(body: dict[str, Any]) -> ProviderEvent | None:
    """Read a request, which is one event; None for one that says nothing about delivery."""
    data = body.get("event-data")
    kind = text(data, "event")
    if kind in _IGNORED:
        return None
    common = {
        "name": kind or "unknown",
        "identifiers": (
            text(data, "user-variables", TOKEN_NAME),
            text(data, "envelope", "sender"),
            provider_event.message_id(text(data, "message", "headers", "message-id")),
        ),
        "happened_at": provider_event.moment(data, "timestamp"),
        "address": text(data, "recipient"),
        "url": text(data, "url"),
        "agent": text(data, "client-info", "user-agent"),
        "by_machine": text(data, "client-info", "bot") != "",
    }
    return provider_event.event(_fields(kind, data), common)


def event_id(body: dict[str, Any]) -> str:
    """Return what identifies an event: Mailgun's own id is unique for a day only."""
    data = body.get("event-data")
    number, at = text(data, "id"), text(data, "timestamp")
    return f"{number}:{at}" if number else ""


def _fields(kind: str, data: Any) -> dict[str, Any]:
    if kind not in ("failed", "rejected"):
        return {"kind": _KINDS.get(kind, IncomingKind.unknown)}
    reason, status = text(data, "reason"), text(data, "delivery-status", "enhanced-code")
    reply = " ".join(filter(None, (text(data, "delivery-status", name) for name in ("code", "message"))))
    diagnostic = reply or text(data, "delivery-status", "description")
    if kind == "rejected":  # Mailgun refuses the mail itself.
        reply = text(data, "reject", "reason")
        return {"kind": IncomingKind.block, "reason": BounceReason.policy, "diagnostic": reply}
    if reason.startswith("suppress-"):
        return provider_event.suppressed(f"failed {reason}", diagnostic)
    if text(data, "severity") != "permanent":
        return {"kind": IncomingKind.delayed, "diagnostic": diagnostic}
    claim = IncomingKind.block if reason == "espblock" else IncomingKind.hard if reason in _ASKED else IncomingKind.soft
    return provider_event.bounce(claim, f"failed permanent {reason}".strip(), status, diagnostic)
