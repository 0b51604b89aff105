"""Owns what would have to change for a condition to hold (or not) of one customer; refuses to judge.

Of several ways the one with the fewest changes is told. What cannot change (the past, a lot) counts as far more than
anything that can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import singledispatchmethod

from mailshot.audience import describe, nodes
from mailshot.audience.evaluate import Evaluator
from mailshot.audience.nodes import Condition
from mailshot.facts.comparison import show
from mailshot.facts.periods import Span, Window
from mailshot.profile.activity import MEASURES
from mailshot.profile.customer import Activity

FIXED = 1_000


@dataclass(frozen=True, slots=True)
class NeededChange:
    """One thing that would have to be so, what is found instead, and how it could come about."""

    wanted: str
    found: str
    hint: str = ""
    fixed: bool = False

    def words(self) -> str:
        now = f" (now: {self.found})" if self.found else ""
        return f"{self.wanted}{now}{f': {self.hint}' if self.hint else ''}"


Changes = tuple[NeededChange, ...]


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Says what would have to change for one customer, as one judge sees them."""

    judge: Evaluator

    def changes(self, condition: Condition, wanted: bool = True) -> Changes:
        """Return the fewest changes after which `condition` would hold (or not, when not `wanted`)."""
        # What is unknown does not bring about what is wanted, be it that the condition holds or that it does not.
        advisor = Counterfactual(replace(self.judge, denied=not wanted))
        return () if advisor.judge.verdict(condition).holds is wanted else advisor._needed(condition, wanted)

    @singledispatchmethod
    def _needed(self, condition: Condition, wanted: bool) -> Changes:
        return (self._change(condition, wanted),)

    @_needed.register
    def _all(self, condition: nodes.All, wanted: bool) -> Changes:
        return self._some(condition.parts, len(condition.parts) if wanted else 1, wanted)

    @_needed.register
    def _any(self, condition: nodes.Any, wanted: bool) -> Changes:
        return self._some(condition.parts, 1 if wanted else len(condition.parts), wanted)

    @_needed.register
    def _not(self, condition: nodes.Not, wanted: bool) -> Changes:
        return self.changes(condition.part, not wanted)

    @_needed.register
    def _member(self, condition: nodes.InAudience, wanted: bool) -> Changes:
        return self.changes(condition.condition, wanted)

    @_needed.register
    def _count(self, condition: nodes.Count, wanted: bool) -> Changes:
        """The nearest number of holding parts that satisfies the comparison is aimed at."""
        holding = sum(self.judge.verdict(part).holds for part in condition.parts)
        fitting = [n for n in range(len(condition.parts) + 1) if condition.comparison.holds(Decimal(n)) is wanted]
        if not fitting:
            return (self._change(condition, wanted, fixed=True),)
        aim = min(fitting, key=lambda n: abs(n - holding))
        changes = self._some(condition.parts, aim if aim > holding else len(condition.parts) - aim, aim > holding)
        return changes or self._some(self._unknown(condition.parts), len(condition.parts), False)

    def _unknown(self, parts: Iterable[Condition]) -> list[Condition]:
        """Return the parts of which it is not known whether they hold."""
        either = [replace(self.judge, denied=denied) for denied in (False, True)]
        return [part for part in parts if len({judge.verdict(part).holds for judge in either}) > 1]

    @_needed.register
    def _everyone(self, condition: nodes.Everyone, wanted: bool) -> Changes:
        return (self._change(condition, wanted, fixed=True),)

    @_needed.register
    def _share(self, condition: nodes.RandomShare, wanted: bool) -> Changes:
        return (self._change(condition, wanted, "the lot decides, for good", fixed=True),)

    @_needed.register
    def _happened(self, condition: nodes.ActivityCondition, wanted: bool) -> Changes:
        lines = self.judge.fitting(condition)
        if condition.unseen and not self.judge.profile.tracked and not (wanted and condition.grows):
            return (self._change(condition, wanted, "the customer must consent to tracking first"),)
        hint = self._more(condition, lines) if wanted else self._gone(condition, lines)
        return (self._change(condition, wanted, hint, fixed=_past(condition.window)),)

    def _some(self, parts: Iterable[Condition], number: int, wanted: bool) -> Changes:
        """Return the cheapest changes after which `number` of the parts are as wanted."""
        ways = sorted((self.changes(part, wanted) for part in parts), key=_cost)
        return tuple(dict.fromkeys(change for way in ways[:number] for change in way))

    def _change(self, condition: Condition, wanted: bool, hint: str = "", fixed: bool = False) -> NeededChange:
        words = describe.describe(condition).removesuffix(":")
        return NeededChange(words if wanted else f"not {words}", self.judge.verdict(condition).found, hint, fixed)

    def _more(self, condition: nodes.ActivityCondition, lines: list[Activity]) -> str:
        """Say how much is missing, measure by measure."""
        if not condition.measures:
            return "once is enough"
        values = self.judge.measured(condition, lines)
        told = (_missing(measure, values.get(measure), self.judge.as_of) for measure in condition.measures)
        return "; ".join(filter(None, told))

    def _gone(self, condition: nodes.ActivityCondition, lines: list[Activity]) -> str:
        """Say when what happened will lie outside the window, if nothing more comes."""
        start = condition.window.start
        if condition.measures or not lines or not isinstance(start, Span):
            return ""
        zone = self.judge.zone_of(condition.window.local)
        leaves = start.after(max(line.at for line in lines).astimezone(zone))
        return f"so from {leaves.date() + timedelta(days=1)} on, if nothing more comes"


def _cost(way: Changes) -> int:
    return sum(FIXED if change.fixed else 1 for change in way)


def _past(window: Window) -> bool:
    """What lies between two days that are over can no longer change."""
    return window.end is not None and not isinstance(window.end, Span)


def _missing(measure: nodes.Aggregate, value: Decimal | None, as_of: datetime) -> str:
    found, how = value or Decimal(), measure.comparison
    if value is not None and how.holds(value):
        return ""
    told = _GAPS.get(how.operator)
    bound = how.values[0]
    if told is None or not isinstance(bound, Decimal):
        return ""
    if measure.name == "days_since_last" and value is not None and how.operator in ("at_least", "more_than", "between"):
        return f"so on {(as_of + timedelta(days=int(bound - found))).date()}, if nothing comes before"
    if measure.name in ("days_since_last", "days_since_first", "average_order"):
        return ""
    return told(bound - found, MEASURES[measure.name])


def _counted(gap: Decimal, what: str) -> str:
    return "once" if what == MEASURES["times"] and gap == 1 else f"{show(gap)} {what}"


_GAPS: dict[str, Callable[[Decimal, str], str]] = {
    "at_least": lambda gap, what: f"{_counted(gap, what)} more",
    "more_than": lambda gap, what: f"over {_counted(gap, what)} more",
    "exactly": lambda gap, what: f"{_counted(abs(gap), what)} {'more' if gap > 0 else 'less'}",
    "at_most": lambda gap, what: f"{_counted(-gap, what)} less",
    "less_than": lambda gap, what: f"over {_counted(-gap, what)} less",
    "between": lambda gap, what: f"{_counted(gap, what)} more" if gap > 0 else "",
}
