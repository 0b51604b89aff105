"""Compiles activity conditions (`bought`, `opened`, …) and the lifecycle, by the access path that the planner chooses.

SET collects the ids of all customers with matching lines, grouped if there are aggregates. PROBE goes from each buyer
whose totals allow a match to that buyer's lines. Start at `ActivityClauses.clause`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
from mailshot.audience.compile import dialect_functions, expressions, facts, totals
from mailshot.audience.compile.dialect_functions import Clause, Column
from mailshot.audience.compile.lifecycle import LifecycleClauses
from mailshot.audience.compile.planner import AccessPath, Base, Planner, Scope
from mailshot.audience.compile.sources import ActivitySource
from mailshot.facts import time_zones
from mailshot.facts.catalogue import Fact
from mailshot.facts.periods import Window
from mailshot.facts.product_filters import ProductFilter
from mailshot.profile.activity import BOUGHT
from mailshot.profile.lifecycle import Stage

#: The resolution of moments in both databases.
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ActivityClauses:
    """Compiles activity conditions for the customers of a scope, as of one moment."""

    planner: Planner
    scope: Scope
    as_of: datetime
    #: The company's time zone.
    zone: ZoneInfo

    def clause(self, condition: nodes.ActivityCondition) -> Clause:
        """Return the clause that is true for customers whose activities match, and never NULL."""
        if self.planner.path(condition, self.scope.selectivity) is AccessPath.SET:
            return self._set(condition)
        return self._probe(self.planner.source(condition), condition)

    def ids(self, condition: nodes.ActivityCondition) -> Select[Any]:
        """Return the ids of matching customers; of those who do not match, if a customer without activity matches."""
        source = self.planner.source(condition)
        in_range = self.scope.in_range(source.customer)
        lines = self._lines(source, condition, select(source.customer)).where(*in_range)
        if not condition.measures:
            return lines
        having = satisfies_all(source, condition.measures, self.as_of)
        return lines.group_by(source.customer).having(not_(having) if condition.matches_empty else having)

    def _set(self, condition: nodes.ActivityCondition) -> Clause:
        """SET: the customer is among the ids."""
        within = dialect_functions.not_in_set if condition.matches_empty else dialect_functions.in_set
        return within(self.scope.id, self.ids(condition))

    def lifecycle(self, condition: nodes.InLifecycle) -> Clause:
        """Return the clause that is true for customers in any of the lifecycle stages."""
        bought = self.planner.schema.source(BOUGHT)
        source = bought.coarse or bought
        stages = LifecycleClauses.of(source, condition.thresholds, self.as_of, self.zone)
        clauses = []
        if buyer_stages := [stage for stage in condition.stages if stage is not Stage.prospect]:
            clauses.append(self._with_totals(source, stages.any_of(buyer_stages)))
        if Stage.prospect in condition.stages:
            clauses.append(not_(self._with_totals(source, stages.bought)))
        return expressions.disjunction(clauses)

    def _probe(self, source: ActivitySource, condition: nodes.ActivityCondition) -> Clause:
        """PROBE: go from each buyer whose totals allow a match to the lines.

        A condition that customers without purchases match is compiled as the opposite of its negation, as they have no
        totals.
        """
        summary = source.summary
        assert summary is not None
        negated = condition.matches_empty
        probe = self._probe_lines(source, condition, summary.customer, negated)
        necessary = totals.necessary(summary, condition, self.as_of, self.zone, negated)
        clause = and_(*necessary, probe)
        if totals.are_enough(condition):
            # A customer with no later purchase and no return is decided by the totals alone.
            exact = totals.exact(summary, condition.measures, self.as_of)
            settled = and_(summary.last_at < self.as_of, summary.returned_at.is_(None))
            clause = case((settled, not_(exact) if negated else exact), else_=clause)
        matches = self._with_totals(source, clause)
        return not_(matches) if negated else matches

    def _with_totals(self, source: ActivitySource, clause: Clause) -> Clause:
        """Return a clause on the totals table as a clause on the base set."""
        assert source.summary is not None
        customer = source.summary.customer
        if self.scope.base is Base.BUYERS:
            return clause
        if self.scope.prefiltered:
            row = select(customer).where(customer == self.scope.id, clause)
            return exists(row.correlate_except(source.summary.table))
        buyers = select(customer).where(clause, *self.scope.in_range(customer))
        return dialect_functions.in_set(self.scope.id, buyers)

    def _probe_lines(
        self, source: ActivitySource, condition: nodes.ActivityCondition, customer: Column, negated: bool
    ) -> Clause:
        """Return whether the lines of one customer match (or, `negated`, do not match)."""
        having = satisfies_all(source, condition.measures, self.as_of) if condition.measures else true()
        result = select(not_(having) if negated else having)
        lines = self._lines(source, condition, result, one_customer=True).where(source.customer == customer)
        assert source.summary is not None
        # The first line is enough. Not EXISTS, which PostgreSQL would turn into a join over all customers.
        return expressions.is_true(lines.limit(1).correlate(source.summary.table).scalar_subquery())

    def _lines(
        self,
        source: ActivitySource,
        condition: nodes.ActivityCondition,
        columns: Select[Any],
        one_customer: bool = False,
    ) -> Select[Any]:
        """Return the select of `columns` from all matching lines.

        With `one_customer` the database is to find lines by their customer, not by the product.
        """
        names = [fact.name for fact, _ in condition.fields if not fact.own]
        lines = columns.select_from(source.rows(names)).where(*source.only, *source.stands(self.as_of))
        lines = self._in_window(lines, source, condition.window).where(
            *(expressions.compare_column(_field(source, fact), comparison) for fact, comparison in condition.fields)
        )
        if not condition.products.filters:
            return lines
        assert source.product is not None
        product_clause = self._in_bitmap if one_customer else self._in_products
        return lines.where(product_clause(source.product, condition.products))

    def _in_bitmap(self, product_id: Column, products: ProductFilter) -> Clause:
        """Return whether a line's product matches, in a form that no index on products serves."""
        bitmap = self.planner.statistics.bitmap(products)
        if bitmap is None:
            return self._in_products(expressions.unindexed(product_id), products)
        return expressions.in_bitmap(product_id, bitmap)

    def _in_products(self, product_id: Column, products: ProductFilter) -> Clause:
        product = self.planner.schema.product
        clause: Clause = product_id.in_(select(product.c.id).where(facts.product_clause(product, products)))
        return clause

    def _in_window(self, lines: Select[Any], source: ActivitySource, window: Window) -> Select[Any]:
        start, end = window.bounds(self.as_of, self.zone)
        first: ColumnElement[Any] | None = _bind(source.at, start) if start else None
        last: ColumnElement[Any] = _bind(source.at, end - MICROSECOND)
        if window.local:
            customer = self.planner.schema.customer.alias()
            lines = lines.join(customer, customer.c.id == source.customer)
            zones = time_zones.grouped(lambda zone: window.bounds(self.as_of, zone), self.zone)
            by_zone = [(expressions.in_list(customer.c.time_zone, names), bounds) for bounds, names in zones.items()]
            if by_zone:
                starts = [(in_zone, _bind(source.at, bounds[0])) for in_zone, bounds in by_zone]
                first = case(*starts, else_=first) if start else None
                ends = [(in_zone, _bind(source.at, bounds[1] - MICROSECOND)) for in_zone, bounds in by_zone]
                last = case(*ends, else_=last)
        # SQLite reads the column once for BETWEEN, and twice for two comparisons.
        return lines.where(source.at <= last if first is None else source.at.between(first, last))


