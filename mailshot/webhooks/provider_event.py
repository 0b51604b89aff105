"""One event of a mail provider, and helpers to read it from JSON of any shape.

Providers leave fields out, rename them and change their types, so a reader never relies on a field: `text` gives ""
and `moment` gives None for what is not there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mailshot.incoming import bounce_rules
from mailshot.incoming.bounce_reports import MAX_DIAGNOSTIC, clean
from mailshot.incoming.bounce_rules import SmtpPhase
from mailshot.states import BounceReason, Confidence, FeedbackKind, IncomingKind

#: Under this name a provider returns the token that a mail carries.
TOKEN_NAME = "mailshot"
MAX_TEXT = 2000
#: A number beyond it counts milliseconds, not seconds: in seconds it would be the year 5138.
_MILLISECONDS = 10**11
#: The milder of two verdicts counts: a wrong hard bounce loses a customer, a missed one costs a few mails.
_SEVERITY = (IncomingKind.block, IncomingKind.soft, IncomingKind.hard)


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """What a provider reports about one mail."""

    #: An `IncomingKind`, or `opened` or `clicked`.
    kind: IncomingKind | FeedbackKind
    #: What the provider calls it, such as "bounce Permanent General".
    name: str
    #: Where our token may stand, the most trustworthy first: the custom field, the envelope's sender, the Message-ID.
    identifiers: tuple[str, ...] = ()
    #: When it happened; None when the provider does not say.
    happened_at: datetime | None = None
    #: The recipient.
    address: str = ""
    #: Why a mail was not delivered; None for anything else.
    reason: BounceReason | None = None
    #: "" where the provider does not repeat the server's reply.
    enhanced_code: str = ""
    smtp_code: int | None = None
    diagnostic: str = ""
    #: The link that was clicked, and the User-Agent of an open or a click.
    url: str = ""
    agent: str = ""
    #: The provider takes the open or click for a machine's.
    by_machine: bool = False


def text(value: Any, *path: str | int) -> str:
    """Return the text or number at a path in JSON, "" when there is none; printable, at most `MAX_TEXT` long."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and len(value) > step else None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return clean(str(value), MAX_TEXT)


def moment(value: Any, *path: str | int) -> datetime | None:
    """Return the moment at a path in JSON: ISO 8601, or seconds or milliseconds since 1970; None when it is neither."""
    written = text(value, *path)
    try:
        number = float(written)
    except ValueError:
        return _iso_moment(written)
    try:
        return datetime.fromtimestamp(number / 1000 if number > _MILLISECONDS else number, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _iso_moment(written: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(written)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def message_id(value: str) -> str:
    """Return a Message-ID in angle brackets, which some providers leave out; "" for none."""
    return f"<{value.strip().strip('<>')}>" if value.strip() else ""


def header_values(headers: Any, names: Collection[str]) -> list[str]:
    """Return the values of headers in JSON of the form `[{"name": …, "value": …}]`; `names` are in lower case."""
    pairs = headers if isinstance(headers, list) else []
    return [text(pair, "value") for pair in pairs[:200] if text(pair, "name").lower() in names]


def bounce(claim: IncomingKind, name: str, status: str, diagnostic: str) -> dict[str, Any]:
    """Return the fields of an event about a mail that was not delivered.

    `claim` is hard, soft or block, as the provider says; `status` an enhanced code; `diagnostic` the server's reply. If
    our own rules know that reply to be milder than the claim, they count: providers call mails that were refused as
    spam, and full mailboxes, permanent failures.
    """
    failure = bounce_rules.read_failure(status, diagnostic, SmtpPhase.unknown)
    verdict = bounce_rules.decide(failure)
    is_milder = _SEVERITY.index(verdict.kind) < _SEVERITY.index(claim) and verdict.confidence is not Confidence.guess
    kind = verdict.kind if is_milder else claim
    return {
        "kind": kind,
        "name": f"{name}, {verdict.rule}" if is_milder else name,
        "reason": verdict.reason if verdict.kind is kind else BounceReason.unknown,
        "enhanced_code": failure.enhanced_code,
        "smtp_code": failure.smtp_code,
        "diagnostic": diagnostic[:MAX_DIAGNOSTIC],
    }


def suppressed(name: str, diagnostic: str = "") -> dict[str, Any]:
    """Return the fields of an event about a mail that the provider did not send, because its own list has the address.

    That is no new fact about the address: what put it on the list was reported before, or was not about our mails.
    """
    return {"kind": IncomingKind.block, "name": name, "reason": BounceReason.suppressed, "diagnostic": diagnostic}


def event(fields: Mapping[str, Any], common: Mapping[str, Any]) -> ProviderEvent:
    """Return an event from the fields of its kind and those that all events of a provider have."""
    return ProviderEvent(**{**common, **fields})
