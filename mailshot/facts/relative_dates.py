"""Dates relative to today: `within 30 days`, `anniversary in the next 7 days`."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from mailshot.facts.periods import Period, Span

# Upper bound in years, for ages and contracts.
MAX_YEARS = 120
LEAP_DAY = (2, 29)
WORDS = {
    "within": "within the last N hours, days, weeks, months or years: 'joined_at: {within: 30 days}'",
    "before": "longer ago than: 'born: {before: 18 years ago}'",
    "in_next": "within the next N days, weeks or months: 'renewal: {in_next: 14 days}'",
    "during": "in a stretch of the calendar: 'joined_at: {during: last month}'",
    "anniversary_in": "its day of the year is today or within the next N days: 'born: {anniversary_in: 7 days}'",
}
Days = tuple[date | None, date]


@dataclass(frozen=True, slots=True)
class Relative:
    """`word` with its span or period."""

    word: str
    length: Span | Period

    def ranges(self, today: date) -> tuple[Days, ...]:
        """Return the days it means, as ranges with both ends included; None is an open beginning."""
        return _RANGES[self.word](self.length, today)

    def yearly(self, today: date) -> tuple[tuple[int, tuple[str, ...]], ...]:
        """Return the anniversaries it means, as years they are kept in, each with the days born on ('02-28')."""
        kept: dict[int, dict[str, None]] = {}
        for day, (month, born) in _kept(self.length, today):
            kept.setdefault(day.year, {})[f"{month:02}-{born:02}"] = None
        return tuple((year, tuple(days)) for year, days in kept.items())

    def holds(self, day: date | None, today: date) -> bool:
        """Say whether a day is meant; an unknown one never is."""
        return day is not None and any((low is None or low <= day) and day <= high for low, high in self.ranges(today))

    def words(self) -> str:
        """Return it as a phrase."""
        phrases = {"before": f"more than {self.length} ago", "in_next": f"in the next {self.length}"}
        coming = self.length if isinstance(self.length, Period) else f"in the next {self.length}"
        phrases["anniversary_in"] = f"has its anniversary {coming}"
        return phrases.get(self.word, f"{self.word} {self.length}")


def _ago(length: Span | Period, today: date) -> date:
    assert isinstance(length, Span)
    return length.before(datetime.combine(today, time())).date()


def _ahead(length: Span | Period, today: date) -> date:
    assert isinstance(length, Span)
    return length.after(datetime.combine(today, time())).date()


def _during(length: Span | Period, today: date) -> tuple[Days, ...]:
    assert isinstance(length, Period)
    return (length.days(today),)


@lru_cache(maxsize=1024)
def _anniversary(length: Span | Period, today: date) -> tuple[Days, ...]:
    """The days of the year that come, in every year before."""
    born = {
        date(year, *day_of_year)
        for day, day_of_year in _kept(length, today)
        for year in range(day.year - MAX_YEARS, day.year)
        if day_of_year != LEAP_DAY or isleap(year)
    }
    return tuple(_runs(sorted(born)))


def _kept(length: Span | Period, today: date) -> Iterator[tuple[date, tuple[int, int]]]:
    """Give the days that come, each with the (month, day) whose anniversary it is: with no 29 February, the 28th."""
    first, last = length.days(today) if isinstance(length, Period) else (today, _ahead(length, today))
    for n in range(min((last - first).days, 365) + 1):
        day = first + timedelta(days=n)
        yield day, (day.month, day.day)
        if (day.month, day.day) == (2, 28) and not isleap(day.year):
            yield day, LEAP_DAY


def _runs(days: list[date]) -> Iterator[Days]:
    """Give the unbroken ranges of sorted days."""
    begins = 0
    for number, day in enumerate(days, 1):
        if number == len(days) or days[number] != day + timedelta(days=1):
            yield days[begins], day
            begins = number


_RANGES: dict[str, Callable[[Span | Period, date], tuple[Days, ...]]] = {
    "within": lambda length, today: ((_ago(length, today), today),),
    "before": lambda length, today: ((None, _ago(length, today) - timedelta(days=1)),),
    "in_next": lambda length, today: ((today, _ahead(length, today)),),
    "during": _during,
    "anniversary_in": _anniversary,
}
