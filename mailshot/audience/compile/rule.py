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

from sqlalchemy import Select, and_, case, not_, or_, select, true

from mailshot.audience import nodes
from mailshot.audience.compile import columns, dates, then, universe
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
    """

    schema: Schema
    as_of: datetime
    zone: ZoneInfo
    before: datetime | None = None
    share: Share = few
    beside: bool = False
    buyers: bool = False

    def select(self, condition: Condition) -> Select[Any]:
        """Return the select of the ids of all customers that satisfy `condition`."""
        summary = self.schema.source(BOUGHT).summary
        if summary is not None and universe.only_buyers(condition):
            # Their sums are a narrow table, and say of most whether a second look is worth it.
            return select(summary.customer.label("id")).where(replace(self, buyers=True).clause(condition))
        return select(self.schema.customer.c.id).where(self.clause(condition))

    @singledispatchmethod
    def clause(self, condition: Condition) -> Clause:
        """Return a clause over the customer table that is true (never NULL) where `condition` holds."""
        raise TypeError(condition)

    @clause.register
    def _all(self, condition: nodes.All) -> Clause:
        # Where one part names few customers, the others need only look at those.
        driving = [part for part in condition.parts if self._histories.drives(part)][:1]
        narrowing = driving or [part for part in condition.parts if isinstance(part, NARROWING)]
        others = replace(self, beside=True) if narrowing else self
        return columns.all_of((self if part in driving else others).clause(part) for part in _deepest_last(condition))

    @clause.register
    def _any(self, condition: nodes.Any) -> Clause:
        return columns.any_of(map(self.clause, _deepest_last(condition)))

    @clause.register
    def _count(self, condition: nodes.Count) -> Clause:
        holding = columns.total(case((self.clause(part), 1), else_=0) for part in _deepest_last(condition))
        return columns.compare(holding, condition.comparison)

    @clause.register
    def _not(self, condition: nodes.Not) -> Clause:
        return not_(self.clause(condition.part))

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
        return self._in(self._stated(condition.name, condition.value, condition.says))

    @clause.register
    def _shows(self, condition: nodes.Shows) -> Clause:
        trait = self.schema.trait.c
        inferred = select(trait.customer_id).where(
            trait.name == condition.name, trait.value == condition.value, trait.confidence >= condition.confidence
        )
        preference = self.schema.preference.c
        silenced = select(preference.customer_id).where(
            preference.name == condition.name,
            or_(preference.holds.is_(True), preference.value == condition.value),
            then.stated(self.schema, self.before),
        )
        stated = self._stated(condition.name, condition.value, holds=True)
        return or_(self._in(stated), and_(self._in(inferred), not_(self._in(silenced))))

    @clause.register
    def _consents(self, condition: nodes.Consents) -> Clause:
        return self._in(then.consents(self.schema, condition.topic, True, self.before))

    @clause.register
    def _member(self, condition: nodes.Member) -> Clause:
        return self.clause(condition.condition)

    @clause.register
    def _share(self, condition: nodes.Share) -> Clause:
        clause: Clause = lot.draw(condition.salt).part(self.schema.customer.c.lot) < condition.parts
        return clause

    @property
    def _histories(self) -> Histories:
        return Histories(self.schema, self.as_of, self.zone, self.share, self.beside, self.buyers)

    def _in(self, ids: Select[Any]) -> Clause:
        return self._histories.id.in_(ids)

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
