"""Reads one message that came back, and says what it is about and what it means. Pure: bytes in, a value out.

Whoever stores it keeps the raw bytes, so that they can be parsed again when `PARSER_VERSION` has grown. Only a message
with a verified token may change a customer. Every other one, however convincing, is kept for people to look at.

No bytes raise, and none take long: sizes, depth and numbers of everything are capped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

from mailshot.incoming import auto_replies, mime_tree, replies
from mailshot.incoming.attribution import ADDRESSED, VerifiedToken, find_tokens
from mailshot.incoming.bounce_reports import ReportedRecipient, clean, is_daemon, read_bounce
from mailshot.incoming.contents import Contents, sort_parts
from mailshot.incoming.delivery_reports import address_of
from mailshot.incoming.mime_tree import IncomingPart
from mailshot.states import BounceReason, Confidence, IncomingKind
from mailshot.tokens import KeyRing, Purpose

#: Raise it with every change that may read a stored message differently.
PARSER_VERSION = 2

#: Characters of a subject that are kept.
MAX_SUBJECT = 200
#: Feedback types that say something about a mail, but not that its recipient complains.
_NO_COMPLAINT = ("not-spam", "auth-failure", "dmarc")


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """What a message says. Without a token it must change nothing."""

    kind: IncomingKind
    #: Which rule decided, for people who ask why.
    rule: str
    confidence: Confidence
    #: Our tokens in it, the most trustworthy first; the first one names the mail.
    tokens: tuple[VerifiedToken, ...] = ()
    #: Why it was not delivered, None for anything but a bounce.
    reason: BounceReason | None = None
    #: Of the recipient that decided; all are in `recipients`.
    reported_address: str = ""
    enhanced_code: str = ""
    smtp_code: int | None = None
    diagnostic: str = ""
    recipients: tuple[ReportedRecipient, ...] = ()
    #: Until when the writer of an automatic answer is away.
    until: date | None = None
    #: What a person or a program wrote, without what it quotes.
    text: str = ""
    #: Of what a person or a program wrote: the address in From, and the subject.
    written_by: str = ""
    subject: str = ""
    #: A reply that only asks to get no more mail: for the owner to decide.
    asks_to_stop: bool = False
    #: When it happened; None where only the receipt of the message is known.
    happened_at: datetime | None = None
    parser_version: int = PARSER_VERSION

    @property
    def token(self) -> VerifiedToken | None:
        """The token that names the mail, None when there is none: the message is unmatched."""
        return self.tokens[0] if self.tokens else None


def parse(raw: bytes, keys: KeyRing, recipient: str | None) -> IncomingMessage:
    """Read a message. `recipient` is the envelope's, None where the way it came does not say it."""
    message = mime_tree.parse(raw)
    contents = sort_parts(message)
    tokens = tuple(find_tokens(message, contents, keys, recipient))
    parsed = (
        _read_complaint(message, contents)
        or _read_unsubscribe(message, contents, tokens)
        or _read_bounce(message, contents)
        or _read_written(message, contents, tokens)
    )
    return replace(parsed, tokens=tokens)


def _read_complaint(message: IncomingPart, contents: Contents) -> IncomingMessage | None:
    """Return a complaint: a report by RFC 5965, or Microsoft's, which only attaches the mail."""
    fields, returned = contents.feedback, contents.returned
    if fields is None and not (returned is not None and _is_microsoft_complaint(message, returned)):
        return None
    fields = fields or {}
    kind = fields.get("feedback-type", "abuse").strip().lower()
    values = [fields.get(name, "") for name in ("original-rcpt-to", "removal-recipient", "original-recipient")]
    if returned is not None:
        values += [returned.header(name) for name in ("x-hmxmroriginalrecipient", "to", "delivered-to")]
    address = clean(next(filter(None, map(address_of, values)), ""), 320)
    says_nothing = kind in _NO_COMPLAINT
    return IncomingMessage(
        kind=IncomingKind.unknown if says_nothing else IncomingKind.complaint,
        rule=f"feedback {clean(kind, 40)}",
        confidence=Confidence.certain,
        reported_address=address,
    )


def _is_microsoft_complaint(message: IncomingPart, returned: IncomingPart) -> bool:
    is_junk_report = message.header("subject").lower().startswith("complaint about message from")
    return is_junk_report or returned.header("x-hmxmroriginalrecipient") != ""


def _read_bounce(message: IncomingPart, contents: Contents) -> IncomingMessage | None:
    bounce = read_bounce(message, contents)
    if bounce is None:
        return None
    decisive, verdict = bounce.decisive, bounce.decisive.verdict
    return IncomingMessage(
        kind=verdict.kind,
        rule=verdict.rule,
        confidence=verdict.confidence,
        reason=verdict.reason,
        reported_address=decisive.original or decisive.address,
        enhanced_code=decisive.enhanced_code,
        smtp_code=decisive.smtp_code,
        diagnostic=decisive.diagnostic,
        recipients=bounce.recipients,
        text=contents.notice[: replies.MAX_TEXT],
    )


def _read_unsubscribe(
    message: IncomingPart, contents: Contents, tokens: tuple[VerifiedToken, ...]
) -> IncomingMessage | None:
    """Return a request to leave: a mail to the address for leaving, whatever it says.

    That address is nowhere but in List-Unsubscribe, so a program that writes there acts for its user. Only an answer to
    a mail (`auto-replied`) and a report of a server are no requests.
    """
    if not any(token.purpose is Purpose.leave and token.place in ADDRESSED for token in tokens[:1]):
        return None
    if contents.fields or message.header("auto-submitted").strip().lower().startswith("auto-replied"):
        return None
    return IncomingMessage(IncomingKind.unsubscribe, "address for leaving", Confidence.certain)


def _read_written(message: IncomingPart, contents: Contents, tokens: tuple[VerifiedToken, ...]) -> IncomingMessage:
    """Return an automatic answer, a reply of a person, or unknown for an empty message."""
    parsed = _judge_written(message, contents, tokens)
    written_by, subject = address_of(message.header("from")), message.header("subject")
    return replace(parsed, written_by=clean(written_by, 320), subject=clean(subject, MAX_SUBJECT))


def _judge_written(message: IncomingPart, contents: Contents, tokens: tuple[VerifiedToken, ...]) -> IncomingMessage:
    written = replies.written_text(contents.notice)
    sign = "disposition" if contents.is_disposition else auto_replies.find_auto_reply(message, contents.notice)
    # People answer to From or Reply-To; programs answer to the envelope's sender (RFC 3834).
    if sign is None and any(token.purpose is Purpose.bounce and token.place in ADDRESSED for token in tokens[:1]):
        sign = "bounce address"
    if sign is not None:
        until = auto_replies.away_until(message, written)
        return IncomingMessage(
            IncomingKind.auto_reply, f"auto-reply {sign}", Confidence.certain, until=until, text=written
        )
    is_bulk = message.header("precedence").strip().lower() in ("bulk", "list", "junk") or message.header("list-id")
    if not (written or message.header("subject")) or is_bulk or is_daemon(message):
        return IncomingMessage(IncomingKind.unknown, "no rule", Confidence.guess, text=written)
    stop = replies.asks_to_stop(written, message.header("subject"))
    return IncomingMessage(IncomingKind.reply, "reply", Confidence.likely, text=written, asks_to_stop=stop)
