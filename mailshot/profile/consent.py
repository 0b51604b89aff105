"""Owns the consent decision: which entry counts and what it allows; refuses to read or write any row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailshot.profile.topics import Topic


@dataclass(frozen=True, slots=True)
class Entry:
    """One consent given or withdrawn."""

    given: bool
    at: datetime


def newest(entries: Iterable[Entry]) -> Entry | None:
    """Return the entry that counts, in whatever order they come; of two at one moment, the withdrawal."""
    return max(entries, key=lambda entry: (entry.at, not entry.given), default=None)


def allowed(topic: Topic, entry: Entry | None) -> bool:
    """Tell whether mail on `topic` may be sent: a customer who said nothing gets only what requires no consent."""
    return entry.given if entry else not topic.requires_consent


def effective_at(entry: Entry | None, at: datetime) -> datetime:
    """Return when a new word counts from: after the last one, even when a clock was set back in between."""
    return max(at, entry.at + timedelta(microseconds=1)) if entry else at
