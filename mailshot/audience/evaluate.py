"""Evaluates a condition for one customer in plain Python, and records why.

It must agree with the compiled SQL on every customer: tests compare them on generated rules and populations. Start at
`Evaluator.verdict`. The second half finds the clause that decided between two verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeAlias, assert_never
from zoneinfo import ZoneInfo

from mailshot.audience import describe, nodes
from mailshot.audience.nodes import Condition
from mailshot.facts import comparison, time_zones
from mailshot.facts.comparison import format_value
from mailshot.profile import bucketing, lifecycle, returns
from mailshot.profile.activity import BOUGHT, MEASURES, RETURNED, ActivityKind
from mailshot.profile.customer import Activity, Profile
from mailshot.profile.implications import decided_answer, stated_answer

UNSEEN = "unknown without consent to tracking"
CustomerCondition: TypeAlias = (
    nodes.FactIs
    | nodes.Dated
    | nodes.InLifecycle
    | nodes.HasPreference
    | nodes.HasTrait
    | nodes.HasConsent
    | nodes.RandomShare
)
NOT = "not "


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a condition for one customer."""

    holds: bool
    #: The condition in English.
    words: str
    #: What the profile contains, as in '2 times, last 2026-03-01'; '' for groups.
    found: str
    #: The condition's line in its file.
    line: int
    parts: tuple[Verdict, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        body: dict[str, Any] = {"holds": self.holds, "says": self.words, "found": self.found, "line": self.line}
        return {**body, "parts": [part.as_dict() for part in self.parts]} if self.parts else body


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Evaluates conditions for one profile as of one moment.

    Opens and clicks of customers who do not consent to tracking are unknown. The unknown makes no rule true: neither
    "opened" nor "never opened". So below a 'not' (`denied`) the unknown counts as true, which is the lower bound of
    Kleene's three-valued logic.
    """

    profile: Profile
    as_of: datetime
    #: The company's time zone.
    zone: ZoneInfo
    denied: bool = False

    def verdict(self, condition: Condition) -> Verdict:
        """Return the verdict on a condition, with the verdicts on its parts."""
        match condition:
            case nodes.ActivityCondition():
                return self._activity(condition)
            case nodes.All():
                parts = tuple(map(self.verdict, condition.parts))
                return self._result(condition, all(part.holds for part in parts), _tally(parts), parts)
            case nodes.Any():
                parts = tuple(map(self.verdict, condition.parts))
                return self._result(condition, any(part.holds for part in parts), _tally(parts), parts)
            case nodes.Not():
                return self._not(condition)
            case nodes.Count():
                return self._count(condition)
            case nodes.InAudience():
                part = self.verdict(condition.condition)
                return self._result(condition, part.holds, "", (part,))
            case nodes.Everyone():
                return self._result(condition, True, "")
            case _:
                return self._about_customer(condition)

    def _about_customer(self, condition: CustomerCondition) -> Verdict:
        """Return the verdict on a condition that has no parts and reads no activities but the lifecycle's."""
        match condition:
            case nodes.FactIs():
                value = condition.fact.typed(self.profile.facts.get(condition.fact.name), self.zone)
                return self._result(condition, condition.comparison.holds(value), format_value(value))
            case nodes.Dated():
                return self._dated(condition)
            case nodes.InLifecycle():
                return self._lifecycle(condition)
            case nodes.HasPreference():
                return self._preference(condition)
            case nodes.HasTrait():
                return self._trait(condition)
            case nodes.HasConsent():
                given = self.profile.consents.get(condition.topic)
                answer = "never asked" if given is None else "given" if given else "withdrawn"
                return self._result(condition, bool(given), answer)
            case nodes.RandomShare():
                bucket = bucketing.assigner(condition.salt).part(self.profile.lot)
                return self._result(condition, bucket < condition.parts, f"bucket {bucket / 100:.2f}%")
            case _:
                assert_never(condition)

    def _count(self, condition: nodes.Count) -> Verdict:
        parts = tuple(map(self.verdict, condition.parts))
        if not condition.unseen:
            holding = Decimal(sum(part.holds for part in parts))
            return self._result(condition, condition.comparison.holds(holding), _tally(parts), parts)
        certain, possible = (
            sum(replace(self, denied=denied).verdict(part).holds for part in condition.parts)
            for denied in (False, True)
        )
        low, high = (possible, certain) if self.denied else (certain, possible)
        interval = comparison.interval_of(condition.comparison)
        return self._result(condition, interval.reaches(low) and interval.spares(high), _tally(parts), parts)

    def _not(self, condition: nodes.Not) -> Verdict:
        part = replace(self, denied=not self.denied).verdict(condition.part)
        if isinstance(condition.part, nodes.ActivityCondition):
            return self._result(condition, not part.holds, part.found)
        return self._result(condition, not part.holds, "", (part,))

    def _dated(self, condition: nodes.Dated) -> Verdict:
        zone = self.zone_of(condition.local)
        value = condition.fact.typed(self.profile.facts.get(condition.fact.name), zone)
        day = value if isinstance(value, date) else None
        today = self.as_of.astimezone(zone).date()
        return self._result(condition, condition.when.holds(day, today), f"{format_value(day)}, today {today}")

    def _lifecycle(self, condition: nodes.InLifecycle) -> Verdict:
        moments = [line.at for line in self._activities(BOUGHT) if line.at < self.as_of]
        first, last = (min(moments), max(moments)) if moments else (None, None)
        stage = lifecycle.stage(first, last, self.as_of.astimezone(self.zone), condition.thresholds)
        since = f", last purchase {last.astimezone(self.zone).date()}" if last else ""
        return self._result(condition, stage in condition.stages, f"{stage}{since}")

    def _preference(self, condition: nodes.HasPreference) -> Verdict:
        answer = stated_answer(self.profile.preferences, condition.name, condition.closure)
        holds = answer is not None and answer[0] is condition.says
        return self._result(condition, holds, _stated(answer, condition.value) if answer else "never stated")

    def _trait(self, condition: nodes.HasTrait) -> Verdict:
        answer = decided_answer(self.profile.preferences, condition.name, condition.closure)
        if answer is not None:
            evidence = f"{_stated(answer, condition.value)}, which wins over what was inferred"
            return self._result(condition, answer[0], evidence)
        inferred = self.profile.inferred(condition.name, condition.closure)
        if inferred is None:
            return self._result(condition, False, "not inferred")
        value, trait = inferred
        source = "" if value == condition.value else f"{value} implies it: "
        evidence = f"{source}confidence {trait.confidence:.3f}: {trait.words}"
        return self._result(condition, trait.confidence >= condition.confidence, evidence)

    def _activity(self, condition: nodes.ActivityCondition) -> Verdict:
        recorded = self._of_lines(condition, self.fitting(condition))
        if self.profile.tracked or not condition.unseen:
            return recorded
        if condition.grows and recorded.holds and not self.denied:
            return recorded
        return replace(recorded, holds=self.denied, found=f"{UNSEEN}; seen: {recorded.found}")

    def _of_lines(self, condition: nodes.ActivityCondition, lines: list[Activity]) -> Verdict:
        returned = self._returned_orders(condition)
        if not condition.measures:
            return self._result(condition, bool(lines), self._summary(lines) + returned)
        if not lines:
            return self._result(condition, condition.matches_empty, "none" + returned)
        values = self.measured(condition, lines)
        holds = all(aggregate.comparison.holds(value) for aggregate, value in values.items())
        measurements = ", ".join(_aggregate_words(aggregate.name, value) for aggregate, value in values.items())
        return self._result(condition, holds, measurements + returned)

    def fitting(self, condition: nodes.ActivityCondition) -> list[Activity]:
        """Return the customer's activities that match the condition's fields, products and window."""
        return self._fitting(condition, self._activities(condition.history))

    def _fitting(self, condition: nodes.ActivityCondition, lines: Iterable[Activity]) -> list[Activity]:
        start, end = condition.window.bounds(self.as_of, self.zone_of(condition.window.local))
        return [line for line in lines if _fits(line, condition, start, end)]

    def _returned_orders(self, condition: nodes.ActivityCondition) -> str:
        """Return from how many orders items that would match were returned, in words; '' for none."""
        if condition.history is not BOUGHT:
            return ""
        bought = returns.kept_purchases(self.profile.histories.get(BOUGHT.kept_as, ()))
        returned = self._fitting(condition, (line for line in bought if not line.stands(self.as_of)))
        orders = len({line.occasion for line in returned})
        return f" (items returned from {orders} order{'s' * (orders > 1)})" if orders else ""

    def measured(self, condition: nodes.ActivityCondition, lines: list[Activity]) -> dict[nodes.Aggregate, Decimal]:
        """Return the value of each aggregate of the condition; nothing if there are no lines."""
        return {aggregate: self._value(aggregate.name, lines) for aggregate in condition.measures} if lines else {}

    def zone_of(self, local: bool) -> ZoneInfo:
        """Return the customer's own time zone, or the company's."""
        return time_zones.find_zone(self.profile.facts.get("time_zone"), self.zone) if local else self.zone

    def _activities(self, kind: ActivityKind) -> Sequence[Activity]:
        """Return all activities of one kind; of purchases only those that had not been returned yet."""
        lines = self.profile.histories.get(kind.kept_as, ())
        if kind is RETURNED:
            return returns.returned(lines)
        return [line for line in returns.kept_purchases(lines) if line.stands(self.as_of)] if kind is BOUGHT else lines

    def _value(self, aggregate: str, lines: list[Activity]) -> Decimal:
        spent = sum((line.amount or Decimal() for line in lines), Decimal())
        orders = len({line.occasion for line in lines})
        values: dict[str, Callable[[], Decimal | int]] = {
            "times": lambda: orders,
            "items": lambda: sum((line.quantity or Decimal() for line in lines), Decimal()),
            "amount": lambda: spent,
            "distinct_products": lambda: len({line.product["key"] for line in lines if line.product}),
            "days_since_last": lambda: self._days(max(line.at for line in lines)),
            "days_since_first": lambda: self._days(min(line.at for line in lines)),
            "average_order": lambda: spent / orders,
        }
        return Decimal(values[aggregate]())

    def _days(self, since: datetime) -> int:
        return (self.as_of.astimezone(UTC) - since.astimezone(UTC)).days

    def _summary(self, lines: list[Activity]) -> str:
        """Return how often and when last, as in '2 times, last 2026-03-01: Carrots'."""
        if not lines:
            return "none"
        last = max(lines, key=lambda line: line.at)
        times = len({line.occasion for line in lines})
        values = [str(value) for value in last.about.values() if value]
        if last.product:
            values = [str(last.product.get("name") or last.product["key"])]
        about = f": {', '.join(values)}" if values else ""
        return f"{times} time{'s' * (times > 1)}, last {last.at.astimezone(self.zone).date()}{about}"

    def _result(self, condition: Condition, holds: bool, found: str, parts: tuple[Verdict, ...] = ()) -> Verdict:
        return Verdict(holds, describe.describe(condition), found, condition.line, parts)


def _fits(line: Activity, condition: nodes.ActivityCondition, start: datetime | None, end: datetime) -> bool:
    inside = line.at < end and (start is None or line.at >= start)
    fields = all(comparison.holds(fact.typed(line.about.get(fact.name))) for fact, comparison in condition.fields)
    products = condition.products
    return inside and fields and (not products.filters or (line.product is not None and products.matches(line.product)))


def _aggregate_words(aggregate: str, value: Decimal) -> str:
    if aggregate == "times":
        return "once" if value == 1 else f"{format_value(value)} times"
    return f"{MEASURES[aggregate]} {format_value(value)}"


def _stated(answer: tuple[bool, str], value: str) -> str:
    """Return what the customer stated, and from which other value it follows."""
    holds, stated_value = answer
    if stated_value == value:
        return f"stated: {format_value(holds)}"
    return f"stated: {stated_value}, which {'implies it' if holds else 'rules it out'}"


def _tally(parts: tuple[Verdict, ...]) -> str:
    return f"{sum(part.holds for part in parts)} of {len(parts)} hold"


@dataclass(frozen=True, slots=True)
class Clause:
    """A leaf of a verdict; `holds` and `words` include the 'not' around it."""

    words: str
    found: str
    holds: bool

    def at(self, when: str) -> str:
        """Return 'not now: lifecycle is active (lapsed, last purchase 2017-10-02)'."""
        value = f" ({self.found})" if self.found else ""
        if not self.holds and self.words.startswith(NOT):
            return f"{when}: {self.words.removeprefix(NOT)}{value}"
        return f"{'' if self.holds else NOT}{when}: {self.words}{value}"


def deciding_clause(before: Verdict, after: Verdict) -> str:
    """Return in words which clause decided between two verdicts that differ.

    Preferably one that only one side has; otherwise one that kept the customer out.
    """
    out, into = (before, after) if after.holds else (after, before)
    out_when, in_when = ("before", "now") if after.holds else ("now", "before")
    outs, ins = list(deciding(out)), list(deciding(into))
    known_in, known_out = ({clause.words for clause in _leaves(side)} for side in (into, out))
    for clause in outs:
        if clause.words not in known_in:
            return clause.at(out_when)
    for clause in ins:
        if clause.words not in known_out:
            return clause.at(in_when)
    # The same words on both sides: their meaning, the moment or the profile is different.
    return next((clause.at(out_when) for clause in outs if clause not in ins), outs[0].at(out_when))


def deciding(verdict: Verdict, denied: bool = False) -> Iterator[Clause]:
    """Yield the leaves that decide a verdict, in the order of the rule."""
    if not verdict.parts:
        yield _clause(verdict, denied)
        return
    agreeing = [part for part in verdict.parts if part.holds == verdict.holds]
    # Only a 'not' has no part with its own result.
    for part in agreeing or verdict.parts:
        yield from deciding(part, denied is bool(agreeing))


def _leaves(verdict: Verdict, denied: bool = False) -> Iterator[Clause]:
    if not verdict.parts:
        yield _clause(verdict, denied)
    negated = bool(verdict.parts) and all(part.holds != verdict.holds for part in verdict.parts)
    for part in verdict.parts:
        yield from _leaves(part, denied is not negated)


def _clause(verdict: Verdict, denied: bool) -> Clause:
    description = f"{NOT}{verdict.words}" if denied else verdict.words
    return Clause(description, verdict.found, verdict.holds is not denied)
