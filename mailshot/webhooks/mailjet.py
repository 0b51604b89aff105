"""Reads event webhooks of Mailjet: one event or an array of them, not signed, and without an id of their own.

The token comes back as CustomID, which a mail sent by SMTP names in a header.
"""

from __future__ import annotations

from typing import Any

from mailshot.states import BounceReason, FeedbackKind, IncomingKind
from mailshot.webhooks import provider_event
from mailshot.webhooks.provider_event import ProviderEvent, text

#: Values of `error` with which Mailjet keeps a mail back, because its own list has the address.
_SUPPRESSED = ("preblocked", "blacklisted", "spam reporter", "duplicate in campaign")
#: Values of `error_related_to` that are about the sender or the content.
_SENDER_FAULTS = ("spam", "content", "policy", "mailjet")
_KINDS: dict[str, IncomingKind | FeedbackKind] = {
    "sent": IncomingKind.delivered,
    "spam": IncomingKind.complaint,
    "unsub": IncomingKind.unsubscribe,
    "open": FeedbackKind.opened,
    "click": FeedbackKind.clicked,
}


def id_header(token: str) -> tuple[str, str]:
    """Return the header that makes Mailjet repeat a token in each event; Mailjet removes it."""
    return "X-MJ-CustomID", token


def event_id(body: dict[str, Any]) -> str:
    """Return what identifies an event."""
    return ":".join(text(body, name) for name in ("MessageID", "event", "time", "email", "url"))


def read(body: dict[str, Any]) -> ProviderEvent | None:
    """Read one event."""
    kind = text(body, "event")
    common = {
        "name": kind or "unknown",
        "identifiers": (text(body, "CustomID"),),
        "happened_at": provider_event.moment(body, "time"),
        "address": text(body, "email"),
        "url": text(body, "url"),
        "agent": text(body, "agent"),
    }
    return provider_event.event(_fields(kind, body), common)


def _fields(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    if kind not in ("bounce", "blocked"):
        return {"kind": _KINDS.get(kind, IncomingKind.unknown)}
    error, related_to = text(body, "error"), text(body, "error_related_to")
    name = " ".join(filter(None, (kind, related_to, error)))
    diagnostic = text(body, "smtp_reply") or text(body, "comment") or error
    if error in _SUPPRESSED:
        return provider_event.suppressed(name, diagnostic)
    is_hard = body.get("hard_bounce") is True
    if error == "greylisted" and not is_hard:
        return {"kind": IncomingKind.delayed, "name": name, "diagnostic": diagnostic}
    if kind == "blocked" or related_to in _SENDER_FAULTS:
        return {**provider_event.bounce(IncomingKind.block, name, "", diagnostic), "reason": BounceReason.policy}
    return provider_event.bounce(IncomingKind.hard if is_hard else IncomingKind.soft, name, "", diagnostic)
