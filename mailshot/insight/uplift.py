"""Owns whether the mailed bought more than the held out, and how surely; refuses to count them."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

Z = NormalDist().inv_cdf(0.975)
FEWEST = 5


@dataclass(frozen=True, slots=True)
class Uplift:
    """The difference of two shares in points (0.01 is one per cent point) with its 95 % interval."""

    difference: float
    low: float
    high: float
    enough: bool

    def words(self) -> str:
        """Say it in a sentence that never claims more than the numbers carry."""
        if not self.enough:
            return "too few to say"
        shown = f"{self.difference * 100:+.1f} points (95 % between {self.low * 100:+.1f} and {self.high * 100:+.1f})"
        return shown if self.low > 0 or self.high < 0 else f"{shown}: could be chance"


def compare(mailed: tuple[int, int], held: tuple[int, int]) -> Uplift:
    """Compare (customers, buyers) of two groups by Newcombe's hybrid score interval (1998, method 10)."""
    if not mailed[0] or not held[0]:
        return Uplift(0.0, 0.0, 0.0, enough=False)
    first, second = mailed[1] / mailed[0], held[1] / held[0]
    (low1, high1), (low2, high2) = _wilson(*mailed), _wilson(*held)
    difference = first - second
    low = difference - sqrt((first - low1) ** 2 + (high2 - second) ** 2)
    high = difference + sqrt((high1 - first) ** 2 + (second - low2) ** 2)
    least = min(mailed[1], held[1], mailed[0] - mailed[1], held[0] - held[1])
    return Uplift(difference, low, high, enough=least >= FEWEST)


def _wilson(customers: int, buyers: int) -> tuple[float, float]:
    share, scale = buyers / customers, 1 + Z * Z / customers
    middle = (share + Z * Z / (2 * customers)) / scale
    reach = Z / scale * sqrt(share * (1 - share) / customers + Z * Z / (4 * customers * customers))
    return middle - reach, middle + reach
