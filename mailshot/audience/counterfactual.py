"""Finds what would have to change for a condition to hold (or not) for one customer.

Of several alternatives it returns the one with the fewest changes. A change that cannot happen (in the past, or of a
random share) counts as FIXED_COST changes that can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_never

from mailshot.audience import describe, nodes
from mailshot.audience.evaluate import Evaluator
from mailshot.audience.nodes import Condition
from mailshot.facts.comparison import format_value
from mailshot.facts.periods import Span, Window
from mailshot.profile.activity import MEASURES
from mailshot.profile.customer import Activity

#: More than the number of conditions in any rule.
FIXED_COST = 1_000


@dataclass(frozen=True, slots=True)
class NeededChange:
    """One condition that would have to be different."""

    #: What would have to hold, in English.
    wanted: str
    #: What the profile contains instead; '' for nothing.
    found: str
    #: How the change could come about; '' for nothing.
    hint: str = ""
    #: It can never come about.
    fixed: bool = False

    def words(self) -> str:
        now = f" (now: {self.found})" if self.found else ""
        return f"{self.wanted}{now}{f': {self.hint}' if self.hint else ''}"


Changes = tuple[NeededChange, ...]


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Finds the needed changes for one customer."""

    judge: Evaluator

    def changes(self, condition: Condition, wanted: bool = True) -> Changes:
        """Return the fewest changes after which `condition` would hold (or not, with `wanted` false)."""
        # The unknown must bring about neither that the condition holds nor that it does not.
        strict = Counterfactual(replace(self.judge, denied=not wanted))
        return () if strict.judge.verdict(condition).holds is wanted else strict._needed(condition, wanted)

    def _needed(self, condition: Condition, wanted: bool) -> Changes:
        match condition:
            case nodes.All():
                return self._cheapest(condition.parts, len(condition.parts) if wanted else 1, wanted)
            case nodes.Any():
                return self._cheapest(condition.parts, 1 if wanted else len(condition.parts), wanted)
            case nodes.Count():
                return self._count(condition, wanted)
            case nodes.Not():
                return self.changes(condition.part, not wanted)
            case nodes.InAudience():
                return self.changes(condition.condition, wanted)
            case nodes.ActivityCondition():
                return (self._activity(condition, wanted),)
            case nodes.RandomShare():
                return (self._change(condition, wanted, "assigned at random, fixed per customer", fixed=True),)
            case nodes.Everyone():
                return (self._change(condition, wanted, fixed=True),)
            case nodes.FactIs() | nodes.Dated() | nodes.InLifecycle():
                return (self._change(condition, wanted),)
            case nodes.HasPreference() | nodes.HasTrait() | nodes.HasConsent():
                return (self._change(condition, wanted),)
            case _:
                assert_never(condition)

    def _count(self, condition: nodes.Count, wanted: bool) -> Changes:
        """Return the changes that lead to the nearest number of parts that satisfies the comparison."""
        holding = sum(self.judge.verdict(part).holds for part in condition.parts)
        numbers = range(len(condition.parts) + 1)
        targets = [number for number in numbers if condition.comparison.holds(Decimal(number)) is wanted]
        if not targets:
            return (self._change(condition, wanted, fixed=True),)
        target = min(targets, key=lambda number: abs(number - holding))
        more = target > holding
        changes = self._cheapest(condition.parts, target if more else len(condition.parts) - target, more)
        return changes or self._cheapest(self._unknown(condition.parts), len(condition.parts), False)

    def _unknown(self, parts: Iterable[Condition]) -> list[Condition]:
        """Return the parts of which it is not known whether they hold."""
        bounds = [replace(self.judge, denied=denied) for denied in (False, True)]
        return [part for part in parts if len({evaluator.verdict(part).holds for evaluator in bounds}) > 1]

    def _activity(self, condition: nodes.ActivityCondition, wanted: bool) -> NeededChange:
        if condition.unseen and not self.judge.profile.tracked and not (wanted and condition.grows):
            return self._change(condition, wanted, "the customer must consent to tracking first")
        lines = self.judge.fitting(condition)
        hint = self._missing(condition, lines) if wanted else self._expiry(condition, lines)
        return self._change(condition, wanted, hint, fixed=_is_over(condition.window))

    def _cheapest(self, parts: Iterable[Condition], number: int, wanted: bool) -> Changes:
        """Return the cheapest changes after which `number` of the parts hold (or not)."""
        alternatives = sorted((self.changes(part, wanted) for part in parts), key=_cost)
        return tuple(dict.fromkeys(change for changes in alternatives[:number] for change in changes))

    def _change(self, condition: Condition, wanted: bool, hint: str = "", fixed: bool = False) -> NeededChange:
        description = describe.describe(condition).removesuffix(":")
        return NeededChange(
            description if wanted else f"not {description}", self.judge.verdict(condition).found, hint, fixed
        )

    def _missing(self, condition: nodes.ActivityCondition, lines: list[Activity]) -> str:
        """Return how much is missing, aggregate by aggregate."""
        if not condition.measures:
            return "once is enough"
        values = self.judge.measured(condition, lines)
        gaps = (_gap(aggregate, values.get(aggregate), self.judge.as_of) for aggregate in condition.measures)
        return "; ".join(filter(None, gaps))

    def _expiry(self, condition: nodes.ActivityCondition, lines: list[Activity]) -> str:
        """Return when all activities will be outside the window, if there are no more; '' if that does not apply."""
        start = condition.window.start
        if condition.measures or not lines or not isinstance(start, Span):
            return ""
        zone = self.judge.zone_of(condition.window.local)
        leaves = start.after(max(line.at for line in lines).astimezone(zone))
        return f"true from {leaves.date() + timedelta(days=1)} on without further activity"


def _cost(changes: Changes) -> int:
    return sum(FIXED_COST if change.fixed else 1 for change in changes)


def _is_over(window: Window) -> bool:
    """Return whether a window ends on a date, so that activities in it can no longer change."""
    return window.end is not None and not isinstance(window.end, Span)


def _gap(aggregate: nodes.Aggregate, value: Decimal | None, as_of: datetime) -> str:
    """Return how far the value of an aggregate is from its comparison; '' if it satisfies it, or is unknown."""
    current, how = value or Decimal(), aggregate.comparison
    if value is not None and how.holds(value):
        return ""
    describe_gap = _GAPS.get(how.operator)
    bound = how.values[0]
    if describe_gap is None or not isinstance(bound, Decimal):
        return ""
    rises = how.operator in ("at_least", "more_than", "between")
    if aggregate.name == "days_since_last" and value is not None and rises:
        return f"so on {(as_of + timedelta(days=int(bound - current))).date()}, if nothing comes before"
    if aggregate.name in ("days_since_last", "days_since_first", "average_order"):
        return ""
    return describe_gap(bound - current, MEASURES[aggregate.name])


def _counted(gap: Decimal, what: str) -> str:
    return "once" if what == MEASURES["times"] and gap == 1 else f"{format_value(gap)} {what}"


_GAPS: dict[str, Callable[[Decimal, str], str]] = {
    "at_least": lambda gap, what: f"{_counted(gap, what)} more",
    "more_than": lambda gap, what: f"over {_counted(gap, what)} more",
    "exactly": lambda gap, what: f"{_counted(abs(gap), what)} {'more' if gap > 0 else 'less'}",
    "at_most": lambda gap, what: f"{_counted(-gap, what)} less",
    "less_than": lambda gap, what: f"over {_counted(-gap, what)} less",
    "between": lambda gap, what: f"{_counted(gap, what)} more" if gap > 0 else "",
}
