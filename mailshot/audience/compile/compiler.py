"""Compiles a condition into one SELECT of customer ids. The tables and the moment are arguments; nothing is executed.

Start at `Compiler.select`; `planner` explains the choices it makes. Every value is a bound parameter. Long `all` and
`any` become balanced trees and activities one grouped sub-query, so the SQL stays far below a nesting depth of 100, the
lowest limit that SQLite may be built with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, assert_never
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    Select,
    and_,
    case,
    exists,
    literal,
    not_,
    or_,
    select,
    true,
    union_all,
)

from mailshot.audience import nodes
from mailshot.audience.compile import dialect_functions, expressions, facts, planner, sources
from mailshot.audience.compile.activity import ActivityClauses
from mailshot.audience.compile.dialect_functions import Clause
from mailshot.audience.compile.planner import Base, NoStatistics, Planner, Scope, Statistics
from mailshot.audience.compile.sources import Schema
from mailshot.audience.nodes import Condition
from mailshot.facts import comparison
from mailshot.facts.catalogue import FactType
from mailshot.profile import bucketing
from mailshot.profile.activity import BOUGHT

#: Conditions that narrow the customers down with one cheap look-up for each customer.
NARROWING = (nodes.FactIs, nodes.Dated, nodes.HasTrait, nodes.HasPreference, nodes.HasConsent, nodes.RandomShare)


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles conditions as of one moment."""

    schema: Schema
    as_of: datetime
    #: The company's time zone.
    zone: ZoneInfo
    #: Ignore consents stated from this moment on, as `schema.preference` does with preferences; None: use the latest.
    before: datetime | None = None
    #: Estimates that choose the access paths; they never change which customers match.
    statistics: Statistics = field(default_factory=NoStatistics)
    #: The customers to test; None: the customer table. Read `universe`.
    among: Scope | None = None
    #: Below a 'not', where an activity that is unknown without consent to tracking counts as true (see `Evaluator`).
    denied: bool = False

    def select(self, condition: Condition) -> Select[Any]:
        """Return the select of the ids of all customers who match, in no order."""
        scope, parts, selectivity = self._base_set(condition)
        clause = self._in(scope)._and(parts, selectivity)
        # Erased customers have no totals.
        existing = () if scope.base is Base.BUYERS else (sources.not_erased(self.schema, scope.id),)
        return select(scope.id.label("id")).where(clause, *existing, *scope.in_range(scope.id))

    def within(self, ids: range | None) -> Compiler:
        """Return the compiler for customers with ids in a range only; None: for all."""
        return self._in(replace(self.scope, id=self.schema.customer.c.id, base=Base.CUSTOMERS, ids=ids))

    @property
    def scope(self) -> Scope:
        """The customers that conditions are compiled for."""
        return self.among or Scope(self.schema.customer.c.id, Base.CUSTOMERS)

    def clause(self, condition: Condition) -> Clause:
        """Return a clause over the rows of the scope that is true where `condition` holds, and never NULL."""
        match condition:
            case nodes.All():
                return self._all(condition)
            case nodes.Any():
                return expressions.disjunction(map(self._visit, self._planner.by_cost(condition.parts)))
            case nodes.Not():
                return not_(replace(self, denied=not self.denied)._visit(condition.part))
            case nodes.Count():
                return self._count(condition)
            case nodes.ActivityCondition():
                return self._activity(condition)
            case nodes.FactIs():
                return self._fact(condition)
            case nodes.Dated():
                return facts.clause(self.schema.customer, condition, self.as_of, self.zone)
            case nodes.InLifecycle():
                return self._activities.lifecycle(condition)
            case nodes.HasPreference():
                return self._is_among(self._with_preference(condition))
            case nodes.HasTrait():
                return dialect_functions.in_set(self.scope.id, self._with_trait(condition))
            case nodes.HasConsent():
                return self._is_among(sources.consents(self.schema, condition.topic, True, self.before))
            case nodes.InAudience():
                return self._visit(condition.condition)
            case nodes.RandomShare():
                return self._random_share(condition)
            case nodes.Everyone():
                return true()
            case _:
                assert_never(condition)

    def _base_set(self, condition: Condition) -> tuple[Scope, list[Condition], float]:
        """Return the scope to select from, the parts left to test in it, and their selectivity."""
        parts = self._planner.parts(condition)
        driving = self._planner.driving(parts)
        if driving is not None:
            parts.remove(driving)
            ids = self._driving_ids(driving).subquery().c[0]
            scope = replace(self.scope, id=ids, base=Base.SUBQUERY)
            return scope, parts, self._planner.selectivity(driving)
        totals = self.schema.source(BOUGHT).summary
        if totals is not None and planner.only_buyers(condition):
            # The totals are a narrow table, and exclude most buyers without a look at their lines.
            return replace(self.scope, id=totals.customer, base=Base.BUYERS), parts, self.scope.selectivity
        return self.scope, parts, self.scope.selectivity

    def _driving_ids(self, driving: Condition) -> Select[Any]:
        """Return the ids that a driving part selects, each once."""
        if isinstance(driving, nodes.HasTrait):
            return select(self._with_trait(driving).subquery()).distinct()
        if isinstance(driving, nodes.HasPreference):
            return self._with_preference(driving).distinct()
        assert isinstance(driving, nodes.ActivityCondition)
        return self._activities.ids(driving).distinct()

    def _all(self, condition: nodes.All) -> Clause:
        parts = self._planner.parts(condition)
        driving = self._planner.driving(parts)
        if driving is None:
            return self._and(parts, self.scope.selectivity)
        parts.remove(driving)
        return and_(self._visit(driving), self._and(parts, self._planner.selectivity(driving)))

    def _and(self, parts: list[Condition], selectivity: float) -> Clause:
        """Return the clause that is true where all parts hold. Each is compiled in a scope that the others narrow."""
        compiler = self
        if selectivity < 1 or any(isinstance(part, NARROWING) for part in parts):
            compiler = self._in(replace(self.scope, prefiltered=True, selectivity=selectivity))
        # The customer's row is looked up once for all conditions on it.
        has_row = self.scope.base is Base.CUSTOMERS
        on_row = tuple(part for part in parts if not has_row and planner.needs_only_row(part))
        others = [part for part in parts if part not in on_row]
        joined = [nodes.All(0, on_row)] if len(on_row) > 1 else on_row
        return expressions.conjunction(compiler._visit(part) for part in [*others, *joined])

    def _visit(self, condition: Condition) -> Clause:
        """Return the clause of a part, over the customer's row if it is needed and not in the base set."""
        if self.scope.base is Base.CUSTOMERS or not planner.needs_only_row(condition):
            return self.clause(condition)
        customer = self.schema.customer
        clause = self.within(self.scope.ids).clause(condition)
        return exists(select(literal(1)).where(customer.c.id == self.scope.id, clause).correlate_except(customer))

    def _count(self, condition: nodes.Count) -> Clause:
        if not condition.unseen:
            return expressions.compare_column(self._count_true(condition), condition.comparison)
        certain, possible = (replace(self, denied=denied)._count_true(condition) for denied in (False, True))
        low, high = (possible, certain) if self.denied else (certain, possible)
        return expressions.between(low, high, comparison.interval_of(condition.comparison))

    def _count_true(self, condition: nodes.Count) -> ColumnElement[int]:
        parts = self._planner.by_cost(condition.parts)
        return expressions.total(case((self._visit(part), 1), else_=0) for part in parts)

    def _fact(self, condition: nodes.FactIs) -> Clause:
        column = facts.fact_column(self.schema.customer, condition.fact)
        if condition.fact.type is FactType.date and not condition.fact.own:
            return expressions.days(column, condition.comparison, self.zone)
        return expressions.compare_column(column, condition.comparison)

    def _activity(self, condition: nodes.ActivityCondition) -> Clause:
        if rewritten := planner.rewrite_days_since_last(condition, self.as_of):
            return self.clause(rewritten)
        recorded = self._activities.clause(condition)
        if not condition.unseen or (condition.grows and not self.denied):
            return recorded
        tracked = self._is_among(sources.tracked_customers(self.schema, self.before))
        return or_(recorded, not_(tracked)) if self.denied else and_(recorded, tracked)

    def _random_share(self, condition: nodes.RandomShare) -> Clause:
        bucket = bucketing.assigner(condition.salt).part(self.schema.customer.c.lot)
        clause: Clause = bucket < condition.parts
        return clause

    def _in(self, scope: Scope) -> Compiler:
        return replace(self, among=scope)

    @property
    def _planner(self) -> Planner:
        return Planner(self.schema, self.statistics, self.as_of)

    @property
    def _activities(self) -> ActivityClauses:
        return ActivityClauses(self._planner, self.scope, self.as_of, self.zone)

    def _is_among(self, ids: Select[Any]) -> Clause:
        """Return whether the customer is among these: by a set for all customers, by one look-up for each of a few."""
        if self.scope.selectivity == 1:
            return dialect_functions.in_set(self.scope.id, ids)
        (customer,) = ids.selected_columns
        return exists(ids.where(customer == self.scope.id).correlate_except(customer.table))

    def _with_trait(self, condition: nodes.HasTrait) -> CompoundSelect[Any]:
        """Return the ids of customers who stated the trait, or of whom it was inferred and who did not contradict."""
        stated = self._with_stated(condition.name, condition.closure.implying, holds=True)
        inferred = (self._with_inferred(condition, value, implied) for value, implied in condition.closure.sources)
        return union_all(stated, *inferred)

    def _with_inferred(self, condition: nodes.HasTrait, value: str, implied: Sequence[str]) -> Select[Any]:
        """Return those with the trait `value` who stated neither another value nor a denial of what it implies."""
        trait, preference = self.schema.trait.c, self.schema.preference
        overruled = select(preference.c.customer_id).where(
            preference.c.name == condition.name,
            or_(preference.c.holds.is_(True), expressions.equals_any(preference.c.value, implied)),
        )
        return select(trait.customer_id).where(
            trait.name == condition.name,
            trait.value == value,
            trait.confidence >= condition.confidence,
            trait.customer_id.not_in(overruled),
        )

    def _with_preference(self, condition: nodes.HasPreference) -> Select[Any]:
        closure = condition.closure
        if condition.says:
            return self._with_stated(condition.name, closure.implying, holds=True)
        denied = self._with_stated(condition.name, closure.implied, holds=False)
        if closure.sources == ((closure.value, (closure.value,)),):
            return denied  # one row says either yes or no
        (customer,) = denied.selected_columns
        preference = self.schema.preference.alias()
        stated = self._with_stated(condition.name, closure.implying, holds=True, preference=preference)
        return denied.where(customer.not_in(stated))

    def _with_stated(
        self, name: str, values: Sequence[str], holds: bool, preference: FromClause | None = None
    ) -> Select[Any]:
        """Return the ids of customers who stated that one of the values of a preference holds, or does not."""
        table = self.schema.preference if preference is None else preference
        return select(table.c.customer_id).where(
            table.c.name == name,
            expressions.equals_any(table.c.value, values),
            table.c.holds.is_(holds),
        )
