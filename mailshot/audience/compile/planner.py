"""Chooses how a rule reaches its rows: the set it starts from, the order of its parts, and the access path of each.

A rule becomes `SELECT id FROM <base set> WHERE <clause> AND …`. The choices change its speed, never its result.

**Base set** (`Base`, chosen by `Compiler._base_set`): whose ids are tested.

===========  =========================================================  ==============================================
Base         Chosen when                                                SQL
===========  =========================================================  ==============================================
SUBQUERY     a part that must hold matches few customers: `driving`     FROM (SELECT DISTINCT customer_id FROM …)
BUYERS       otherwise, if only buyers can match: `only_buyers`         FROM buyer
CUSTOMERS    otherwise                                                  FROM customer
===========  =========================================================  ==============================================

**Order** (`Planner.parts`): parts that must all hold are separated and sorted, the cheapest access path first.

**Access path** (`Planner.path`), cheapest first. `id` is the id of the base set; the SQL is shortened.

============  ==========================================  ====================================  =======================
AccessPath    Chosen for                                  SQL on SQLite                         on PostgreSQL
============  ==========================================  ====================================  =======================
ROW           facts, dates, random shares                 customer.country = ?                  same
              the same, if the base is not CUSTOMERS      EXISTS (SELECT 1 FROM customer        same
                                                          WHERE customer.id = id AND …)
              lifecycle: clauses on the totals            as for PROBE                          same
SET           preferences, traits, consents; activities   id IN (SELECT customer_id FROM        same; negated: NOT
              without totals (mails, events, calls);      purchase WHERE product_id IN (…)      EXISTS (SELECT FROM (…)
              purchases of products with few lines        GROUP BY … HAVING …)                  WHERE customer_id = id)
              consents, preferences with less than all    EXISTS (SELECT … FROM preference      same
              customers left (`selectivity` < 1)          WHERE customer_id = id AND …)
PROBE_ORDERS  other purchases that need no lines          buyer.orders >= ? AND (SELECT         get_byte(?, product_id)
PROBE_LINES   other purchases                             count(*) >= ? FROM purchase WHERE     = 1 for the bitmap;
                                                          customer_id = buyer.customer_id       IS true
                                                          AND substr(?, product_id, 1) = x'01'
                                                          LIMIT 1) IS 1
============  ==========================================  ====================================  =======================

A probe reads the lines of one buyer after the other, and only of buyers whose totals allow a match
(`totals.necessary`). Its clause on the totals table reaches the base set in one of three ways: as it is, if the base is
BUYERS; as `EXISTS (SELECT … FROM buyer WHERE buyer.customer_id = id AND …)`, if other parts already narrow the
customers down (`Scope.prefiltered`); else as `id IN (SELECT customer_id FROM buyer WHERE …)`. Conditions over all
purchases of a customer (`times`, `days_since_last`) are answered by the totals alone unless something was returned:
`CASE WHEN <no returns> THEN <totals> ELSE <probe> END`.

The choice is in `Planner`, the SQL of activities in `activity.ActivityClauses`, that of all others in `Compiler`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, auto
from typing import Protocol, assert_never

from mailshot.audience import nodes
from mailshot.audience.compile.dialect_functions import Clause, Column
from mailshot.audience.compile.sources import ActivitySource, Schema
from mailshot.audience.nodes import Condition
from mailshot.facts.comparison import Comparison
from mailshot.facts.periods import EVER, Fixed, Window
from mailshot.facts.product_filters import ProductFilter
from mailshot.profile.activity import BOUGHT
from mailshot.profile.lifecycle import Stage

# Limits and costs were chosen with `python -m benchmarks.audiences`: twelve rules, each against the fastest of several
# hand-written queries, on a million customers with ten purchase lines each.

#: Largest share of all purchase lines that is collected by product (SET); beyond it, probing each buyer is faster.
SCAN_LIMIT = 0.25
#: The same where the index on (product, time) does not hold every column that is needed (amounts, quantities, channel):
#: each line then costs a second look-up, in the table.
SCAN_LIMIT_UNCOVERED = 0.05
#: Aggregates that need only columns of that index.
COVERED = frozenset({"times", "distinct_products", "days_since_last", "days_since_first"})
#: Cost of probing one customer, relative to collecting that customer's lines by product.
PROBE_COST = 5
#: Largest share of customers for whom a trait or preference may be the base set.
DRIVING_LIMIT = 0.1
#: Parts with more levels than this are evaluated last, whatever they cost: databases parse `a AND b AND c` as
#: `(a AND b) AND c`, so each part after a deep one puts it one level deeper, and SQLite allows as few as 100 levels.
SHALLOW = 4
#: Conditions on columns of the customer table.
ROW_CONDITIONS = (nodes.FactIs, nodes.Dated, nodes.RandomShare)
Rewrite = Callable[[Condition], nodes.All | None]


class Base(Enum):
    """The kind of set whose ids are tested."""

    #: The customer table: facts of the customer are in the same row.
    CUSTOMERS = auto()
    #: The totals table: totals of all purchases are in the same row.
    BUYERS = auto()
    #: A sub-query that yields only ids.
    SUBQUERY = auto()


class AccessPath(IntEnum):
    """How a condition reaches its rows, in order of cost; see the table above."""

    ROW = 0
    SET = 1
    PROBE_ORDERS = 2
    PROBE_LINES = 3


@dataclass(frozen=True, slots=True)
class Scope:
    """The customers that a condition is compiled for, and how many of them the parts AND-ed with it leave over."""

    #: The id column of the base set.
    id: Column
    base: Base
    #: Only customers with ids in this range; None: all. Ranges are counted on several connections in parallel.
    ids: range | None = None
    #: Other AND-ed parts already narrow the customers down.
    prefiltered: bool = False
    #: Share of purchase lines whose customers are left, 1.0 for all: what the choice of probe or set compares.
    selectivity: float = 1.0

    def in_range(self, customer: Column) -> list[Clause]:
        """Return the clauses that restrict the customer key of any table to `ids`."""
        return [] if self.ids is None else [customer >= self.ids.start, customer < self.ids.stop]


class Statistics(Protocol):
    """Estimates from the data. They choose access paths and never change which customers match."""

    def selectivity(self, condition: Condition) -> float:
        """Return the share of all lines that match an activity condition.

        Of a trait or preference: the share of all customers who have it. 1.0 for all other conditions.
        """

    def bitmap(self, products: ProductFilter) -> bytes | None:
        """Return the bitmap of matching products: byte n is 1 if the product with id n matches, the last byte is 0.

        None if the bitmap would be too large.
        """


class NoStatistics:
    """Used where nothing is known: takes every selection of products for a small one, and nothing else."""

    def selectivity(self, condition: Condition) -> float:
        return 0.0 if isinstance(condition, nodes.ActivityCondition) else 1.0

    def bitmap(self, products: ProductFilter) -> bytes | None:
        return None


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes the choices for one rule."""

    schema: Schema
    statistics: Statistics
    as_of: datetime

    def parts(self, condition: Condition) -> list[Condition]:
        """Return what must hold for a condition to hold, the cheapest first."""
        return self.by_cost(conjuncts(condition, lambda part: rewrite_days_since_last(part, self.as_of)))

    def by_cost(self, parts: Iterable[Condition]) -> list[Condition]:
        """Return the parts of a group, the cheapest first."""
        return by_cost(parts, self.path)

    def driving(self, parts: Iterable[Condition]) -> Condition | None:
        """Return the most selective part that can be the base set; None if there is none."""
        return min(filter(self.is_driving, parts), key=self.selectivity, default=None)

    def is_driving(self, part: Condition) -> bool:
        """Return whether a part matches few customers and an index leads to them."""
        if isinstance(part, nodes.HasTrait | nodes.HasPreference):
            return self.statistics.selectivity(part) <= DRIVING_LIMIT
        if not isinstance(part, nodes.ActivityCondition) or part.matches_empty:
            return False
        return self.schema.source(part.history).summary is not None and self._has_few_lines(part)

    def selectivity(self, driving: Condition) -> float:
        """Return the selectivity of the scope that a driving part leaves, as a share of lines.

        A share of customers counts as PROBE_COST times fewer lines, as each of them has to be probed.
        """
        share = self.statistics.selectivity(driving)
        return share if isinstance(driving, nodes.ActivityCondition) else share / PROBE_COST

    def path(self, condition: Condition, selectivity: float = 1.0) -> AccessPath:
        """Return the access path of a condition; of a group, the most expensive one of its parts."""
        match condition:
            case nodes.ActivityCondition():
                return self._activity_path(condition, selectivity)
            case nodes.HasPreference() | nodes.HasTrait() | nodes.HasConsent():
                return AccessPath.SET
            case nodes.All() | nodes.Any() | nodes.Count() | nodes.Not() | nodes.InAudience():
                return max(map(self.path, condition.children), default=AccessPath.ROW)
            case nodes.FactIs() | nodes.Dated() | nodes.InLifecycle() | nodes.RandomShare() | nodes.Everyone():
                return AccessPath.ROW
            case _:
                assert_never(condition)

    def _activity_path(self, condition: nodes.ActivityCondition, selectivity: float) -> AccessPath:
        source = self.source(condition)
        if source.summary is None:
            return AccessPath.SET
        if self._has_few_lines(condition) and self.statistics.selectivity(condition) <= PROBE_COST * selectivity:
            return AccessPath.SET
        return AccessPath.PROBE_ORDERS if source.coarse is None else AccessPath.PROBE_LINES

    def source(self, condition: nodes.ActivityCondition) -> ActivitySource:
        """Return the table to read: orders instead of lines, if the condition needs no column of a line."""
        source = self.schema.source(condition.history)
        needs_lines = condition.fields or condition.products.filters
        if source.coarse is None or needs_lines or any(a.name == "distinct_products" for a in condition.measures):
            return source
        return source.coarse

    def _has_few_lines(self, condition: nodes.ActivityCondition) -> bool:
        """Return whether the index on (product, time) leads to few enough lines to collect them all."""
        covered = not condition.fields and all(aggregate.name in COVERED for aggregate in condition.measures)
        limit = SCAN_LIMIT if covered else SCAN_LIMIT_UNCOVERED
        return bool(condition.products.filters) and self.statistics.selectivity(condition) <= limit


