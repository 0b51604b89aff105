"""Owns the vocabulary of what can be and happen, each word with its help; refuses to act on any of it."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Self


class Explained(StrEnum):
    """A word with its help text: `name = "word", "help"`."""

    help: str

    def __new__(cls, word: str, help: str) -> Explained:
        member = str.__new__(cls, word)
        member._value_ = word
        member.help = help
        return member

    @classmethod
    def of(cls, word: str) -> Self:
        """Return the member that `word` names. Raises ValueError."""
        found = next((member for member in cls if member == word), None)
        if found is None:
            raise ValueError(f"{word!r} is no {cls.__name__}")
        return found


class DeliveryState(Explained):
    """Where one delivery stands in the ledger (docs/reliability.md draws the arrows)."""

    pending = "pending", "waits for a worker"
    claimed = "claimed", "a worker holds it and has not released the final dot"
    dotting = "dotting", "the intent is committed; the final dot may be out"
    sent = "sent", "the server took the message (250)"
    deferred = "deferred", "the server said 'later'; tried again at next_attempt_at"
    refused = "refused", "the server said 'never' (5xx), or every attempt until the deadline failed"
    unconfirmed = "unconfirmed", "a crash or lost reply after the dot: it may have arrived, and is not sent again"
    skipped = "skipped", "left out, with the reason"
    holdout = "holdout", "matches, but is deliberately not mailed so that uplift can be measured"


class Suspicion(IntEnum):
    """Whether a delivery's mail may be what ended the worker that held it, for instance for want of memory."""

    none = 0
    held = 1
    """A worker ended that held it, among others."""
    writing = 2
    """Its mail is being written although it was held so: nothing else is written meanwhile."""
    held_again = 3
    """A worker ended while it wrote this mail. It may have been stopped by chance, so it is tried once more."""
    writing_again = 4
    proven = 5
    """Two workers ended while they wrote this mail: it is not tried again."""


class Reason(Explained):
    """Why a matching customer gets no mail in a run."""

    no_address = "no address", "no e-mail address is known"
    unsupported_address = (
        "unsupported address",
        "it has letters such as ü or ø before the @, which Mailshot cannot send to (SMTPUTF8)",
    )
    no_consent = "no consent", "consent to the campaign's topic was not given, or was withdrawn at this address"
    suppressed = "suppressed", "the address is on the suppression list"
    guard = "guard", "a guard forbids this content for this customer"
    already_received = "already received", "an earlier run of this campaign has this customer"
    frequency_cap = "frequency cap", "has received as many mails as the cap allows"
    asked_for_less = "asked for less", "the customer chose to be mailed less often"
    same_address = "same address", "another customer with the same address gets the mail"
    no_content = "no content", "no content entry's 'when' fits"
    no_offers = "no offers", "fewer offers than the content needs are left"
    holdout = "holdout", "kept back on purpose, to measure uplift"
    cancelled = "cancelled", "the run was cancelled before the mail went out"
    render_failed = "render failed", "the template could not be rendered for this customer"


class RunState(Explained):
    """Where a run stands."""

    running = "running", "workers send it"
    paused = "paused", "nothing further is sent until it is resumed"
    cancelled = "cancelled", "nothing further is ever sent"
    finished = "finished", "every delivery is settled"
    past = "past", "imported: it was sent by another system"


class ScheduleState(Explained):
    """Where a schedule stands."""

    armed = "armed", "the clock launches it when it is due"
    paused = "paused", "the clock passes over it"
    ended = "ended", "nothing more is due"

    @property
    def label(self) -> str:
        """The word for people and scripts; rows keep the older one."""
        return "scheduled" if self is ScheduleState.armed else str(self)


class FeedbackKind(Explained):
    """What came back."""

    opened = "opened", "the pixel of a mail was loaded"
    clicked = "clicked", "a link of a mail was followed"
    bounced = "bounced", "the mail came back"
    complained = "complained", "the customer reported the mail as unwanted"
    unsubscribed = "unsubscribed", "the customer withdrew consent to the topic"
    preference_changed = "preference_changed", "the customer stated or corrected something"
    converted = "converted", "the customer did what the campaign is for"


class FeedbackClass(Explained):
    """Who is believed to have caused an open or a click."""

    human = "human", "nothing speaks against a person"
    proxy = "proxy", "a mail provider's image proxy"
    scanner = "scanner", "a security scanner or a robot"
    unknown = "unknown", "too little is known to say"
