"""When a deferred delivery is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mailshot.deliver import outcome

LAUNCH = datetime(2026, 6, 1, tzinfo=UTC)


def schedule() -> list[timedelta]:
    """Return the moments after the launch at which a delivery is tried that always meets a 4xx."""
    tried, now, attempts = [timedelta()], LAUNCH, 1
    while (due := outcome.next_attempt(attempts, LAUNCH, now)) is not None:
        tried.append(due - LAUNCH)
        now, attempts = due, attempts + 1
    return tried


def test_waits_grow_until_the_deadline() -> None:
    tried = schedule()
    waits = [later - earlier for earlier, later in pairwise(tried)]
    assert waits == sorted(waits)
    assert waits[0] == timedelta(minutes=1)
    assert timedelta(days=2) < tried[-1] <= outcome.RETRY_DEADLINE


@given(st.integers(1, 10_000), st.timedeltas(timedelta(), timedelta(days=9)))
def test_never_at_once_and_never_after_the_deadline(attempts: int, since: timedelta) -> None:
    due = outcome.next_attempt(attempts, LAUNCH, LAUNCH + since)
    if attempts < len(outcome.RETRY_WAITS):
        assert due is not None, "a slow run reaches some mails days after the launch; they get their attempts too"
        assert LAUNCH + since < due
    else:
        assert due is None or LAUNCH + since < due <= LAUNCH + outcome.RETRY_DEADLINE
