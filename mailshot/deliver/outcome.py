"""Owns what a server's reply, or its absence, means for one delivery; refuses to act on it.

The phase decides: before the final dot nothing was handed over and trying again is safe; after the dot, silence means
the message may have arrived (RFC 5321 section 4.1.1.4). Codes 4.7.x and 5.7.x speak of the sender (RFC 3463), so they
never count against the recipient.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

# An enhanced status code stands at the beginning of the text (RFC 2034); elsewhere it may be a version or an address.
_ENHANCED = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
# The mailbox does not exist, moved away or is closed (RFC 3463). 5.1.7 and 5.1.8 speak of the sender's address.
_GONE = {("1", "1"), ("1", "2"), ("1", "3"), ("1", "6"), ("1", "10"), ("2", "1")}
_UNKNOWN_USER = re.compile(
    r"\b(?:unknown|no such|invalid|nonexistent|non-existent) (?:local )?(?:user|mailbox|recipient|address|account)\b"
    r"|\b(?:user|mailbox|recipient|address|account)\b.{0,40}?\b(?:unknown|not found|doesn't exist|does not exist)\b",
    re.IGNORECASE,
)
_POLICY = re.compile(
    r"spam|block|polic|blacklist|denylist|reputation|greylist|rate|spf|dkim|dmarc|sender", re.IGNORECASE
)
NO_MAILBOX = (550, 551, 553)
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
TOO_BUSY = 421
LONGEST = 500


class Phase(StrEnum):
    """How far a transaction got."""

    connect = "connect"
    mail = "mail"
    rcpt = "rcpt"
    data = "data"
    body = "body"
    dot = "dot"


class Status(StrEnum):
    accepted = "accepted"
    refused = "refused"
    retry = "retry"
    in_doubt = "in_doubt"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one transaction.

    `close`: the connection is not used again. `ours`: the fault is the sender's. `gone`: there is no such mailbox, and
    there never will be.
    """

    outcome: Status
    phase: Phase
    reply: str
    close: bool = False
    ours: bool = False
    gone: bool = False


def classify_reply(phase: Phase, code: int, text: str) -> Outcome:
    """Judge a reply that ended a transaction in `phase`. 2xx counts as accepted only after the dot."""
    reply = said(f"{code} {text}")
    if 200 <= code < 300 and phase is Phase.dot:
        return Outcome(Status.accepted, phase, reply)
    # After an error outside RCPT and the dot the connection itself is suspect.
    close = code == TOO_BUSY or phase not in (Phase.rcpt, Phase.dot)
    status = _status(code, text)
    ours = bool(status and status[0] == "7")
    lasting = 500 <= code < 600 and not (ours or phase in (Phase.connect, Phase.mail))
    outcome = Status.refused if lasting else Status.retry
    gone = lasting and phase in (Phase.rcpt, Phase.dot) and _no_mailbox(phase, code, status, text)
    return Outcome(outcome, phase, reply, close, ours or phase is Phase.mail, gone)


def _status(code: int, text: str) -> tuple[str, str] | None:
    """Return subject and detail of the enhanced status code that a reply begins with, if its class is the reply's."""
    found = _ENHANCED.match(text)
    return (found[2], found[3]) if found and int(found[1]) == code // 100 else None


def _no_mailbox(phase: Phase, code: int, status: tuple[str, str] | None, text: str) -> bool:
    """Say whether a refusal means that the mailbox does not exist. Without an enhanced code only plain words count."""
    if status is not None:
        return status in _GONE
    said_so = phase is Phase.rcpt and code in NO_MAILBOX and _UNKNOWN_USER.search(text) is not None
    return said_so and _POLICY.search(text) is None


def lost(phase: Phase, reason: str) -> Outcome:
    """Judge a connection that broke, or a reply that did not come in time, in `phase`."""
    outcome = Status.in_doubt if phase is Phase.dot else Status.retry
    return Outcome(outcome, phase, said(f"{phase}: {reason}"), close=True)


def said(text: str) -> str:
    """Cut short what somebody said, and make a blank of what a database or a terminal could choke on."""
    return _ODD.sub(" ", text).strip()[:LONGEST]


WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180))
DEADLINE = timedelta(days=3)


def next_attempt(attempts: int, launched_at: datetime, now: datetime) -> datetime | None:
    """Return when to try again after `attempts` tries, None once the deadline has passed (RFC 5321 section 4.5.4.1)."""
    due = now + WAITS[min(attempts, len(WAITS)) - 1]
    return due if due <= launched_at + DEADLINE else None
