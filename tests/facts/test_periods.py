"""Checks spans and windows at the ends of months, in leap years and when the clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mailshot.facts.periods import Span, Window

OSLO = ZoneInfo("Europe/Oslo")


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("1 month", "2026-03-31T10:00", "2026-02-28T10:00"),
        ("1 month", "2024-03-31T10:00", "2024-02-29T10:00"),
        ("1 year", "2024-02-29T10:00", "2023-02-28T10:00"),
        ("4 years", "2024-02-29T10:00", "2020-02-29T10:00"),
        ("13 months", "2026-01-15T10:00", "2024-12-15T10:00"),
        ("2 weeks", "2026-03-01T10:00", "2026-02-15T10:00"),
        ("90 Days", "2026-04-01T10:00", "2026-01-01T10:00"),
        ("36 hours", "2026-01-02T10:00", "2025-12-31T22:00"),
        ("99999 years", "2026-01-02T10:00", "1800-01-02T10:00"),
    ],
)
def test_a_span_before_a_moment(text: str, before: str, after: str) -> None:
    span = Span.parse(text)
    assert span is not None
    assert span.before(datetime.fromisoformat(before).replace(tzinfo=UTC)) == datetime.fromisoformat(after).replace(
        tzinfo=UTC
    )
    assert Span.parse(str(span)) == span


@pytest.mark.parametrize(
    "text", ["", "0 days", "-1 days", "1.5 days", "days", "90", "1 fortnight", "100000 days", "3 days ago"]
)
def test_what_is_no_span(text: str) -> None:
    assert Span.parse(text) is None


def test_a_day_ago_is_the_same_time_by_the_clock_and_an_hour_ago_is_an_hour() -> None:
    after_spring = datetime(2026, 3, 29, 12, tzinfo=OSLO)
    day, hours = Span(1, "day").before(after_spring), Span(24, "hour").before(after_spring)
    assert (day.hour, hours.hour) == (12, 11)
    assert after_spring.astimezone(UTC) - hours.astimezone(UTC) == timedelta(hours=24)


def test_dates_are_whole_days_of_the_company() -> None:
    as_of = datetime(2026, 12, 1, tzinfo=UTC)
    start, end = Window(date(2026, 3, 29), date(2026, 3, 29)).bounds(as_of, OSLO)
    assert start is not None
    assert end.astimezone(UTC) - start.astimezone(UTC) == timedelta(hours=23)
    assert start.astimezone(UTC) == datetime(2026, 3, 28, 23, tzinfo=UTC)


def test_nothing_after_today_is_ever_seen() -> None:
    as_of = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for window in (Window(), Window(date(2026, 1, 1), date(2026, 12, 31)), Window(Span(1, "day"))):
        assert window.bounds(as_of, OSLO)[1] == as_of
