"""Owns what a compiler may ask about the data in order to take the shorter way; refuses to look it up."""

from __future__ import annotations

from typing import Protocol

from mailshot.audience import nodes
from mailshot.audience.nodes import Condition
from mailshot.profile.products import ProductFilter


class Statistics(Protocol):
    """What is known of the data. Nothing of it may change whom a rule finds."""

    def share(self, condition: Condition) -> float:
        """Return the share of all lines that a happening means, or of all customers who show or state something."""

    def marks(self, products: ProductFilter) -> bytes | None:
        """Return which products are meant: byte n is 1 where the product with id n is, the last one is 0.

        None where that would take too many bytes.
        """


class NoStatistics:
    """Takes every choice of lines for a small one, and nothing else, where nothing is known."""

    def share(self, condition: Condition) -> float:
        return 0.0 if isinstance(condition, nodes.ActivityCondition) else 1.0

    def marks(self, products: ProductFilter) -> bytes | None:
        return None
