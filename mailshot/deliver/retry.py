"""Owns when a deferred delivery is tried again and when it is given up; refuses to read a clock."""

from __future__ import annotations

from datetime import datetime, timedelta

WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180))
DEADLINE = timedelta(days=3)


def next_attempt(attempts: int, launched_at: datetime, now: datetime) -> datetime | None:
    """Return when to try again after `attempts` tries, None once the deadline has passed (RFC 5321 section 4.5.4.1)."""
    due = now + WAITS[min(attempts, len(WAITS)) - 1]
    return due if due <= launched_at + DEADLINE else None
