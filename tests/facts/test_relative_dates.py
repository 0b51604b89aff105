"""Checks that an anniversary told as years and days of the year is the one told as ranges of days."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from mailshot.facts.periods import Period, Span
from mailshot.facts.relative_dates import MAX_YEARS, Relative

TODAYS = (
    date(2024, 2, 28),
    date(2024, 2, 29),
    date(2025, 2, 27),
    date(2026, 2, 28),
    date(2026, 3, 1),
    date(2025, 12, 30),
)
LENGTHS = [Span(1, "day"), Span(7, "day"), Span(1, "month"), Span(1, "year"), Span(3, "year")]
PERIODS = [Period("day", 0), Period("week", 0), Period("month", 1), Period("quarter", 0), Period("year", 1)]
BORN = [date(1900, 1, 1) + timedelta(days=n) for n in range(46_500)]


@pytest.mark.parametrize("length", [*LENGTHS, *PERIODS], ids=str)
@pytest.mark.parametrize("today", TODAYS, ids=str)
def test_years_and_days_say_what_ranges_say(today: date, length: Span | Period) -> None:
    when = Relative("anniversary_in", length)
    ranged = {low + timedelta(days=n) for low, high in when.ranges(today) if low for n in range((high - low).days + 1)}
    kept = [(range(year - MAX_YEARS, year), set(days)) for year, days in when.yearly(today)]
    matching = {born for born in BORN if any(born.year in years and f"{born:%m-%d}" in days for years, days in kept)}
    assert matching == ranged