def only_buyers(condition: Condition) -> bool:
    """Return whether only customers with a purchase can match."""
    match condition:
        case nodes.All():
            return any(map(only_buyers, condition.parts))
        case nodes.Any():
            return all(map(only_buyers, condition.parts))
        case nodes.InAudience():
            return only_buyers(condition.condition)
        case nodes.InLifecycle():
            return Stage.prospect not in condition.stages
        case nodes.Not():
            return isinstance(condition.part, nodes.InLifecycle) and Stage.prospect in condition.part.stages
        case nodes.ActivityCondition():
            return condition.history is BOUGHT and not condition.matches_empty
        case nodes.Count() | nodes.FactIs() | nodes.Dated() | nodes.RandomShare() | nodes.Everyone():
            return False
        case nodes.HasPreference() | nodes.HasTrait() | nodes.HasConsent():
            return False
        case _:
            assert_never(condition)


def needs_only_row(condition: Condition) -> bool:
    """Return whether a condition reads nothing but the customer's row."""
    children = condition.children
    return isinstance(condition, ROW_CONDITIONS) or (bool(children) and all(map(needs_only_row, children)))


def conjuncts(condition: Condition, rewrite: Rewrite) -> Iterator[Condition]:
    """Yield the conditions that must all hold for a condition to hold: of `not: {any: [a, b]}` not a, and not b.

    `rewrite` replaces one condition by several that together mean the same, or returns None.
    """
    if isinstance(condition, nodes.All):
        for part in condition.parts:
            yield from conjuncts(part, rewrite)
    elif isinstance(condition, nodes.InAudience):
        yield from conjuncts(condition.condition, rewrite)
    elif isinstance(condition, nodes.Not) and isinstance(condition.part, nodes.Any):
        for part in condition.part.parts:
            yield from conjuncts(nodes.Not(condition.line, part), rewrite)
    elif rewritten := rewrite(condition):
        yield from rewritten.parts
    else:
        yield condition


