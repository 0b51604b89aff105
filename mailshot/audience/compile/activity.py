"""Owns turning what happened to customers into SQL; refuses every other condition.

A condition becomes the set of customers it happened to, grouped where something is counted. Two ways lead there: from
the products to their few lines, or, where many products are meant or others have already narrowed the customers down,
from each customer to the lines. What is summed up of all a customer's purchases keeps most of them from being looked
at: no choice of lines can come to more than all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    distinct,
    exists,
    func,
    literal,
    not_,
    select,
    true,
)

from mailshot.audience import nodes
from mailshot.audience.compile import dialect_functions, expressions, facts, planner
from mailshot.audience.compile.dialect_functions import Clause, Column
from mailshot.audience.compile.lifecycle import LifecycleClauses
from mailshot.audience.compile.planner import Scope, Statistics
from mailshot.audience.compile.sources import ActivitySource, CustomerTotals, Schema
from mailshot.facts import time_zones
from mailshot.facts.catalogue import Fact
from mailshot.facts.periods import EVER, Window
from mailshot.facts.product_filters import ProductFilter
from mailshot.profile.activity import BOUGHT
from mailshot.profile.lifecycle import Stage

# Beyond this share of all lines it is faster to look at the customers one by one; the lower one is for what does not
# stand in the index that leads from the products to their lines.
FEW, FEW_LOOKED_UP = 0.25, 0.05
# To look at a customer's lines takes so much longer than to gather a few of them.
LOOK = 5
ROW, SET, ORDERS, LINES = range(4)
# What lies between two moments in either database.
TICK = timedelta(microseconds=1)
INDEXED = {"times", "distinct_products", "days_since_last", "days_since_first"}


@dataclass(frozen=True, slots=True)
class Histories:
    """Compiles conditions on happenings as of one moment, of the customers of a universe.

    `beside`: others narrow the customers down, `left` so far that one of them means no larger share.
    """

    schema: Schema
    as_of: datetime
    zone: ZoneInfo
    universe: Scope
    statistics: Statistics
    beside: bool = False
    left: float = 1.0

    def happened(self, condition: nodes.ActivityCondition) -> Clause:
        """Return the clause that is true of whom it happened to, so often and so much."""
        source = self._source(condition)
        if source.summary is None or self._quickly_gathered(condition):
            return self._in_set(condition)
        return self._each(source, condition)

    def _quickly_gathered(self, condition: nodes.ActivityCondition) -> bool:
        """Say whether to gather all lines that are meant, rather than look at those of each customer."""
        return self._few(condition) and self.statistics.share(condition) <= LOOK * self.left

    def ids(self, condition: nodes.ActivityCondition) -> Select[Any]:
        """Return the ids of those to whom it happened; where nothing at all would do, of those it does not fit."""
        source = self._source(condition)
        lines = self._lines(source, condition, select(source.customer)).where(*self.universe.holds(source.customer))
        if not condition.measures:
            return lines
        having = all_of(source, condition.measures, self.as_of)
        return lines.group_by(source.customer).having(not_(having) if condition.matches_empty else having)

    def _in_set(self, condition: nodes.ActivityCondition) -> Clause:
        ids = self.ids(condition)
        return (dialect_functions.not_in_set if condition.matches_empty else dialect_functions.in_set)(
            self.universe.id, ids
        )

    def drives(self, condition: nodes.Condition) -> bool:
        """Say whether a condition names few customers, found from the products they bought."""
        if not isinstance(condition, nodes.ActivityCondition) or condition.matches_empty:
            return False
        return self.schema.source(condition.history).summary is not None and self._few(condition)

    def _source(self, condition: nodes.ActivityCondition) -> ActivitySource:
        """Return where to look: among the orders, where no condition asks for what only their lines say."""
        source = self.schema.source(condition.history)
        lines = condition.fields or condition.products.filters
        if source.coarse is None or lines or any(measure.name == "distinct_products" for measure in condition.measures):
            return source
        return source.coarse

    def effort(self, condition: nodes.Condition) -> int:
        """Return how much looking it takes: at a row or the sums, into a set, at a customer's orders or lines."""
        if condition.children:
            return max(map(self.effort, condition.children))
        if not isinstance(condition, nodes.ActivityCondition):
            return SET if isinstance(condition, nodes.HasPreference | nodes.HasTrait | nodes.HasConsent) else ROW
        source = self._source(condition)
        if source.summary is None or self._few(condition):
            return SET
        return ORDERS if source.coarse is None else LINES

    def _few(self, condition: nodes.ActivityCondition) -> bool:
        indexed = not condition.fields and all(measure.name in INDEXED for measure in condition.measures)
        most = FEW if indexed else FEW_LOOKED_UP
        return bool(condition.products.filters) and self.statistics.share(condition) <= most

    def stage(self, condition: nodes.InLifecycle) -> Clause:
        """Return the clause that is true of the customers in any of these lifecycle stages."""
        source = self.schema.source(BOUGHT).coarse or self.schema.source(BOUGHT)
        assert source.summary is not None
        stages = LifecycleClauses.of(source, condition.thresholds, self.as_of, self.zone)
        clauses = []
        if buying := [stage for stage in condition.stages if stage is not Stage.prospect]:
            clauses.append(self._with_sums(source, stages.any_of(buying)))
        if Stage.prospect in condition.stages:
            clauses.append(not_(self._with_sums(source, stages.bought)))
        return expressions.any_of(clauses)

    def _each(self, source: ActivitySource, condition: nodes.ActivityCondition) -> Clause:
        """Go from each customer whose sums can reach it to the lines."""
        summary = source.summary
        assert summary is not None
        reversed_ = condition.matches_empty
        judged = self._judged(source, condition, summary.customer, reversed_)
        meant = and_(*self._narrowed(summary, condition), judged)
        if self._summed(condition):
            # A customer with no later purchase and no return is judged by the totals alone.
            sums = planner.exactly(summary, condition.measures, self.as_of)
            settled = and_(summary.last_at < self.as_of, summary.returned_at.is_(None))
            meant = case((settled, not_(sums) if reversed_ else sums), else_=meant)
        found = self._with_sums(source, meant)
        return not_(found) if reversed_ else found

    def _narrowed(self, summary: CustomerTotals, condition: nodes.ActivityCondition) -> Iterator[Clause]:
        """Give what holds of the sums of all who come into question."""
        # What they come to first: it leaves fewer than the window does, and SQLite asks in this order.
        yield from planner.necessary_for_aggregates(summary, condition.measures, condition.matches_empty, self.as_of)
        yield from planner.necessary_for_window(summary, condition.window, self.as_of, self.zone)

    def _summed(self, condition: nodes.ActivityCondition) -> bool:
        """Say whether the sums of all purchases are what the condition asks for."""
        whole = condition.window == EVER and not condition.products.filters and not condition.fields
        return whole and bool(condition.measures) and all(m.name in planner.EXACT for m in condition.measures)

    def _with_sums(self, source: ActivitySource, clause: Clause) -> Clause:
        assert source.summary is not None
        known = source.summary.customer
        if self.universe.sums:
            return clause
        if self.beside:
            mine = select(known).where(known == self.universe.id, clause)
            return exists(mine.correlate_except(source.summary.table))
        return dialect_functions.in_set(self.universe.id, select(known).where(clause, *self.universe.holds(known)))

    def _judged(
        self, source: ActivitySource, condition: nodes.ActivityCondition, customer: Column, reversed_: bool
    ) -> Clause:
        """Return whether the lines of one customer satisfy the condition (or not, when `reversed_`)."""
        having = all_of(source, condition.measures, self.as_of) if condition.measures else true()
        shown = select(not_(having) if reversed_ else having)
        lines = self._lines(source, condition, shown, one_customer=True).where(source.customer == customer)
        # The first line is enough. Not EXISTS, which PostgreSQL would answer for everybody at once.
        assert source.summary is not None
        return expressions.is_true(lines.limit(1).correlate(source.summary.table).scalar_subquery())

    def _lines(
        self, source: ActivitySource, condition: nodes.ActivityCondition, shown: Select[Any], one_customer: bool = False
    ) -> Select[Any]:
        """Return the select of all that is meant; of `one_customer` the key leads to the lines, not the product."""
        names = [fact.name for fact, _ in condition.fields if not fact.own]
        lines = shown.select_from(source.rows(names)).where(*source.only, *source.stands(self.as_of))
        lines = self._within(lines, source, condition.window).where(
            *(expressions.compare(_field(source, fact), comparison) for fact, comparison in condition.fields)
        )
        if condition.products.filters:
            assert source.product is not None
            if one_customer:
                return lines.where(self._marked(source.product, condition.products))
            return lines.where(self._of(source.product, condition.products))
        return lines

    def _marked(self, bought: Column, products: ProductFilter) -> Clause:
        """Return whether a product is meant without being led to the lines by it."""
        marks = self.statistics.marks(products)
        return self._of(expressions.unindexed(bought), products) if marks is None else expressions.marked(bought, marks)

    def _of(self, bought: Column, products: ProductFilter) -> Clause:
        product = self.schema.product
        found: Clause = bought.in_(select(product.c.id).where(facts.product_clause(product, products)))
        return found

    def _within(self, lines: Select[Any], source: ActivitySource, window: Window) -> Select[Any]:
        start, end = window.bounds(self.as_of, self.zone)
        begins: ColumnElement[Any] | None = _bind(source.at, start) if start else None
        last: ColumnElement[Any] = _bind(source.at, end - TICK)
        if window.local:
            own = self.schema.customer.alias()
            lines = lines.join(own, own.c.id == source.customer)
            others = time_zones.grouped(lambda zone: window.bounds(self.as_of, zone), self.zone)
            living = [(expressions.in_list(own.c.time_zone, names), bounds) for bounds, names in others.items()]
            if living:
                first = [(lives, _bind(source.at, bounds[0])) for lives, bounds in living]
                begins = case(*first, else_=begins) if start else None
                last = case(*((lives, _bind(source.at, bounds[1] - TICK)) for lives, bounds in living), else_=last)
        # SQLite reads the moment once for BETWEEN, and twice for two comparisons.
        return lines.where(source.at <= last if begins is None else source.at.between(begins, last))


