"""Owns days told by their distance from today: 'within 30 days', 'anniversary in the next 7'; refuses moments."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from mailshot.profile.window import Period, Span

# Nobody is older, and no contract.
MOST_YEARS = 120
WORDS = {
    "within": "in the last so-and-so long: 'joined_at: {within: 30 days}'",
    "before": "longer ago than: 'born: {before: 18 years ago}'",
    "in_next": "in the next so-and-so long: 'renewal: {in_next: 14 days}'",
    "during": "in a stretch of the calendar: 'joined_at: {during: last month}'",
    "anniversary_in": "has its day of the year in the next so-and-so long, or today: 'born: {anniversary_in: 7 days}'",
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

    def holds(self, day: date | None, today: date) -> bool:
        """Say whether a day is meant; an unknown one never is."""
        return day is not None and any((low is None or low <= day) and day <= high for low, high in self.ranges(today))

    def words(self) -> str:
        """Return it as a phrase."""
        said = {"before": f"more than {self.length} ago", "in_next": f"in the next {self.length}"}
        coming = self.length if isinstance(self.length, Period) else f"in the next {self.length}"
        said["anniversary_in"] = f"has its anniversary {coming}"
        return said.get(self.word, f"{self.word} {self.length}")


def _ago(length: Span | Period, today: date) -> date:
    assert isinstance(length, Span)
    return length.before(datetime.combine(today, time())).date()


def _ahead(length: Span | Period, today: date) -> date:
    assert isinstance(length, Span)
    return length.after(datetime.combine(today, time())).date()


def _during(length: Span | Period, today: date) -> tuple[Days, ...]:
    assert isinstance(length, Period)
    return (length.days(today),)


@lru_cache(maxsize=64)
def _anniversary(length: Span | Period, today: date) -> tuple[Days, ...]:
    """The days of the year that come, in every year before: 29 February is kept on the 28th where there is none."""
    first, last = length.days(today) if isinstance(length, Period) else (today, _ahead(length, today))
    count = min((last - first).days, 365) + 1
    kept = {day for n in range(count) for day in _born(first + timedelta(days=n))}
    return tuple(_runs(sorted(kept)))


def _born(day: date) -> Iterator[date]:
    """Give the days whose anniversary is kept on `day`."""
    leap_too = (day.month, day.day) == (2, 28) and not isleap(day.year)
    for year in range(day.year - MOST_YEARS, day.year):
        if (day.month, day.day) != (2, 29) or isleap(year):
            yield day.replace(year=year)
        if leap_too and isleap(year):
            yield date(year, 2, 29)


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
