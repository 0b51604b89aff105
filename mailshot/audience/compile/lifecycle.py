"""Owns the lifecycle as clauses over the sums of a buyer's purchases; refuses prospects, who have none."""

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

FRESH = frozenset({Stage.new, Stage.active})


@dataclass(frozen=True, slots=True)
class LifecycleClauses:
    """Compiles stages as of one moment: bought first since `new`; silent since `lapsing`, or even `lapsed`."""

    source: ActivitySource
    as_of: datetime
    new: datetime
    lapsing: datetime
    lapsed: datetime

    @classmethod
    def of(cls, source: ActivitySource, thresholds: Thresholds, as_of: datetime, zone: ZoneInfo) -> LifecycleClauses:
        now = as_of.astimezone(zone)
        told = (thresholds.new, thresholds.lapsing, thresholds.lapsed)
        new, lapsing, lapsed = (each.before(now).astimezone(UTC) for each in told)
        # 26 weeks can begin before 6 months do: whoever has lapsed is not lapsing, let alone active.
        return cls(source, as_of, new, max(lapsing, lapsed), lapsed)

    def any_of(self, stages: Collection[Stage]) -> Clause:
        """Return the clause that is true of the buyers in any of these stages."""
        known: list[Stage | None] = list(dict.fromkeys(stages))
        if set(known) >= FRESH:
            # New or active: no need to know which.
            known = [None, *(stage for stage in known if stage not in FRESH)]
        return expressions.any_of(map(self._one, known))

    def _one(self, stage: Stage | None) -> Clause:
        summary = self.source.summary
        assert summary is not None
        then = self._of_lines(self._reached(stage, func.min(self.source.at), func.max(self.source.at)))
        # A customer with no purchase since "today" and no return is judged by the first and last purchase alone.
        settled = and_(summary.last_at < self.as_of, summary.returned_at.is_(None))
        whole = and_(settled, self._reached(stage, summary.first_at, summary.last_at))
        return and_(self._possible(stage, summary), or_(whole, and_(not_(settled), then)))

    @property
    def bought(self) -> Clause:
        """The clause that is true of those who had bought something by then that they had not returned."""
        summary = self.source.summary
        assert summary is not None
        kept = self._of_lines(func.count() > 0)
        return and_(summary.first_at < self.as_of, or_(summary.returned_at.is_(None), kept))

    def _of_lines(self, shown: Clause) -> Clause:
        """Return whether that is true of the purchases that one customer had made by then, and not returned."""
        summary = self.source.summary
        assert summary is not None
        mine = (self.source.customer == summary.customer, self.source.at < self.as_of, *self.source.stands(self.as_of))
        return expressions.is_true(select(shown).where(*mine).correlate(summary.table).scalar_subquery())

    def _possible(self, stage: Stage | None, summary: CustomerTotals) -> Clause:
        """Return what holds of the sums of everybody in a stage, whatever was bought or returned since "today"."""
        if stage is Stage.lapsed:
            return summary.first_at < self.lapsed
        silent = self.lapsed if stage is Stage.lapsing else self.lapsing
        return and_(summary.last_at >= silent, summary.first_at < self.as_of)

    def _reached(self, stage: Stage | None, first: Column, last: Column) -> Clause:
        reached = {
            None: [last >= self.lapsing],
            Stage.lapsed: [last < self.lapsed],
            Stage.lapsing: [last >= self.lapsed, last < self.lapsing],
            Stage.active: [last >= self.lapsing, first < self.new],
            Stage.new: [last >= self.lapsing, first >= self.new],
        }
        return and_(*reached[stage])
