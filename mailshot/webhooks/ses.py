"""Reads events of Amazon SES, as a configuration set publishes them (`eventType`) or an identity (`notificationType`).

SES replaces the Message-ID, but reports the envelope's sender and, if told to, the original headers.
"""

from __future__ import annotations

from typing import Any

from mailshot.states import BounceReason, FeedbackKind, IncomingKind
from mailshot.webhooks import provider_event
from mailshot.webhooks.provider_event import ProviderEvent, text

#: Subtypes of permanent bounces that SES itself made, without asking the recipient's server.
_SUPPRESSED = ("Suppressed", "OnAccountSuppressionList")
_BLOCKED = ("ContentRejected", "AttachmentRejected")
_IGNORED = ("Send", "Rendering Failure")
_TRACKED = {"Open": FeedbackKind.opened, "Click": FeedbackKind.clicked}


def read(body: dict[str, Any]) -> ProviderEvent | None:
    """Read the message that SNS carries; None for an event that says nothing about delivery."""
    kind = text(body, "eventType") or text(body, "notificationType")
    if kind in _IGNORED:
        return None
    mail = body.get("mail")
    section = _section(body, kind)
    headers = mail.get("headers") if isinstance(mail, dict) else None
    common = {
        "name": kind or "unknown",
        "identifiers": (text(mail, "source"), *provider_event.header_values(headers, ("message-id", "return-path"))),
        "happened_at": provider_event.moment(section, "timestamp") or provider_event.moment(mail, "timestamp"),
        "address": text(mail, "destination", 0),
    }
    return provider_event.event(_fields(kind, section), common)


def _section(body: dict[str, Any], kind: str) -> Any:
    names = {"DeliveryDelay": "deliveryDelay", "Complaint": "complaint"}
    return body.get(names.get(kind, kind.lower()))


def _fields(kind: str, section: Any) -> dict[str, Any]:
    if kind in _TRACKED:
        return {"kind": _TRACKED[kind], "agent": text(section, "userAgent"), "url": text(section, "link")}
    if kind == "Bounce":
        return _bounce(section)
    if kind == "Complaint":
        # The subtype says that SES kept the mail back, because of an earlier complaint.
        is_old = text(section, "complaintSubType") in _SUPPRESSED
        return provider_event.suppressed("Complaint suppressed") if is_old else {"kind": IncomingKind.complaint}
    if kind == "DeliveryDelay":
        delayed = text(section, "delayedRecipients", 0, "diagnosticCode")
        return {"kind": IncomingKind.delayed, "diagnostic": delayed or text(section, "delayType")}
    if kind == "Reject":
        return {"kind": IncomingKind.block, "reason": BounceReason.spam, "diagnostic": text(section, "reason")}
    if kind == "Subscription":
        return {"kind": IncomingKind.unsubscribe if _opted_out(section) else IncomingKind.unknown}
    return {"kind": IncomingKind.delivered if kind == "Delivery" else IncomingKind.unknown}


def _bounce(section: Any) -> dict[str, Any]:
    kind, subtype = text(section, "bounceType"), text(section, "bounceSubType")
    name = f"Bounce {kind} {subtype}"
    status, diagnostic = (text(section, "bouncedRecipients", 0, field) for field in ("status", "diagnosticCode"))
    if subtype in _SUPPRESSED:
        return provider_event.suppressed(name, diagnostic)
    claim = IncomingKind.hard if kind == "Permanent" else IncomingKind.soft
    if subtype in _BLOCKED:
        claim = IncomingKind.block
    fields = provider_event.bounce(claim, name, status, diagnostic)
    address = text(section, "bouncedRecipients", 0, "emailAddress")
    return {**fields, "address": address} if address else fields


def _opted_out(section: Any) -> bool:
    """Return whether a customer left all topics of the contact list, or its default."""
    preferences = section.get("newTopicPreferences") if isinstance(section, dict) else None
    return isinstance(preferences, dict) and preferences.get("unsubscribeAll") is True
