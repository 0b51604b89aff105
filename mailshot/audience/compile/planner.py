"""Owns saying among whom the customers of a rule are looked for; refuses to look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import and_

from mailshot.audience import nodes
from mailshot.audience.compile import expressions
from mailshot.audience.compile.dialect_functions import Clause, Column
from mailshot.audience.compile.sources import CustomerTotals
from mailshot.audience.nodes import Condition
from mailshot.facts import comparison
from mailshot.facts.comparison import Comparison
from mailshot.facts.periods import EVER, Fixed, Window
from mailshot.facts.product_filters import ProductFilter
from mailshot.profile.activity import BOUGHT
from mailshot.profile.lifecycle import Stage

OF_ROWS = (nodes.FactIs, nodes.Dated, nodes.RandomShare)


@dataclass(frozen=True, slots=True)
class Scope:
    """Everybody named by `id`: all customers (their `rows` are at hand), all buyers (their `sums` are), or a few.

    Of them only those whose id lies in `ids`; None: all.
    """

    id: Column
    rows: bool = False
    sums: bool = False
    ids: range | None = None

    def holds(self, customer: Column) -> list[Clause]:
        """Return the clauses that are true of the customers in `ids`, for the key of any table."""
        return [] if self.ids is None else [customer >= self.ids.start, customer < self.ids.stop]


def only_buyers(condition: Condition) -> bool:
    """Say whether a rule is true of buyers only."""
    if isinstance(condition, nodes.All):
        return any(map(only_buyers, condition.parts))
    if isinstance(condition, nodes.Any):
        return all(map(only_buyers, condition.parts))
    if isinstance(condition, nodes.InAudience):
        return only_buyers(condition.condition)
    if isinstance(condition, nodes.InLifecycle):
        return Stage.prospect not in condition.stages
    if isinstance(condition, nodes.Not):
        return isinstance(condition.part, nodes.InLifecycle) and Stage.prospect in condition.part.stages
    return (
        isinstance(condition, nodes.ActivityCondition) and condition.history is BOUGHT and not condition.matches_empty
    )


def of_rows(condition: Condition) -> bool:
    """Say whether a condition asks only for what stands in the row of a customer."""
    return isinstance(condition, OF_ROWS) or (bool(condition.children) and all(map(of_rows, condition.children)))


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


# What lies deeper stands last, whatever it costs: databases read `a AND b AND c` as `(a AND b) AND c`, so that every
# part after a deep one makes the whole a level deeper.
SHALLOW = 4


Told = Callable[[Condition], nodes.All | None]


def conjuncts(condition: Condition, told: Told) -> Iterator[Condition]:
    """Give what must hold for a condition to hold, each by itself: of `not: {any: [a, b]}` not a, and not b.

    `told` says what one condition is told by, when it is told by several.
    """
    if isinstance(condition, nodes.All):
        for part in condition.parts:
            yield from conjuncts(part, told)
    elif isinstance(condition, nodes.InAudience):
        yield from conjuncts(condition.condition, told)
    elif isinstance(condition, nodes.Not) and isinstance(condition.part, nodes.Any):
        for part in condition.part.parts:
            yield from conjuncts(nodes.Not(condition.line, part), told)
    elif several := told(condition):
        yield from several.parts
    else:
        yield condition


def by_cost(parts: Iterable[Condition], effort: Callable[[Condition], int]) -> list[Condition]:
    """Return the parts by their effort, all that is deep at the end."""
    return sorted(parts, key=lambda part: (part.depth if part.depth > SHALLOW else 0, effort(part)))


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
        low = comparison.of(how).low if how else None
        if isinstance(low, Decimal):
            yield from _least(summary, measure.name, low, as_of)


def exactly(summary: CustomerTotals, measures: Iterable[nodes.Aggregate], as_of: datetime) -> Clause:
    """Return what the sums say of measures over all purchases there are."""
    made: dict[str, Callable[[Comparison], Clause]] = {
        "times": lambda how: expressions.compare(summary.orders, how),
        "days_since_last": lambda how: expressions.age(summary.last_at, how, as_of),
        "days_since_first": lambda how: expressions.age(summary.first_at, how, as_of),
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
    return expressions.nullable(column, Comparison("at_least", (low,)))


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
