"""Owns telling how long ago the last purchase was by windows: one in which it lies, one after it; refuses to compile.

"Last bought 30 to 60 days ago" is "bought 30 to 60 days ago, and not since". Both look at few lines, where the last
purchase of everybody would have to be found among all.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from mailshot.audience import nodes
from mailshot.profile.comparison import Comparison
from mailshot.profile.history import BOUGHT
from mailshot.profile.window import EVER, Fixed, Window


def rewrite_days_since_last(condition: nodes.Condition, as_of: datetime) -> nodes.All | None:
    """Return what must have happened with what must not have happened since; None when it cannot be told so."""
    if (
        not isinstance(condition, nodes.ActivityCondition)
        or condition.history is not BOUGHT
        or condition.window != EVER
    ):
        return None
    if not condition.products.filters or len(condition.measures) != 1:
        return None
    (measure,) = condition.measures
    between = _days(measure.comparison) if measure.name == "days_since_last" else None
    if between is None:
        return None
    low, high = between
    now = as_of.astimezone(UTC)
    # n whole days ago means n <= age < n + 1: the end belongs to it, the beginning does not.
    ends = now - timedelta(days=low) + timedelta(microseconds=1) if low else None
    begins = now - timedelta(days=high + 1) + timedelta(microseconds=1) if high is not None else None
    then = replace(condition, measures=(), window=Window(Fixed(begins), Fixed(ends)))
    if ends is None:
        return nodes.All(condition.line, (then,))
    since = replace(condition, measures=(), window=Window(Fixed(ends), None))
    return nodes.All(condition.line, (then, nodes.Not(condition.line, since)))


def _days(comparison: Comparison) -> tuple[int, int | None] | None:
    """Return the least and the most whole days that a comparison means."""
    given = [int(value) for value in comparison.values if isinstance(value, Decimal)]
    first, last = given[0], given[-1]
    known: dict[str, tuple[int, int | None]] = {
        "at_least": (first, None),
        "more_than": (first + 1, None),
        "at_most": (0, first),
        "less_than": (0, first - 1),
        "between": (first, last),
        "exactly": (first, first),
    }
    return known.get(comparison.operator)
