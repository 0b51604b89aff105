"""Conditions on a buyer's totals: what they prove of all purchases, and what they rule out before lines are read.

No selection of lines can exceed the total of all lines. So "spent 100 on vegetables in 90 days" implies a total of at
least 100 and a last purchase in the last 90 days, and only buyers whose totals allow it are probed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import and_

from mailshot.audience.compile import expressions
from mailshot.audience.compile.dialect_functions import Clause, Column
from mailshot.audience.compile.sources import CustomerTotals
from mailshot.audience.nodes import ActivityCondition, Aggregate
from mailshot.facts import comparison
from mailshot.facts.comparison import Comparison
from mailshot.facts.periods import EVER, Window

#: Aggregates that the totals table holds exactly, for customers who returned nothing.
EXACT = ("times", "days_since_last", "days_since_first")
# The complement of a comparison, for those that 0 can satisfy.
_COMPLEMENT = {"at_most": "more_than", "less_than": "at_least"}


def are_enough(condition: ActivityCondition) -> bool:
    """Return whether the condition only uses aggregates over all purchases that the totals table holds."""
    all_purchases = condition.window == EVER and not condition.products.filters and not condition.fields
    return all_purchases and bool(condition.measures) and all(m.name in EXACT for m in condition.measures)


def exact(totals: CustomerTotals, aggregates: Iterable[Aggregate], as_of: datetime) -> Clause:
    """Return the comparisons of aggregates over all purchases, read from the totals."""
    clauses: dict[str, Callable[[Comparison], Clause]] = {
        "times": lambda how: expressions.compare_column(totals.orders, how),
        "days_since_last": lambda how: expressions.age(totals.last_at, how, as_of),
        "days_since_first": lambda how: expressions.age(totals.first_at, how, as_of),
    }
    return and_(*(clauses[aggregate.name](aggregate.comparison) for aggregate in aggregates))


def necessary(
    totals: CustomerTotals, condition: ActivityCondition, as_of: datetime, zone: ZoneInfo, negated: bool
) -> Iterator[Clause]:
    """Yield clauses that hold of the totals of every customer who matches (or, `negated`, does not match).

    Clauses for aggregates come before those for the window: they exclude more customers, and SQLite evaluates
    AND-ed clauses in the order they are written.
    """
    yield from _necessary_for_aggregates(totals, condition.measures, negated, as_of)
    yield from _necessary_for_window(totals, condition.window, as_of, zone)


def _necessary_for_window(totals: CustomerTotals, window: Window, as_of: datetime, zone: ZoneInfo) -> Iterator[Clause]:
    if window.local:
        return  # the bounds differ by customer
    start, end = window.bounds(as_of, zone)
    yield totals.first_at < end
    if start is not None:
        yield totals.last_at >= start


def _necessary_for_aggregates(
    totals: CustomerTotals, aggregates: tuple[Aggregate, ...], negated: bool, as_of: datetime
) -> Iterator[Clause]:
    if negated and len(aggregates) > 1:
        return  # any one of them may be the one that fails
    for aggregate in aggregates:
        how = _complement(aggregate.comparison) if negated else aggregate.comparison
        low = comparison.interval_of(how).low if how else None
        if isinstance(low, Decimal):
            yield from _at_least(totals, aggregate.name, low, as_of)


def _complement(comparison: Comparison) -> Comparison | None:
    operator = _COMPLEMENT.get(comparison.operator)
    return Comparison(operator, comparison.values) if operator else None


def _at_least(totals: CustomerTotals, aggregate: str, low: Decimal, as_of: datetime) -> Iterator[Clause]:
    columns: dict[str, Column] = {
        "times": totals.orders,
        "amount": totals.gross,
        "distinct_products": totals.lines,
        "average_order": totals.gross,
    }
    if aggregate in columns and low > 0:
        # Totals are never NULL.
        yield expressions.nullable(columns[aggregate], Comparison("at_least", (low,)))
    if aggregate.startswith("days_since") and low > 0:
        yield totals.first_at <= as_of.astimezone(UTC) - timedelta(days=int(low))
