"""Proportions, means and differences with 95 % intervals, and when a sample is too small for one.

The intervals cover random variation only: neither how customers were selected, nor that one customer may be in
several samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

Z = NormalDist().inv_cdf(0.975)
# The least number of hits and misses in each group, before two shares are compared.
FEWEST = 5
# The least number of customers for a mean, or for a share near 0 or 1.
FEWEST_CUSTOMERS = 30
TOO_FEW = "too few to say"
Counted = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval, and whether the sample is large enough."""

    value: float
    low: float
    high: float
    enough: bool

    @property
    def could_be_chance(self) -> bool:
        """Whether the interval includes zero."""
        return self.low <= 0 <= self.high


NOTHING = Estimate(0.0, 0.0, 0.0, enough=False)


def proportion(customers: int, hits: int) -> Estimate:
    """Return the share of `hits` by Wilson's score interval (1927)."""
    if not customers:
        return NOTHING
    enough = customers >= FEWEST_CUSTOMERS or min(hits, customers - hits) >= FEWEST
    return Estimate(hits / customers, *_wilson(customers, hits), enough=enough)


def mean(customers: int, total: float, squares: float) -> Estimate:
    """Return the mean of values with this sum and sum of squares, by the normal approximation."""
    if not customers:
        return NOTHING
    middle = total / customers
    variance = max(squares / customers - middle * middle, 0.0) * customers / max(customers - 1, 1)
    reach = Z * sqrt(variance / customers)
    return Estimate(middle, middle - reach, middle + reach, enough=customers >= FEWEST_CUSTOMERS)


def difference(first: Counted, second: Counted) -> Estimate:
    """Compare (customers, hits) of two groups by Newcombe's hybrid score interval (1998, method 10)."""
    if not first[0] or not second[0]:
        return NOTHING
    one, other = first[1] / first[0], second[1] / second[0]
    (low1, high1), (low2, high2) = _wilson(*first), _wilson(*second)
    gap = one - other
    low = gap - sqrt((one - low1) ** 2 + (high2 - other) ** 2)
    high = gap + sqrt((high1 - one) ** 2 + (other - low2) ** 2)
    least = min(first[1], second[1], first[0] - first[1], second[0] - second[1])
    return Estimate(gap, low, high, enough=least >= FEWEST)


def pooled(pairs: Iterable[tuple[Counted, Counted]]) -> Estimate:
    """Return the difference of shares over several pairs of groups, each compared only within its pair.

    Mantel and Haenszel's risk difference with Greenland and Robins' variance (1985): it pools many small pairs,
    and different levels of the pairs do not count as a difference between the groups.
    """
    top = weight = variance = 0.0
    cells = [0, 0, 0, 0]
    for (n1, a), (n0, b) in pairs:
        if not n1 or not n0:
            continue
        n = n1 + n0
        top += (a * n0 - b * n1) / n
        weight += n1 * n0 / n
        variance += (a * (n1 - a) * n0**3 + b * (n0 - b) * n1**3) / (n1 * n0 * n * n)
        cells = [sum(both) for both in zip(cells, (a, b, n1 - a, n0 - b), strict=True)]
    if not weight:
        return NOTHING
    estimate, reach = top / weight, Z * sqrt(variance) / weight
    return Estimate(estimate, estimate - reach, estimate + reach, enough=min(cells) >= FEWEST)


def _wilson(customers: int, hits: int) -> tuple[float, float]:
    part, scale = hits / customers, 1 + Z * Z / customers
    middle = (part + Z * Z / (2 * customers)) / scale
    reach = Z / scale * sqrt(part * (1 - part) / customers + Z * Z / (4 * customers * customers))
    # Rounding may move a limit past the share itself if that is 0 or 1.
    return min(max(middle - reach, 0.0), part), max(min(middle + reach, 1.0), part)


@dataclass(frozen=True, slots=True)
class Uplift:
    """The difference of two shares in points (0.01 is one per cent point) with its 95 % interval."""

    difference: float
    low: float
    high: float
    enough: bool

    def words(self) -> str:
        """Return a sentence that never claims more than the data supports."""
        if not self.enough:
            return TOO_FEW
        interval = (
            f"{self.difference * 100:+.1f} points (95 % between {self.low * 100:+.1f} and {self.high * 100:+.1f})"
        )
        return interval if self.low > 0 or self.high < 0 else f"{interval}: could be chance"


def compare_groups(mailed: tuple[int, int], held: tuple[int, int]) -> Uplift:
    """Compare (customers, buyers) of two groups."""
    gap = difference(mailed, held)
    return Uplift(gap.value, gap.low, gap.high, gap.enough)
