"""Owns judging one customer in plain Python and saying why; refuses to fetch the profile.

It must agree with the compiled SQL on every customer: tests compare them on generated rules and populations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import singledispatchmethod
from typing import Any
from zoneinfo import ZoneInfo

from mailshot.audience import describe, nodes
from mailshot.audience.nodes import Condition
from mailshot.facts import comparison, time_zones
from mailshot.facts.comparison import show
from mailshot.profile import bucketing, lifecycle, returns
from mailshot.profile.activity import BOUGHT, MEASURES, RETURNED, ActivityKind
from mailshot.profile.customer import Activity, Profile
from mailshot.profile.implications import decided, stated

UNSEEN = "unknown without consent to tracking"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a condition holds, what it says, what was found of the customer, and the verdicts on its parts."""

    holds: bool
    words: str
    found: str
    line: int
    parts: tuple[Verdict, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"holds": self.holds, "says": self.words, "found": self.found, "line": self.line}
        return {**shown, "parts": [part.as_dict() for part in self.parts]} if self.parts else shown


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Judges one profile as of one moment.

    Of customers who do not consent to tracking it is unknown whether they open or click. What is unknown makes no rule
    true: neither "opened" nor "never opened". `denied` is set below a 'not': for that reason the unknown counts as true
    there (the lower bound of Kleene's three-valued logic).
    """

    profile: Profile
    as_of: datetime
    zone: ZoneInfo
    denied: bool = False

    @singledispatchmethod
    def verdict(self, condition: Condition) -> Verdict:
        """Return the verdict on `condition`, with one for each of its parts."""
        raise TypeError(condition)

    @verdict.register
    def _all(self, condition: nodes.All) -> Verdict:
        parts = tuple(map(self.verdict, condition.parts))
        return self._told(condition, all(part.holds for part in parts), _tally(parts), parts)

    @verdict.register
    def _any(self, condition: nodes.Any) -> Verdict:
        parts = tuple(map(self.verdict, condition.parts))
        return self._told(condition, any(part.holds for part in parts), _tally(parts), parts)

    @verdict.register
    def _count(self, condition: nodes.Count) -> Verdict:
        parts = tuple(map(self.verdict, condition.parts))
        if not condition.unseen:
            holding = Decimal(sum(part.holds for part in parts))
            return self._told(condition, condition.comparison.holds(holding), _tally(parts), parts)
        few, many = (
            sum(replace(self, denied=denied).verdict(part).holds for part in condition.parts)
            for denied in (False, True)
        )
        # As many hold as are certain, or up to as many as are possible.
        wanted, (low, high) = comparison.of(condition.comparison), (many, few) if self.denied else (few, many)
        return self._told(condition, wanted.reaches(low) and wanted.spares(high), _tally(parts), parts)

    @verdict.register
    def _not(self, condition: nodes.Not) -> Verdict:
        part = replace(self, denied=not self.denied).verdict(condition.part)
        if isinstance(condition.part, nodes.ActivityCondition):
            return self._told(condition, not part.holds, part.found)
        return self._told(condition, not part.holds, "", (part,))

    @verdict.register
    def _everyone(self, condition: nodes.Everyone) -> Verdict:
        return self._told(condition, True, "")

    @verdict.register
    def _fact(self, condition: nodes.FactIs) -> Verdict:
        value = condition.fact.typed(self.profile.facts.get(condition.fact.name), self.zone)
        return self._told(condition, condition.comparison.holds(value), show(value))

    @verdict.register
    def _dated(self, condition: nodes.Dated) -> Verdict:
        zone = self.zone_of(condition.local)
        value = condition.fact.typed(self.profile.facts.get(condition.fact.name), zone)
        day = value if isinstance(value, date) else None
        today = self.as_of.astimezone(zone).date()
        return self._told(condition, condition.when.holds(day, today), f"{show(day)}, today {today}")

    @verdict.register
    def _stage(self, condition: nodes.InLifecycle) -> Verdict:
        days = [line.at for line in self._history(BOUGHT) if line.at < self.as_of]
        first, last = (min(days), max(days)) if days else (None, None)
        found = lifecycle.stage(first, last, self.as_of.astimezone(self.zone), condition.thresholds)
        since = f", last purchase {last.astimezone(self.zone).date()}" if last else ""
        return self._told(condition, found in condition.stages, f"{found}{since}")

    @verdict.register
    def _prefers(self, condition: nodes.HasPreference) -> Verdict:
        answer = stated(self.profile.preferences, condition.name, condition.closure)
        holds = answer is not None and answer[0] is condition.says
        return self._told(condition, holds, _said(answer, condition.value) if answer else "never stated")

    @verdict.register
    def _shows(self, condition: nodes.HasTrait) -> Verdict:
        answer = decided(self.profile.preferences, condition.name, condition.closure)
        if answer is not None:
            return self._told(
                condition, answer[0], f"{_said(answer, condition.value)}, which wins over what was inferred"
            )
        inferred = self.profile.inferred(condition.name, condition.closure)
        if inferred is None:
            return self._told(condition, False, "not inferred")
        value, trait = inferred
        source = "" if value == condition.value else f"{value} implies it: "
        found = f"{source}confidence {trait.confidence:.3f}: {trait.words}"
        return self._told(condition, trait.confidence >= condition.confidence, found)

    @verdict.register
    def _consents(self, condition: nodes.HasConsent) -> Verdict:
        given = self.profile.consents.get(condition.topic)
        found = "never asked" if given is None else "given" if given else "withdrawn"
        return self._told(condition, bool(given), found)

    @verdict.register
    def _member(self, condition: nodes.InAudience) -> Verdict:
        part = self.verdict(condition.condition)
        return self._told(condition, part.holds, "", (part,))

    @verdict.register
    def _share(self, condition: nodes.RandomShare) -> Verdict:
        part = bucketing.assigner(condition.salt).part(self.profile.lot)
        return self._told(condition, part < condition.parts, f"stands at {part / 100:.2f}%")

    @verdict.register
    def _happened(self, condition: nodes.ActivityCondition) -> Verdict:
        lines = self.fitting(condition)
        seen = self._of_lines(condition, lines)
        if self.profile.tracked or not condition.unseen:
            return seen
        if self.denied:
            return replace(seen, holds=True, found=f"{UNSEEN}; seen: {seen.found}")
        if condition.grows and seen.holds:
            return seen
        return replace(seen, holds=False, found=f"{UNSEEN}; seen: {seen.found}")

    def _of_lines(self, condition: nodes.ActivityCondition, lines: list[Activity]) -> Verdict:
        if not condition.measures:
            return self._told(condition, bool(lines), self._seen(lines) + self._sent_back(condition))
        if not lines:
            return self._told(condition, condition.matches_empty, "none" + self._sent_back(condition))
        values = self.measured(condition, lines)
        holds = all(measure.comparison.holds(value) for measure, value in values.items())
        found = ", ".join(_measure(measure.name, value) for measure, value in values.items())
        return self._told(condition, holds, found + self._sent_back(condition))

    def fitting(self, condition: nodes.ActivityCondition) -> list[Activity]:
        """Return what happened to the customer that the condition means."""
        return self._fitting(condition, self._history(condition.history))

    def _fitting(self, condition: nodes.ActivityCondition, lines: Iterable[Activity]) -> list[Activity]:
        start, end = condition.window.bounds(self.as_of, self.zone_of(condition.window.local))
        return [line for line in lines if _fits(line, condition, start, end)]

    def _sent_back(self, condition: nodes.ActivityCondition) -> str:
        """Say of how many orders that a condition on purchases means something was sent back."""
        if condition.history is not BOUGHT:
            return ""
        bought = returns.bought(self.profile.histories.get(BOUGHT.kept_as, ()))
        gone = self._fitting(condition, (line for line in bought if not line.stands(self.as_of)))
        orders = len({line.occasion for line in gone})
        return f" (items returned from {orders} order{'s' * (orders > 1)})" if orders else ""

    def measured(self, condition: nodes.ActivityCondition, lines: list[Activity]) -> dict[nodes.Aggregate, Decimal]:
        """Return what each measure of the condition comes to; nothing without a happening."""
        return {measure: self._measured(measure.name, lines) for measure in condition.measures} if lines else {}

    def zone_of(self, local: bool) -> ZoneInfo:
        """Return the customer's own time zone, or the company's."""
        return time_zones.of(self.profile.facts.get("time_zone"), self.zone) if local else self.zone

    def _history(self, history: ActivityKind) -> Sequence[Activity]:
        """Return all of one kind; of purchases only those that had not been sent back yet."""
        lines = self.profile.histories.get(history.kept_as, ())
        if history is RETURNED:
            return returns.returned(lines)
        return [line for line in returns.bought(lines) if line.stands(self.as_of)] if history is BOUGHT else lines

    def _measured(self, name: str, lines: list[Activity]) -> Decimal:
        spent = sum((line.amount or Decimal() for line in lines), Decimal())
        orders = len({line.occasion for line in lines})
        measured: dict[str, Callable[[], Decimal | int]] = {
            "times": lambda: orders,
            "items": lambda: sum((line.quantity or Decimal() for line in lines), Decimal()),
            "amount": lambda: spent,
            "distinct_products": lambda: len({line.product["key"] for line in lines if line.product}),
            "days_since_last": lambda: self._days(max(line.at for line in lines)),
            "days_since_first": lambda: self._days(min(line.at for line in lines)),
            "average_order": lambda: spent / orders,
        }
        return Decimal(measured[name]())

    def _days(self, since: datetime) -> int:
        return (self.as_of.astimezone(UTC) - since.astimezone(UTC)).days

    def _seen(self, lines: list[Activity]) -> str:
        if not lines:
            return "none"
        last = max(lines, key=lambda line: line.at)
        times = len({line.occasion for line in lines})
        named = [str(value) for value in last.about.values() if value]
        if last.product:
            named = [str(last.product.get("name") or last.product["key"])]
        about = f": {', '.join(named)}" if named else ""
        return f"{times} time{'s' * (times > 1)}, last {last.at.astimezone(self.zone).date()}{about}"

    def _told(self, condition: Condition, holds: bool, found: str, parts: tuple[Verdict, ...] = ()) -> Verdict:
        return Verdict(holds, describe.describe(condition), found, condition.line, parts)


def _fits(line: Activity, condition: nodes.ActivityCondition, start: datetime | None, end: datetime) -> bool:
    inside = line.at < end and (start is None or line.at >= start)
    fields = all(comparison.holds(fact.typed(line.about.get(fact.name))) for fact, comparison in condition.fields)
    products = condition.products
    meant = not products.filters or (line.product is not None and products.matches(line.product))
    return inside and fields and meant


def _measure(name: str, value: Decimal) -> str:
    if name == "times":
        return "once" if value == 1 else f"{show(value)} times"
    return f"{MEASURES[name]} {show(value)}"


def _said(answer: tuple[bool, str], value: str) -> str:
    """Say what the customer stated, and from which other word it follows."""
    holds, word = answer
    if word == value:
        return f"stated: {show(holds)}"
    return f"stated: {word}, which {'implies it' if holds else 'rules it out'}"


def _tally(parts: tuple[Verdict, ...]) -> str:
    return f"{sum(part.holds for part in parts)} of {len(parts)} hold"


NOT = "not "


@dataclass(frozen=True, slots=True)
class Clause:
    """A leaf of a verdict; `holds` and `words` are those of the leaf with the 'not' around it."""

    words: str
    found: str
    holds: bool

    def said(self, when: str) -> str:
        """Return 'not now: lifecycle is active (lapsed, last purchase 2017-10-02)'."""
        found = f" ({self.found})" if self.found else ""
        if not self.holds and self.words.startswith(NOT):
            return f"{when}: {self.words.removeprefix(NOT)}{found}"
        return f"{'' if self.holds else NOT}{when}: {self.words}{found}"


def deciding_clause(before: Verdict, after: Verdict) -> str:
    """Say which clause decided, given verdicts that differ: one that only one side has, else why they were out."""
    out, into = (before, after) if after.holds else (after, before)
    out_when, in_when = ("before", "now") if after.holds else ("now", "before")
    outs, ins = list(deciding(out)), list(deciding(into))
    known_in, known_out = ({clause.words for clause in _leaves(side)} for side in (into, out))
    for clause in outs:
        if clause.words not in known_in:
            return clause.said(out_when)
    for clause in ins:
        if clause.words not in known_out:
            return clause.said(in_when)
    # The same words on both sides: what they mean, or the moment they are asked at, is another.
    return next((clause.said(out_when) for clause in outs if clause not in ins), outs[0].said(out_when))


def deciding(verdict: Verdict, denied: bool = False) -> Iterator[Clause]:
    """Give the leaves that make a verdict what it is, in the order they are written."""
    if not verdict.parts:
        yield _clause(verdict, denied)
        return
    agreeing = [part for part in verdict.parts if part.holds == verdict.holds]
    # Only a 'not' has no part that is as it is itself.
    for part in agreeing or verdict.parts:
        yield from deciding(part, denied is bool(agreeing))


def _leaves(verdict: Verdict, denied: bool = False) -> Iterator[Clause]:
    if not verdict.parts:
        yield _clause(verdict, denied)
    turned = bool(verdict.parts) and all(part.holds != verdict.holds for part in verdict.parts)
    for part in verdict.parts:
        yield from _leaves(part, denied is not turned)


def _clause(verdict: Verdict, denied: bool) -> Clause:
    words = f"{NOT}{verdict.words}" if denied else verdict.words
    return Clause(words, verdict.found, verdict.holds is not denied)
