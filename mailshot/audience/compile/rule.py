"""Owns turning conditions into SQL; refuses to know the database: the tables and `as_of` are given.

Every value travels as a bound parameter. Long `all` and `any` become balanced trees, and what happened one grouped
subquery over the customer key, so that depth stays far below 100, the lowest limit an SQLite is built with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import singledispatchmethod
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Select, case, exists, literal, not_, or_, select, true, union_all

from mailshot.audience import nodes
from mailshot.audience.compile import columns, dates, order, then, universe
from mailshot.audience.compile.columns import Clause
from mailshot.audience.compile.histories import Histories, Share, few
from mailshot.audience.compile.schema import Schema
from mailshot.audience.nodes import Condition
from mailshot.profile import lot
from mailshot.profile.catalogue import FactType
from mailshot.profile.history import BOUGHT

# Conditions that are quickly looked up for each customer.
NARROWING = (nodes.FactIs, nodes.Dated, nodes.Shows, nodes.Prefers, nodes.Consents, nodes.Share)


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles conditions as of one moment, with the company's zone for dates that a rule names.

    `before` looks back: what customers said from then on is not heard yet. None hears all that was ever said.
    `beside`: other conditions narrow the customers down; `driven`: so far that few are left. `buyers`: they are looked
    for among the sums of purchases.
    """

    schema: Schema
    as_of: datetime
    zone: ZoneInfo
    before: datetime | None = None
    share: Share = few
    beside: bool = False
    driven: bool = False
    buyers: bool = False

    def select(self, condition: Condition) -> Select[Any]:
        """Return the select of the ids of all customers that satisfy `condition`."""
        summary = self.schema.source(BOUGHT).summary
        if summary is not None and universe.only_buyers(condition):
            # Their sums are a narrow table, and say of most whether a second look is worth it.
            return select(summary.customer.label("id")).where(replace(self, buyers=True)._part(condition))
        return select(self.schema.customer.c.id).where(self.clause(condition))

    @singledispatchmethod
    def clause(self, condition: Condition) -> Clause:
        """Return a clause over the customer table that is true (never NULL) where `condition` holds."""
        raise TypeError(condition)

    @clause.register
    def _all(self, condition: nodes.All) -> Clause:
        parts = order.arranged(order.conjuncts(condition), self._histories.effort)
        driving = next((part for part in parts if self._drives(part)), None)
        narrowing = driving or any(isinstance(part, NARROWING) for part in parts)
        others = replace(self, beside=True, driven=bool(driving)) if narrowing else self
        rows = [part for part in parts if self.buyers and universe.of_rows(part)]
        clauses = [(self if part is driving else others)._part(part) for part in parts if part not in rows]
        return columns.all_of([*clauses, *([self._part(nodes.All(condition.line, tuple(rows)))] if rows else [])])

    @clause.register
    def _any(self, condition: nodes.Any) -> Clause:
        return columns.any_of(map(self._part, order.arranged(condition.parts, self._histories.effort)))

    @clause.register
    def _count(self, condition: nodes.Count) -> Clause:
        parts = order.arranged(condition.parts, self._histories.effort)
        holding = columns.total(case((self._part(part), 1), else_=0) for part in parts)
        return columns.compare(holding, condition.comparison)

    @clause.register
    def _not(self, condition: nodes.Not) -> Clause:
        return not_(self._part(condition.part))

    @clause.register
    def _everyone(self, condition: nodes.Everyone) -> Clause:
        return true()

    @clause.register
    def _fact(self, condition: nodes.FactIs) -> Clause:
        column = columns.fact_column(self.schema.customer, condition.fact)
        if condition.fact.type is FactType.date and not condition.fact.own:
            return columns.days(column, condition.comparison, self.zone)
        return columns.compare(column, condition.comparison)

    @clause.register
    def _dated(self, condition: nodes.Dated) -> Clause:
        return dates.clause(self.schema.customer, condition, self.as_of, self.zone)

    @clause.register
    def _stage(self, condition: nodes.InStage) -> Clause:
        return self._histories.stage(condition)

    @clause.register
    def _happened(self, condition: nodes.Happened) -> Clause:
        return self._histories.happened(condition)

    @clause.register
    def _prefers(self, condition: nodes.Prefers) -> Clause:
        return self._among(self._stated(condition.name, condition.value, condition.says))

    @clause.register
    def _shows(self, condition: nodes.Shows) -> Clause:
        trait, preference = self.schema.trait.c, self.schema.preference.c
        silenced = select(preference.customer_id).where(
            preference.name == condition.name,
            or_(preference.holds.is_(True), preference.value == condition.value),
            then.stated(self.schema, self.before),
        )
        inferred = select(trait.customer_id).where(
            trait.name == condition.name,
            trait.value == condition.value,
            trait.confidence >= condition.confidence,
            trait.customer_id.not_in(silenced),
        )
        found: Clause = self._id.in_(union_all(self._stated(condition.name, condition.value, holds=True), inferred))
        return found

    @clause.register
    def _consents(self, condition: nodes.Consents) -> Clause:
        return self._among(then.consents(self.schema, condition.topic, True, self.before))

    @clause.register
    def _member(self, condition: nodes.Member) -> Clause:
        return self._part(condition.condition)

    @clause.register
    def _share(self, condition: nodes.Share) -> Clause:
        clause: Clause = lot.draw(condition.salt).part(self.schema.customer.c.lot) < condition.parts
        return clause

    def _part(self, condition: Condition) -> Clause:
        """Return the clause of a part, by way of the customer's row where it is needed and not at hand."""
        if not (self.buyers and universe.of_rows(condition)):
            return self.clause(condition)
        customer = self.schema.customer
        held = replace(self, buyers=False).clause(condition)
        return exists(select(literal(1)).where(customer.c.id == self._id, held).correlate_except(customer))

    def _drives(self, condition: Condition) -> bool:
        """Say whether a condition names few customers, who are found without looking at all."""
        return isinstance(condition, nodes.Shows | nodes.Prefers) or self._histories.drives(condition)

    @property
    def _histories(self) -> Histories:
        return Histories(self.schema, self.as_of, self.zone, self.share, self.beside, self.buyers)

    @property
    def _id(self) -> Any:
        # One condition drives; of the others no index leads to customers.
        return columns.unindexed(self._histories.id) if self.driven else self._histories.id

    def _among(self, ids: Select[Any]) -> Clause:
        """Return whether the customer is among these: a set, or a look at each of the few that are left."""
        if not self.driven:
            found: Clause = self._id.in_(ids)
            return found
        (customer,) = ids.selected_columns
        return exists(ids.where(customer == self._histories.id).correlate_except(customer.table))

    def _stated(self, name: str, value: str, holds: bool) -> Select[Any]:
        preference = self.schema.preference.c
        return select(preference.customer_id).where(
            preference.name == name,
            preference.value == value,
            preference.holds.is_(holds),
            then.stated(self.schema, self.before),
        )


def _deepest_last(condition: nodes.All | nodes.Any | nodes.Count) -> list[Condition]:
    """Return the parts so that the deepest adds least: databases read `a AND b AND c` as `(a AND b) AND c`."""
    return sorted(condition.parts, key=lambda part: part.depth)