def by_cost(parts: Iterable[Condition], cost: Callable[[Condition], int]) -> list[Condition]:
    """Return the parts by their cost, all deep ones at the end."""
    return sorted(parts, key=lambda part: (part.depth if part.depth > SHALLOW else 0, cost(part)))


def rewrite_days_since_last(condition: Condition, as_of: datetime) -> nodes.All | None:
    """Return `days_since_last` of some products as two windows: one with a purchase, and none after it.

    Both windows can use the index on (product, time), where the age of the last purchase needs all lines of a customer.
    None if the condition is not of this kind.
    """
    if not isinstance(condition, nodes.ActivityCondition) or condition.history is not BOUGHT:
        return None
    if condition.window != EVER or not condition.products.filters or len(condition.measures) != 1:
        return None
    (aggregate,) = condition.measures
    days = _day_range(aggregate.comparison) if aggregate.name == "days_since_last" else None
    if days is None:
        return None
    fewest, most = days
    now = as_of.astimezone(UTC)
    # n whole days ago means n <= age < n + 1: the window includes its end but not its beginning.
    end = now - timedelta(days=fewest) + timedelta(microseconds=1) if fewest else None
    start = now - timedelta(days=most + 1) + timedelta(microseconds=1) if most is not None else None
    inside = replace(condition, measures=(), window=Window(Fixed(start), Fixed(end)))
    if end is None:
        return nodes.All(condition.line, (inside,))
    after = replace(condition, measures=(), window=Window(Fixed(end), None))
    return nodes.All(condition.line, (inside, nodes.Not(condition.line, after)))


def _day_range(comparison: Comparison) -> tuple[int, int | None] | None:
    """Return the fewest and the most whole days that satisfy a comparison; None for a list of values."""
    numbers = [int(value) for value in comparison.values if isinstance(value, Decimal)]
    first, last = numbers[0], numbers[-1]
    ranges: dict[str, tuple[int, int | None]] = {
        "at_least": (first, None),
        "more_than": (first + 1, None),
        "at_most": (0, first),
        "less_than": (0, first - 1),
        "between": (first, last),
        "exactly": (first, first),
    }
    return ranges.get(comparison.operator)