def _field(source: ActivitySource, fact: Fact) -> Column:
    return facts.json_path(source.table.c.facts, fact) if fact.own else source.column(fact.name)


def _bind(like: ColumnElement[Any], value: Any) -> ColumnElement[Any]:
    return bindparam(None, value, type_=like.type, unique=True)


def all_of(source: ActivitySource, measures: Iterable[nodes.Aggregate], as_of: datetime) -> Clause:
    """Return the clause that is true (never NULL) of happenings that satisfy every measure."""
    return and_(*(_one(source, measure, as_of) for measure in measures))


def _one(source: ActivitySource, measure: nodes.Aggregate, as_of: datetime) -> Clause:
    if measure.name in ("days_since_last", "days_since_first"):
        edge = func.max(source.at) if measure.name == "days_since_last" else func.min(source.at)
        return expressions.is_true(expressions.age(edge, measure.comparison, as_of))
    orders: ColumnElement[Any] = func.count() if source.occasion is None else func.count(distinct(source.occasion))
    if measure.name == "average_order":
        # Compared as spent >= bound * orders: exact where a division would round.
        return and_(orders > 0, expressions.scaled(_total(source.amount), orders, measure.comparison))
    counted: dict[str, Callable[[], ColumnElement[Any]]] = {
        "times": lambda: orders,
        "items": lambda: _total(source.quantity),
        "amount": lambda: _total(source.amount),
        "distinct_products": lambda: _different(source.product),
    }
    return expressions.compare(counted[measure.name](), measure.comparison)


def _total(column: ColumnElement[Any] | None) -> ColumnElement[Any]:
    """Sum what is known; nothing known comes to 0."""
    assert column is not None
    summed: ColumnElement[Any] = func.sum(column, type_=column.type)
    return func.coalesce(summed, literal(0, column.type), type_=column.type)


def _different(column: ColumnElement[Any] | None) -> ColumnElement[Any]:
    assert column is not None
    return func.count(distinct(column))
