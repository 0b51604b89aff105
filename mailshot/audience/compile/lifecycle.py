"""Lifecycle stages as SQL clauses on a buyer's totals.

Prospects have no totals: `activity.ActivityClauses.lifecycle` negates `bought` for them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import and_, func, not_, or_, select

from mailshot.audience.compile import expressions
from mailshot.audience.compile.dialect_functions import Clause, Column
from mailshot.audience.compile.sources import ActivitySource, CustomerTotals
from mailshot.profile.lifecycle import Stage, Thresholds

#: Together they need no comparison of the first purchase.
NEW_OR_ACTIVE = frozenset({Stage.new, Stage.active})


@dataclass(frozen=True, slots=True)
class LifecycleClauses:
    """Compiles stages as of one moment."""

    #: Orders or lines, with totals.
    source: ActivitySource
    as_of: datetime
    #: A first purchase since then makes a customer new.
    new: datetime
    #: A last purchase before this moment makes a customer lapsing, before the next one lapsed.
    lapsing: datetime
    lapsed: datetime

    @classmethod
    def of(cls, source: ActivitySource, thresholds: Thresholds, as_of: datetime, zone: ZoneInfo) -> LifecycleClauses:
        now = as_of.astimezone(zone)
        spans = (thresholds.new, thresholds.lapsing, thresholds.lapsed)
        new, lapsing, lapsed = (span.before(now).astimezone(UTC) for span in spans)
        # 26 weeks can begin before 6 months do: a lapsed customer is neither lapsing nor active.
        return cls(source, as_of, new, max(lapsing, lapsed), lapsed)

    def any_of(self, stages: Collection[Stage]) -> Clause:
        """Return the clause that is true for buyers in any of these stages."""
        distinct: list[Stage | None] = list(dict.fromkeys(stages))
        if set(distinct) >= NEW_OR_ACTIVE:
            distinct = [None, *(stage for stage in distinct if stage not in NEW_OR_ACTIVE)]
        return expressions.disjunction(map(self._stage, distinct))

    def _stage(self, stage: Stage | None) -> Clause:
        """Return the clause for one stage; None is new or active."""
        summary = self.source.summary
        assert summary is not None
        by_lines = self._of_lines(self._reached(stage, func.min(self.source.at), func.max(self.source.at)))
        # A customer with no later purchase and no return is decided by the totals alone.
        settled = and_(summary.last_at < self.as_of, summary.returned_at.is_(None))
        by_totals = and_(settled, self._reached(stage, summary.first_at, summary.last_at))
        return and_(self._possible(stage, summary), or_(by_totals, and_(not_(settled), by_lines)))

    @property
    def bought(self) -> Clause:
        """The clause that is true for customers who had bought something that they had not returned."""
        summary = self.source.summary
        assert summary is not None
        kept = self._of_lines(func.count() > 0)
        return and_(summary.first_at < self.as_of, or_(summary.returned_at.is_(None), kept))

    def _of_lines(self, aggregate: Clause) -> Clause:
        """Return whether an aggregate is true for the purchases of one customer that were not returned."""
        summary = self.source.summary
        assert summary is not None
        lines = (self.source.customer == summary.customer, self.source.at < self.as_of, *self.source.stands(self.as_of))
        return expressions.is_true(select(aggregate).where(*lines).correlate(summary.table).scalar_subquery())

    def _possible(self, stage: Stage | None, summary: CustomerTotals) -> Clause:
        """Return what holds of the totals of every customer in a stage, also after later purchases and returns."""
        if stage is Stage.lapsed:
            return summary.first_at < self.lapsed
        earliest = self.lapsed if stage is Stage.lapsing else self.lapsing
        return and_(summary.last_at >= earliest, summary.first_at < self.as_of)

    def _reached(self, stage: Stage | None, first: Column, last: Column) -> Clause:
        reached = {
            None: [last >= self.lapsing],
            Stage.lapsed: [last < self.lapsed],
            Stage.lapsing: [last >= self.lapsed, last < self.lapsing],
            Stage.active: [last >= self.lapsing, first < self.new],
            Stage.new: [last >= self.lapsing, first >= self.new],
        }
        return and_(*reached[stage])
