"""Owns which values satisfy comparisons, and whether several can hold of one value; refuses to know conditions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mailshot.profile.comparison import KNOWN, TEXTUAL, Comparison


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, None where it is open; `over` and `under` leave the ends themselves out."""

    low: Any = None
    high: Any = None
    over: bool = False
    under: bool = False

    def meet(self, other: Interval) -> Interval:
        """Return what lies in both."""
        low, over = max(
            ((each.low, each.over) for each in (self, other) if each.low is not None),
            default=(None, False),
        )
        high, under = min(
            ((each.high, each.under) for each in (self, other) if each.high is not None),
            key=lambda end: (end[0], not end[1]),
            default=(None, False),
        )
        return Interval(low, high, over, under)

    def reaches(self, count: int) -> bool:
        """Say whether a count is large enough."""
        return self.low is None or (count > self.low if self.over else count >= self.low)

    def spares(self, count: int) -> bool:
        """Say whether a count is small enough."""
        return self.high is None or (count < self.high if self.under else count <= self.high)

    @property
    def empty(self) -> bool:
        if self.low is None or self.high is None:
            return False
        return bool(self.low > self.high or (self.low == self.high and (self.over or self.under)))


def of(comparison: Comparison) -> Interval:
    """Return the interval of values that an ordered comparison means."""
    first, last = comparison.values[0], comparison.values[-1]
    made = {
        "at_least": Interval(low=first),
        "more_than": Interval(low=first, over=True),
        "at_most": Interval(high=first),
        "less_than": Interval(high=first, under=True),
        "between": Interval(first, last),
        "exactly": Interval(first, first),
        "one_of": Interval(min(comparison.values), max(comparison.values)),
    }
    return made[comparison.operator]


def satisfiable(comparisons: Iterable[Comparison]) -> bool:
    """Say whether one value can satisfy all of them; True where that is not certain to be impossible."""
    several = list(comparisons)
    known = {bool(each.values[0]) for each in several if each.operator == KNOWN}
    others = [each for each in several if each.operator != KNOWN]
    if False in known and (True in known or others):
        return False
    exact = [set(each.values) for each in others if each.operator in ("is", "one_of", "exactly")]
    if exact:
        left = set.intersection(*exact)
        return any(all(each.holds(value) for each in others) for value in left)
    ordered = [of(each) for each in others if each.operator not in TEXTUAL]
    found = Interval()
    for each in ordered:
        found = found.meet(each)
    return not found.empty
