"""Owns what a server's reply, or its absence, means for one delivery; refuses to act on it.

The phase decides: before the final dot nothing was handed over and trying again is safe; after the dot, silence means
the message may have arrived (RFC 5321 section 4.1.1.4). Codes 4.7.x and 5.7.x speak of the sender (RFC 3463), so they
never count against the recipient.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})")
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


class Outcome(StrEnum):
    accepted = "accepted"
    refused = "refused"
    retry = "retry"
    in_doubt = "in_doubt"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one transaction. `close`: the connection is not used again; `ours`: the fault is the sender's."""

    outcome: Outcome
    phase: Phase
    reply: str
    close: bool = False
    ours: bool = False


def judge(phase: Phase, code: int, text: str) -> Verdict:
    """Judge a reply that ended a transaction in `phase`. 2xx counts as accepted only after the dot."""
    reply = said(f"{code} {text}")
    if 200 <= code < 300 and phase is Phase.dot:
        return Verdict(Outcome.accepted, phase, reply)
    # After an error outside RCPT and the dot the connection itself is suspect.
    close = code == TOO_BUSY or phase not in (Phase.rcpt, Phase.dot)
    found = _ENHANCED.search(text)
    ours = bool(found and found[2] == "7")
    lasting = 500 <= code < 600 and not (ours or phase in (Phase.connect, Phase.mail))
    return Verdict(Outcome.refused if lasting else Outcome.retry, phase, reply, close, ours or phase is Phase.mail)


def lost(phase: Phase, reason: str) -> Verdict:
    """Judge a connection that broke, or a reply that did not come in time, in `phase`."""
    outcome = Outcome.in_doubt if phase is Phase.dot else Outcome.retry
    return Verdict(outcome, phase, said(f"{phase}: {reason}"), close=True)


def said(text: str) -> str:
    """Cut short what somebody said, and make a blank of what a database or a terminal could choke on."""
    return _ODD.sub(" ", text).strip()[:LONGEST]
