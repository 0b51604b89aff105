"""Classifies what a server's reply, or a missing reply, means for one delivery.

The phase decides. Before the final dot nothing was handed over, and trying again is safe. After the dot, silence means
that the mail may have arrived (RFC 5321 section 4.1.1.4). Codes 4.7.x and 5.7.x are about the sender (RFC 3463), so
they never count against the recipient.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

# An enhanced status code begins the text (RFC 2034); elsewhere it may be a version or an address.
_ENHANCED = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
# Subject and detail of codes for a mailbox that does not exist, moved or is closed (RFC 3463). 5.1.7 and 5.1.8 are
# about the sender's address.
_NO_MAILBOX_STATUS = {("1", "1"), ("1", "2"), ("1", "3"), ("1", "6"), ("1", "10"), ("2", "1")}
_UNKNOWN_USER = re.compile(
    r"\b(?:unknown|no such|invalid|nonexistent|non-existent) (?:local )?(?:user|mailbox|recipient|address|account)\b"
    r"|\b(?:user|mailbox|recipient|address|account)\b.{0,40}?\b(?:unknown|not found|doesn't exist|does not exist)\b",
    re.IGNORECASE,
)
_POLICY = re.compile(
    r"spam|block|polic|blacklist|denylist|reputation|greylist|rate|spf|dkim|dmarc|sender", re.IGNORECASE
)
#: Basic codes that can mean an unknown mailbox, if the text says so.
NO_MAILBOX = (550, 551, 553)
# Control characters and surrogates, which a database or a terminal may reject.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
#: The server closes the connection after this reply (RFC 5321 section 3.8).
CLOSING = 421
MAX_REPLY_CHARACTERS = 500
#: From one attempt to the next; the last wait repeats.
RETRY_WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180))
#: Counted from the launch.
RETRY_DEADLINE = timedelta(days=3)


class Phase(StrEnum):
    """How far a transaction got."""

    connect = "connect"
    mail = "mail"
    rcpt = "rcpt"
    data = "data"
    body = "body"
    dot = "dot"


BEFORE_DOT = (Phase.connect, Phase.mail, Phase.rcpt, Phase.data, Phase.body)


class Status(StrEnum):
    """How a transaction ended: `in_doubt` means the mail may have arrived."""

    accepted = "accepted"
    refused = "refused"
    retry = "retry"
    in_doubt = "in_doubt"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one transaction."""

    status: Status
    #: Where it ended.
    phase: Phase
    #: The server's reply, or why there is none; printable, at most `MAX_REPLY_CHARACTERS` long.
    reply: str
    #: The connection must not be used again.
    close: bool = False
    #: The server objects to the sender, not to the recipient or this mail.
    sender_fault: bool = False
    #: The mailbox does not exist: its address is suppressed.
    no_mailbox: bool = False
    #: The connection failed for reasons that have nothing to do with this mail: send it over another one at once.
    resend: bool = False

    @property
    def wants_less(self) -> bool:
        """Whether the server asks for fewer or slower mails: 421 and 4.7.x."""
        return self.reply.startswith(f"{CLOSING} ") or (self.sender_fault and self.reply.startswith("4"))

    @property
    def may_change_relay(self) -> bool:
        """Whether another server may be given the mail at once: this one closed the connection before the dot."""
        return self.close and self.status is Status.retry and self.phase in BEFORE_DOT


def classify_reply(phase: Phase, code: int, text: str) -> Outcome:
    """Classify the reply that ended a transaction in `phase`. 2xx counts as accepted only after the dot."""
    reply = clean_reply(f"{code} {text}")
    if 200 <= code < 300 and phase is Phase.dot:
        return Outcome(Status.accepted, phase, reply)
    if not 400 <= code < 600 and phase is Phase.dot:
        # Replies and commands no longer match, so what the server did with the mail is unknown.
        return Outcome(Status.in_doubt, phase, reply, close=True)
    # After an error outside RCPT and the dot the connection itself is suspect.
    close = code == CLOSING or phase not in (Phase.rcpt, Phase.dot)
    status = _status(code, text)
    policy = bool(status and status[0] == "7")
    permanent = 500 <= code < 600 and not (policy or phase in (Phase.connect, Phase.mail))
    no_mailbox = permanent and phase in (Phase.rcpt, Phase.dot) and _is_unknown_mailbox(phase, code, status, text)
    sender_fault = policy or phase is Phase.mail
    return Outcome(Status.refused if permanent else Status.retry, phase, reply, close, sender_fault, no_mailbox)


def _status(code: int, text: str) -> tuple[str, str] | None:
    """Return subject and detail of the enhanced status code that begins a reply, if its class is the reply's."""
    match = _ENHANCED.match(text)
    return (match[2], match[3]) if match and int(match[1]) == code // 100 else None


def _is_unknown_mailbox(phase: Phase, code: int, status: tuple[str, str] | None, text: str) -> bool:
    """Tell whether a refusal means that the mailbox does not exist. Without an enhanced code the text decides."""
    if status is not None:
        return status in _NO_MAILBOX_STATUS
    unknown = phase is Phase.rcpt and code in NO_MAILBOX and _UNKNOWN_USER.search(text) is not None
    return unknown and _POLICY.search(text) is None


def connection_lost(phase: Phase, reason: str) -> Outcome:
    """Return the outcome of a connection that broke, or of a reply that did not come in time, in `phase`."""
    status = Status.in_doubt if phase is Phase.dot else Status.retry
    return Outcome(status, phase, clean_reply(f"{phase}: {reason}"), close=True)


def clean_reply(text: str) -> str:
    """Return a text cut to `MAX_REPLY_CHARACTERS`, with blanks in place of unprintable characters."""
    return _UNPRINTABLE.sub(" ", text).strip()[:MAX_REPLY_CHARACTERS]


def next_attempt(attempts: int, launched_at: datetime, now: datetime) -> datetime | None:
    """Return when to try again after `attempts` attempts, None when that is past the deadline.

    A mail is tried as often as `RETRY_WAITS` says at least: a slow run may reach it days after its launch.
    """
    due = now + RETRY_WAITS[min(attempts, len(RETRY_WAITS)) - 1]
    return due if due <= launched_at + RETRY_DEADLINE or attempts < len(RETRY_WAITS) else None
