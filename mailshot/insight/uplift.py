"""Owns whether the mailed bought more than the held out, and how surely; refuses to count them."""

from __future__ import annotations

from dataclasses import dataclass

from mailshot.profile import shares


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
            return shares.TOO_FEW
        shown = f"{self.difference * 100:+.1f} points (95 % between {self.low * 100:+.1f} and {self.high * 100:+.1f})"
        return shown if self.low > 0 or self.high < 0 else f"{shown}: could be chance"


def compare(mailed: tuple[int, int], held: tuple[int, int]) -> Uplift:
    """Compare (customers, buyers) of two groups."""
    found = shares.difference(mailed, held)
    return Uplift(found.value, found.low, found.high, found.enough)