def _field(source: ActivitySource, fact: Fact) -> Column:
    return facts.json_path(source.table.c.facts, fact) if fact.own else source.column(fact.name)


def _bind(like: ColumnElement[Any], value: Any) -> ColumnElement[Any]:
    return bindparam(None, value, type_=like.type, unique=True)


def satisfies_all(source: ActivitySource, aggregates: Iterable[nodes.Aggregate], as_of: datetime) -> Clause:
    """Return the HAVING clause that is true if the lines of a group satisfy every aggregate, and never NULL."""
    return and_(*(_satisfies(source, aggregate, as_of) for aggregate in aggregates))


def _satisfies(source: ActivitySource, aggregate: nodes.Aggregate, as_of: datetime) -> Clause:
    if aggregate.name in ("days_since_last", "days_since_first"):
        edge = func.max(source.at) if aggregate.name == "days_since_last" else func.min(source.at)
        return expressions.is_true(expressions.age(edge, aggregate.comparison, as_of))
    orders: ColumnElement[Any] = func.count() if source.occasion is None else func.count(distinct(source.occasion))
    if aggregate.name == "average_order":
        # Compared as spent >= bound * orders: exact where a division would round.
        return and_(orders > 0, expressions.scaled(_sum(source.amount), orders, aggregate.comparison))
    columns: dict[str, Callable[[], ColumnElement[Any]]] = {
        "times": lambda: orders,
        "items": lambda: _sum(source.quantity),
        "amount": lambda: _sum(source.amount),
        "distinct_products": lambda: _count_distinct(source.product),
    }
    return expressions.compare_column(columns[aggregate.name](), aggregate.comparison)


def _sum(column: ColumnElement[Any] | None) -> ColumnElement[Any]:
    """Return the sum of the known values, 0 if there are none."""
    assert column is not None
    total: ColumnElement[Any] = func.sum(column, type_=column.type)
    return func.coalesce(total, literal(0, column.type), type_=column.type)


def _count_distinct(column: ColumnElement[Any] | None) -> ColumnElement[Any]:
    assert column is not None
    return func.count(distinct(column))
