"""Owns what the sums over all of a customer's purchases say about any choice of them; refuses to look at a line.

No choice of lines can come to more than all of them, whatever was returned later. So whoever's sums stay below what is
asked for needs no second look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import and_

from mailshot.audience import bounds, nodes
from mailshot.audience.compile import columns
from mailshot.audience.compile.columns import Clause
from mailshot.audience.compile.schema import Column, CustomerTotals
from mailshot.profile.comparison import Comparison
from mailshot.profile.window import Window

EXACT = ("times", "days_since_last", "days_since_first")
# What is not `at_least` this is, and so on: only the comparisons that can hold of nothing.
_REVERSED = {"at_most": "more_than", "less_than": "at_least"}


def necessary_for_window(summary: CustomerTotals, window: Window, as_of: datetime, zone: ZoneInfo) -> Iterator[Clause]:
    """Give what holds of everybody to whom something happened in a window."""
    if window.local:
        return  # every customer has days of their own
    start, end = window.bounds(as_of, zone)
    yield summary.first_at < end
    if start is not None:
        yield summary.last_at >= start


def necessary_for_aggregates(
    summary: CustomerTotals, measures: Iterable[nodes.Aggregate], reversed_: bool, as_of: datetime
) -> Iterator[Clause]:
    """Give what holds of everybody who satisfies all measures; `reversed_`: of who does not satisfy the only one."""
    several = list(measures)
    if reversed_ and len(several) > 1:
        return
    for measure in several:
        how = _reverse(measure.comparison) if reversed_ else measure.comparison
        low = bounds.of(how).low if how else None
        if isinstance(low, Decimal):
            yield from _least(summary, measure.name, low, as_of)


def exactly(summary: CustomerTotals, measures: Iterable[nodes.Aggregate], as_of: datetime) -> Clause:
    """Return what the sums say of measures over all purchases there are."""
    made: dict[str, Callable[[Comparison], Clause]] = {
        "times": lambda how: columns.compare(summary.orders, how),
        "days_since_last": lambda how: columns.age(summary.last_at, how, as_of),
        "days_since_first": lambda how: columns.age(summary.first_at, how, as_of),
    }
    return and_(*(made[measure.name](measure.comparison) for measure in measures))


def _reverse(comparison: Comparison) -> Comparison | None:
    operator = _REVERSED.get(comparison.operator)
    return Comparison(operator, comparison.values) if operator else None


def _least(summary: CustomerTotals, name: str, low: Decimal, as_of: datetime) -> Iterator[Clause]:
    sums: dict[str, Column] = {
        "times": summary.orders,
        "amount": summary.gross,
        "distinct_products": summary.lines,
        "average_order": summary.gross,
    }
    if name in sums and low > 0:
        yield _at_least(sums[name], low)
    if name.startswith("days_since") and low > 0:
        yield summary.first_at <= as_of.astimezone(UTC) - timedelta(days=int(low))


def _at_least(column: Column, low: Decimal) -> Clause:
    # Sums are never NULL.
    return columns.nullable(column, Comparison("at_least", (low,)))
