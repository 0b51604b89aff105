"""Owns turning conditions into SQL; refuses to know the database: the tables and `as_of` are given.

Every value travels as a bound parameter. Long `all` and `any` become balanced trees, and what happened one grouped
subquery over the customer key, so that depth stays far below 100, the lowest limit an SQLite is built with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import singledispatchmethod
from typing import Any
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
from mailshot.audience.compile import planner as universes
from mailshot.audience.compile.activity import LOOK, Histories
from mailshot.audience.compile.dialect_functions import Clause
from mailshot.audience.compile.planner import NoStatistics, Scope, Statistics
from mailshot.audience.compile.sources import Schema
from mailshot.audience.nodes import Condition
from mailshot.facts import comparison
from mailshot.facts.catalogue import FactType
from mailshot.profile import bucketing
from mailshot.profile.activity import BOUGHT

# Conditions that are quickly looked up for each customer.
NARROWING = (nodes.FactIs, nodes.Dated, nodes.HasTrait, nodes.HasPreference, nodes.HasConsent, nodes.RandomShare)
# What only few customers show or state is looked up first: at most such a share of them.
RARE = 0.1


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles conditions as of one moment, with the company's zone for dates that a rule names.

    `before` looks back: what customers said from then on is not heard yet. None hears all that was ever said.
    `statistics` choose the way to what happened, `beside` and `left` say what others leave (see `Histories`). `among`:
    where customers are looked for; None is the table of all. `denied` is set below a 'not', where what is unknown of
    customers who do not consent to tracking counts as true (see `Judge`).
    """

    schema: Schema
    as_of: datetime
    zone: ZoneInfo
    before: datetime | None = None
    statistics: Statistics = field(default_factory=NoStatistics)
    beside: bool = False
    left: float = 1.0
    among: Scope | None = None
    denied: bool = False

    def select(self, condition: Condition) -> Select[Any]:
        """Return the select of the ids of all customers that satisfy `condition`."""
        parts = self._arranged(condition)
        driving = self._driving(parts)
        if driving is not None:
            universe = self._found(driving)
            parts.remove(driving)
        elif universes.only_buyers(condition) and (summary := self.schema.source(BOUGHT).summary):
            # Their sums are a narrow table, and say of most whether a second look is worth it.
            universe = Scope(summary.customer, sums=True, ids=self.universe.ids)
        else:
            universe = self.universe
        left = self._weight(driving) if driving else self.left
        held = replace(self, among=universe)._joined(parts, left)
        known = () if universe.sums else (sources.not_erased(self.schema, universe.id),)  # the erased have no sums
        return select(universe.id.label("id")).where(held, *known, *universe.holds(universe.id))

    def within(self, ids: range | None) -> Compiler:
        """Return the same compiler for those of all customers whose id lies in a range, or for all."""
        return replace(self, among=Scope(self.schema.customer.c.id, rows=True, ids=ids))

    @singledispatchmethod
    def clause(self, condition: Condition) -> Clause:
        """Return a clause over those looked `among` that is true (never NULL) where `condition` holds."""
        raise TypeError(condition)

    @clause.register
    def _all(self, condition: nodes.All) -> Clause:
        parts = self._arranged(condition)
        driving = self._driving(parts)
        if driving is None:
            return self._joined(parts, self.left)
        parts.remove(driving)
        return and_(self._visit(driving), self._joined(parts, self._weight(driving)))

    @clause.register
    def _any(self, condition: nodes.Any) -> Clause:
        return expressions.any_of(map(self._visit, self._sorted(condition.parts)))

    @clause.register
    def _count(self, condition: nodes.Count) -> Clause:
        if not condition.unseen:
            return expressions.compare(self._holding(condition), condition.comparison)
        few, many = (replace(self, denied=denied)._holding(condition) for denied in (False, True))
        return expressions.between(*((many, few) if self.denied else (few, many)), comparison.of(condition.comparison))

    def _holding(self, condition: nodes.Count) -> ColumnElement[int]:
        return expressions.total(case((self._visit(part), 1), else_=0) for part in self._sorted(condition.parts))

    @clause.register
    def _not(self, condition: nodes.Not) -> Clause:
        return not_(replace(self, denied=not self.denied)._visit(condition.part))

    @clause.register
    def _everyone(self, condition: nodes.Everyone) -> Clause:
        return true()

    @clause.register
    def _fact(self, condition: nodes.FactIs) -> Clause:
        column = facts.fact_column(self.schema.customer, condition.fact)
        if condition.fact.type is FactType.date and not condition.fact.own:
            return expressions.days(column, condition.comparison, self.zone)
        return expressions.compare(column, condition.comparison)

    @clause.register
    def _dated(self, condition: nodes.Dated) -> Clause:
        return facts.clause(self.schema.customer, condition, self.as_of, self.zone)

    @clause.register
    def _stage(self, condition: nodes.InLifecycle) -> Clause:
        return self._histories.stage(condition)

    @clause.register
    def _happened(self, condition: nodes.ActivityCondition) -> Clause:
        if told := planner.rewrite_days_since_last(condition, self.as_of):
            return self.clause(told)
        seen = self._histories.happened(condition)
        if not condition.unseen or (condition.grows and not self.denied):
            return seen
        tracked = self._belongs(sources.tracked(self.schema, self.before))
        return or_(seen, not_(tracked)) if self.denied else and_(seen, tracked)

    @clause.register
    def _prefers(self, condition: nodes.HasPreference) -> Clause:
        return self._belongs(self._stated(condition))

    @clause.register
    def _shows(self, condition: nodes.HasTrait) -> Clause:
        return dialect_functions.in_set(self.universe.id, self._shown(condition))

    @clause.register
    def _consents(self, condition: nodes.HasConsent) -> Clause:
        return self._belongs(sources.consents(self.schema, condition.topic, True, self.before))

    @clause.register
    def _member(self, condition: nodes.InAudience) -> Clause:
        return self._visit(condition.condition)

    @clause.register
    def _share(self, condition: nodes.RandomShare) -> Clause:
        clause: Clause = bucketing.assigner(condition.salt).part(self.schema.customer.c.lot) < condition.parts
        return clause

    def _arranged(self, condition: Condition) -> list[Condition]:
        """Return what must hold for a condition to hold, in the order in which it is best asked."""
        return self._sorted(
            planner.conjuncts(condition, lambda part: planner.rewrite_days_since_last(part, self.as_of))
        )

    def _sorted(self, parts: Iterable[Condition]) -> list[Condition]:
        return planner.by_cost(parts, self._histories.effort)

    def _driving(self, parts: Iterable[Condition]) -> Condition | None:
        """Return the part that names the fewest customers, when they are found without looking at all."""
        return min((part for part in parts if self._drives(part)), key=self._weight, default=None)

    def _drives(self, part: Condition) -> bool:
        if isinstance(part, nodes.HasTrait | nodes.HasPreference):
            return self.statistics.share(part) <= RARE
        return self._histories.drives(part)

    def _weight(self, driving: Condition) -> float:
        """Return a share of lines: to look at those of the customers it names takes `LOOK` times as long."""
        share = self.statistics.share(driving)
        return share if isinstance(driving, nodes.ActivityCondition) else share / LOOK

    def _found(self, driving: Condition) -> Scope:
        """Return those whom a driving part names, each once."""
        if isinstance(driving, nodes.HasTrait):
            ids = select(self._shown(driving).subquery())
        elif isinstance(driving, nodes.HasPreference):
            ids = self._stated(driving)
        else:
            assert isinstance(driving, nodes.ActivityCondition)
            ids = self._histories.ids(driving)
        return Scope(ids.distinct().subquery().c[0], ids=self.universe.ids)

    def _joined(self, parts: list[Condition], left: float) -> Clause:
        """Return the clause that is true where all parts are, which narrow each other down."""
        narrowing = left < 1 or any(isinstance(part, NARROWING) for part in parts)
        compiler = replace(self, beside=True, left=left) if narrowing else self
        # What stands in the row is looked up once.
        rows = tuple(part for part in parts if not self.universe.rows and universes.of_rows(part))
        once = [nodes.All(0, rows)] if len(rows) > 1 else rows
        return expressions.all_of(
            compiler._visit(part) for part in [*(part for part in parts if part not in rows), *once]
        )

    def _visit(self, condition: Condition) -> Clause:
        """Return the clause of a part, by way of the customer's row where it is needed and not at hand."""
        if self.universe.rows or not universes.of_rows(condition):
            return self.clause(condition)
        customer = self.schema.customer
        held = self.within(self.universe.ids).clause(condition)
        return exists(select(literal(1)).where(customer.c.id == self.universe.id, held).correlate_except(customer))

    @property
    def universe(self) -> Scope:
        return self.among or Scope(self.schema.customer.c.id, rows=True)

    @property
    def _histories(self) -> Histories:
        return Histories(self.schema, self.as_of, self.zone, self.universe, self.statistics, self.beside, self.left)

    def _belongs(self, ids: Select[Any]) -> Clause:
        """Return whether the customer is among these: a set, or a look at each of the few that are left."""
        if self.left == 1:
            return dialect_functions.in_set(self.universe.id, ids)
        (customer,) = ids.selected_columns
        return exists(ids.where(customer == self.universe.id).correlate_except(customer.table))

    def _shown(self, condition: nodes.HasTrait) -> CompoundSelect[Any]:
        said = self._words(condition.name, condition.closure.implying, holds=True)
        sources = condition.closure.sources
        return union_all(said, *(self._inferred(condition, value, implied) for value, implied in sources))

    def _inferred(self, condition: nodes.HasTrait, value: str, implied: Sequence[str]) -> Select[Any]:
        """Return who shows the trait `value` and stated neither another value nor a denial of what it implies."""
        trait, preference = self.schema.trait.c, self.schema.preference
        silenced = select(preference.c.customer_id).where(
            preference.c.name == condition.name,
            or_(preference.c.holds.is_(True), expressions.equals_any(preference.c.value, implied)),
            sources.stated(preference, self.before),
        )
        return select(trait.customer_id).where(
            trait.name == condition.name,
            trait.value == value,
            trait.confidence >= condition.confidence,
            trait.customer_id.not_in(silenced),
        )

    def _stated(self, condition: nodes.HasPreference) -> Select[Any]:
        closure = condition.closure
        if condition.says:
            return self._words(condition.name, closure.implying, holds=True)
        denied = self._words(condition.name, closure.implied, holds=False)
        if closure.sources == ((closure.value, (closure.value,)),):
            return denied  # one row says either yes or no
        (customer,) = denied.selected_columns
        claimed = self._words(condition.name, closure.implying, holds=True, preference=self.schema.preference.alias())
        return denied.where(customer.not_in(claimed))

    def _words(
        self, name: str, values: Sequence[str], holds: bool, preference: FromClause | None = None
    ) -> Select[Any]:
        """Return who stated that one of the values of a preference holds, or does not."""
        table = self.schema.preference if preference is None else preference
        return select(table.c.customer_id).where(
            table.c.name == name,
            expressions.equals_any(table.c.value, values),
            table.c.holds.is_(holds),
            sources.stated(table, self.before),
        )
