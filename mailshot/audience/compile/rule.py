"""Owns turning conditions into SQL; refuses to know the database: the tables and `as_of` are given.

Every value travels as a bound parameter. Parts of `all` and `any` become flat lists, and each purchase condition one
grouped subquery over the customer key, so that depth stays far below SQLite's limit of 100.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import singledispatchmethod
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    distinct,
    func,
    not_,
    or_,
    select,
    true,
)

from mailshot.audience import nodes
from mailshot.audience.compile import columns
from mailshot.audience.compile.columns import Clause
from mailshot.audience.nodes import Condition
from mailshot.profile import lot
from mailshot.profile.catalogue import FactType
from mailshot.profile.lifecycle import DEFAULT, Stage, Thresholds
from mailshot.profile.products import Selection
from mailshot.profile.window import EVER, Window


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables a rule is compiled against."""

    customer: FromClause
    product: FromClause
    purchase: FromClause
    consent: FromClause
    preference: FromClause
    trait: FromClause


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles conditions as of one moment, with the company's zone for dates that a rule names."""

    schema: Schema
    as_of: datetime
    zone: ZoneInfo
    thresholds: Thresholds = DEFAULT

    def select(self, condition: Condition) -> Select[Any]:
        """Return the select of the ids of all customers that satisfy `condition`."""
        return select(self.schema.customer.c.id).where(self.clause(condition))

    @singledispatchmethod
    def clause(self, condition: Condition) -> Clause:
        """Return a clause over the customer table that is true (never NULL) where `condition` holds."""
        raise TypeError(condition)

    @clause.register
    def _all(self, condition: nodes.All) -> Clause:
        return and_(*map(self.clause, condition.parts))

    @clause.register
    def _any(self, condition: nodes.Any) -> Clause:
        return or_(*map(self.clause, condition.parts))

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
    def _stage(self, condition: nodes.InStage) -> Clause:
        return or_(*map(self._one_stage, condition.stages))

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
        )
        stated = self._stated(condition.name, condition.value, holds=True)
        return or_(self._in(stated), and_(self._in(inferred), not_(self._in(silenced))))

    @clause.register
    def _consents(self, condition: nodes.Consents) -> Clause:
        consent = self.schema.consent.c
        given = select(consent.customer_id).where(consent.topic == condition.topic, consent.given.is_(True))
        return self._in(given)

    @clause.register
    def _member(self, condition: nodes.Member) -> Clause:
        return self.clause(condition.condition)

    @clause.register
    def _share(self, condition: nodes.Share) -> Clause:
        clause: Clause = lot.draw(condition.salt).part(self.schema.customer.c.lot) < condition.parts
        return clause

    @clause.register
    def _bought(self, condition: nodes.Bought) -> Clause:
        lines = self._lines(condition.products, condition.window, condition.channels)
        if not condition.measures:
            return self._in(lines.distinct())
        having = and_(*(self._measure(measure) for measure in condition.measures))
        grouped = lines.group_by(self.schema.purchase.c.customer_id)
        if condition.holds_for_none:
            # Those without a line satisfy it too, so name the ones who do not.
            return not_(self._in(grouped.having(not_(having))))
        return self._in(grouped.having(having))

    def _in(self, ids: Select[Any]) -> Clause:
        return self.schema.customer.c.id.in_(ids)

    def _stated(self, name: str, value: str, holds: bool) -> Select[Any]:
        preference = self.schema.preference.c
        return select(preference.customer_id).where(
            preference.name == name, preference.value == value, preference.holds.is_(holds)
        )

    def _lines(self, products: Selection, window: Window, channels: tuple[str, ...]) -> Select[Any]:
        purchase, product = self.schema.purchase.c, self.schema.product
        start, end = window.bounds(self.as_of, self.zone)
        lines = select(purchase.customer_id).where(purchase.at < end)
        if start is not None:
            lines = lines.where(purchase.at >= start)
        if channels:
            lines = lines.where(purchase.channel.in_(channels))
        if products.filters:
            lines = lines.where(
                purchase.product_id.in_(select(product.c.id).where(columns.product_clause(product, products)))
            )
        return lines

    def _measure(self, measure: nodes.Measure) -> Clause:
        purchase = self.schema.purchase.c
        if measure.name in ("days_since_last", "days_since_first"):
            edge = func.max(purchase.at) if measure.name == "days_since_last" else func.min(purchase.at)
            return columns.age(edge, measure.comparison, self.as_of)
        orders = func.count(distinct(purchase.order_key))
        if measure.name == "average_order":
            # Compared as spent >= bound * orders: exact where a division would round.
            return columns.scaled(func.sum(purchase.amount, type_=purchase.amount.type), orders, measure.comparison)
        counted: dict[str, Callable[[], ColumnElement[Any]]] = {
            "times": lambda: orders,
            "items": lambda: func.sum(purchase.quantity, type_=purchase.quantity.type),
            "amount": lambda: func.sum(purchase.amount, type_=purchase.amount.type),
            "distinct_products": lambda: func.count(distinct(purchase.product_id)),
        }
        return columns.compare(counted[measure.name](), measure.comparison)

    def _one_stage(self, stage: Stage) -> Clause:
        purchase = self.schema.purchase.c
        ever = self._lines(Selection(), EVER, ())
        if stage is Stage.prospect:
            return not_(self._in(ever.distinct()))
        first, last = func.min(purchase.at), func.max(purchase.at)
        lapsed, lapsing = self.as_of - self.thresholds.lapsed, self.as_of - self.thresholds.lapsing
        new = self.as_of - self.thresholds.new
        having = {
            Stage.lapsed: (last < lapsed,),
            Stage.lapsing: (last >= lapsed, last < lapsing),
            Stage.active: (last >= lapsing, first < new),
            Stage.new: (last >= lapsing, first >= new),
        }[stage]
        return self._in(ever.group_by(purchase.customer_id).having(and_(*having)))
