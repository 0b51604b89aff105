"""Comparisons of one value (`at_least`, `between`, …), and which values can satisfy several of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

Value = str | Decimal | bool | date

ORDERED: Mapping[str, str] = {
    "at_least": "at least",
    "at_most": "at most",
    "more_than": "more than",
    "less_than": "less than",
    "between": "between",
    "exactly": "exactly",
}
TEXTUAL: Mapping[str, str] = {
    "is": "is",
    "one_of": "is one of",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "contains": "contains",
}
KNOWN = "known"

_HOLDS: Mapping[str, Callable[[Any, tuple[Any, ...]], bool]] = {
    "at_least": lambda value, operands: bool(value >= operands[0]),
    "at_most": lambda value, operands: bool(value <= operands[0]),
    "more_than": lambda value, operands: bool(value > operands[0]),
    "less_than": lambda value, operands: bool(value < operands[0]),
    "between": lambda value, operands: bool(operands[0] <= value <= operands[1]),
    "exactly": lambda value, operands: bool(value == operands[0]),
    "is": lambda value, operands: bool(value == operands[0]),
    "one_of": lambda value, operands: value in operands,
    "starts_with": lambda value, operands: str(value).startswith(operands[0]),
    "ends_with": lambda value, operands: str(value).endswith(operands[0]),
    "contains": lambda value, operands: operands[0] in str(value),
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """`operator` against `values`; `between` includes both. An unknown value satisfies only `known: no`."""

    operator: str
    values: tuple[Value, ...]

    def holds(self, value: Value | None) -> bool:
        """Say whether `value` satisfies it."""
        if self.operator == KNOWN:
            return (value is not None) == self.values[0]
        return value is not None and _HOLDS[self.operator](value, self.values)

    @property
    def size(self) -> int:
        """How many comparisons it comes to: a list is looked up as one, but days and counts are compared one by one."""
        return len(self.values) if self.operator == "one_of" and isinstance(self.values[0], date) else 1

    def words(self) -> str:
        """Return it as a phrase: 'at least 3', 'is one of MEAT, DELI'."""
        if self.operator == KNOWN:
            return "is known" if self.values[0] else "is not known"
        texts = [format_value(value) for value in self.values]
        joined = " and ".join(texts) if self.operator == "between" else ", ".join(texts)
        return f"{(ORDERED | TEXTUAL)[self.operator]} {joined}"  # type: ignore[operator]


def format_value(value: Value | None) -> str:
    """Return a value as a reader expects it."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value.normalize():,f}" if value == value.to_integral_value() else f"{value:,.2f}"
    return str(value)


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, None where it is open; `over` and `under` leave the ends themselves out."""

    low: Any = None
    high: Any = None
    over: bool = False
    under: bool = False

    def meet(self, other: Interval) -> Interval:
        """Return the intersection."""
        low, over = max(
            ((interval.low, interval.over) for interval in (self, other) if interval.low is not None),
            default=(None, False),
        )
        high, under = min(
            ((interval.high, interval.under) for interval in (self, other) if interval.high is not None),
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


def interval_of(comparison: Comparison) -> Interval:
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
    known = {bool(comparison.values[0]) for comparison in several if comparison.operator == KNOWN}
    others = [comparison for comparison in several if comparison.operator != KNOWN]
    if False in known and (True in known or others):
        return False
    exact = [set(comparison.values) for comparison in others if comparison.operator in ("is", "one_of", "exactly")]
    if exact:
        left = set.intersection(*exact)
        return any(all(comparison.holds(value) for comparison in others) for value in left)
    intervals = [interval_of(comparison) for comparison in others if comparison.operator not in TEXTUAL]
    allowed = Interval()
    for interval in intervals:
        allowed = allowed.meet(interval)
    return not allowed.empty
