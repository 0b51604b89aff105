"""Verifies and reads event webhooks of SendGrid: an array of events, signed as a whole (ECDSA).

The token comes back as a unique argument, which a mail sent by SMTP names in its header X-SMTPAPI.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mailshot.states import FeedbackKind, IncomingKind
from mailshot.webhooks import provider_event, public_keys, verification
from mailshot.webhooks.provider_event import TOKEN_NAME, ProviderEvent, text
from mailshot.webhooks.verification import UnreadableRequest, UnverifiedRequest, WebhookRequest

_SIGNATURE, _TIMESTAMP = (f"x-twilio-email-event-webhook-{name}" for name in ("signature", "timestamp"))
_IGNORED = ("processed",)
_KINDS: dict[str, IncomingKind | FeedbackKind] = {
    "delivered": IncomingKind.delivered,
    "deferred": IncomingKind.delayed,
    "spamreport": IncomingKind.complaint,
    "unsubscribe": IncomingKind.unsubscribe,
    "group_unsubscribe": IncomingKind.unsubscribe,
    "open": FeedbackKind.opened,
    "click": FeedbackKind.clicked,
}


def id_header(token: str) -> tuple[str, str]:
    """Return the header that makes SendGrid repeat a token in each event; SendGrid removes it."""
    return "X-SMTPAPI", json.dumps({"unique_args": {TOKEN_NAME: token}})


def verify(request: WebhookRequest, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return the events of a request. Raises UnverifiedRequest or UnreadableRequest."""
    timestamp, signature = request.headers.get(_TIMESTAMP, ""), request.headers.get(_SIGNATURE, "")
    verification.check_age(request, timestamp)
    # The bytes as they came: SendGrid ends them with a line break, which is signed, too.
    signed = timestamp.encode() + request.body
    if not any(public_keys.is_signed_by_key(public_keys.ecdsa_key(key), signature, signed) for key in keys):
        raise UnverifiedRequest("the signature does not match")
    body = verification.read_json(request)
    if not isinstance(body, list):
        raise UnreadableRequest("the body is not an array of events")
    return [event for event in body if isinstance(event, dict)]


def read(body: dict[str, Any]) -> ProviderEvent | None:
    """Read one event; None for one that says nothing about delivery."""
    kind = text(body, "event")
    if kind in _IGNORED:
        return None
    common = {
        "name": kind or "unknown",
        "identifiers": (text(body, TOKEN_NAME), provider_event.message_id(text(body, "smtp-id"))),
        "happened_at": provider_event.moment(body, "timestamp"),
        "address": text(body, "email"),
    }
    return provider_event.event(_fields(kind, body), common)


def _fields(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    diagnostic = text(body, "reason") or text(body, "response")
    if kind == "bounce":
        # "blocked" is a refusal that may be over soon, "expired" the end of all attempts.
        claims = {"blocked": IncomingKind.block, "expired": IncomingKind.soft}
        type_ = text(body, "type")
        claim = claims.get(type_, IncomingKind.hard)
        return provider_event.bounce(claim, f"bounce {type_}".strip(), text(body, "status"), diagnostic)
    if kind == "dropped":
        return provider_event.suppressed(f"dropped {diagnostic}"[:100], diagnostic)
    if kind in ("open", "click"):
        is_machine = body.get("sg_machine_open") is True
        return {
            "kind": _KINDS[kind],
            "agent": text(body, "useragent"),
            "url": text(body, "url"),
            "by_machine": is_machine,
        }
    return {"kind": _KINDS.get(kind, IncomingKind.unknown), "diagnostic": diagnostic}
