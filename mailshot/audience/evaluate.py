"""Owns judging one customer in plain Python and saying why; refuses to fetch the profile.

It must agree with the compiled SQL on every customer: tests compare them on generated rules and populations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import singledispatchmethod
from typing import Any
from zoneinfo import ZoneInfo

from mailshot.audience import describe, nodes
from mailshot.audience.nodes import Condition
from mailshot.profile import lifecycle, lot
from mailshot.profile.comparison import show
from mailshot.profile.customer import Line, Profile
from mailshot.profile.lifecycle import DEFAULT, Thresholds


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
class Judge:
    """Judges one profile as of one moment."""

    profile: Profile
    as_of: datetime
    zone: ZoneInfo
    thresholds: Thresholds = DEFAULT

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
    def _not(self, condition: nodes.Not) -> Verdict:
        part = self.verdict(condition.part)
        if isinstance(condition.part, nodes.Bought):
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
    def _stage(self, condition: nodes.InStage) -> Verdict:
        days = [line.at for line in self.profile.purchases if line.at < self.as_of]
        first, last = (min(days), max(days)) if days else (None, None)
        found = lifecycle.stage(first, last, self.as_of, self.thresholds)
        since = f", last purchase {last.astimezone(self.zone).date()}" if last else ""
        return self._told(condition, found in condition.stages, f"{found}{since}")

    @verdict.register
    def _prefers(self, condition: nodes.Prefers) -> Verdict:
        said = self.profile.preferences.get((condition.name, condition.value))
        return self._told(
            condition, said is condition.says, "never stated" if said is None else f"stated: {show(said)}"
        )

    @verdict.register
    def _shows(self, condition: nodes.Shows) -> Verdict:
        holds = self.profile.holds(condition.name, condition.value, condition.confidence)
        stated = self.profile.stated(condition.name, condition.value)
        if stated is not None:
            return self._told(condition, holds, f"stated: {show(stated)}, which wins over what was inferred")
        inferred = self.profile.traits.get((condition.name, condition.value))
        found = f"confidence {inferred.confidence:.3f}: {inferred.words}" if inferred else "not inferred"
        return self._told(condition, holds, found)

    @verdict.register
    def _consents(self, condition: nodes.Consents) -> Verdict:
        given = self.profile.consents.get(condition.topic)
        found = "never asked" if given is None else "given" if given else "withdrawn"
        return self._told(condition, bool(given), found)

    @verdict.register
    def _member(self, condition: nodes.Member) -> Verdict:
        part = self.verdict(condition.condition)
        return self._told(condition, part.holds, "", (part,))

    @verdict.register
    def _share(self, condition: nodes.Share) -> Verdict:
        part = lot.draw(condition.salt).part(self.profile.lot)
        return self._told(condition, part < condition.parts, f"stands at {part / 100:.2f}%")

    @verdict.register
    def _bought(self, condition: nodes.Bought) -> Verdict:
        start, end = condition.window.bounds(self.as_of, self.zone)
        lines = [line for line in self.profile.purchases if _fits(line, condition, start, end)]
        if not condition.measures:
            return self._told(condition, bool(lines), self._seen(lines))
        if not lines:
            return self._told(condition, condition.holds_for_none, "none")
        values = {measure: self._measured(measure.name, lines) for measure in condition.measures}
        holds = all(measure.comparison.holds(value) for measure, value in values.items())
        found = ", ".join(f"{nodes.MEASURES[measure.name]} {show(value)}" for measure, value in values.items())
        return self._told(condition, holds, found)

    def _measured(self, name: str, lines: list[Line]) -> Decimal:
        spent = sum((line.amount for line in lines), Decimal())
        orders = len({line.order for line in lines})
        measured: dict[str, Callable[[], Decimal | int]] = {
            "times": lambda: orders,
            "items": lambda: sum((line.quantity for line in lines), Decimal()),
            "amount": lambda: spent,
            "distinct_products": lambda: len({line.product["key"] for line in lines}),
            "days_since_last": lambda: self._days(max(line.at for line in lines)),
            "days_since_first": lambda: self._days(min(line.at for line in lines)),
            "average_order": lambda: spent / orders,
        }
        return Decimal(measured[name]())

    def _days(self, since: datetime) -> int:
        return (self.as_of.astimezone(UTC) - since.astimezone(UTC)).days

    def _seen(self, lines: list[Line]) -> str:
        if not lines:
            return "none"
        last = max(lines, key=lambda line: line.at)
        name = last.product.get("name") or last.product["key"]
        orders = len({line.order for line in lines})
        return f"in {orders} order{'s' * (orders > 1)}, last {last.at.astimezone(self.zone).date()}: {name}"

    def _told(self, condition: Condition, holds: bool, found: str, parts: tuple[Verdict, ...] = ()) -> Verdict:
        return Verdict(holds, describe.words(condition), found, condition.line, parts)


def _fits(line: Line, condition: nodes.Bought, start: datetime | None, end: datetime) -> bool:
    inside = line.at < end and (start is None or line.at >= start)
    channel = not condition.channels or line.channel in condition.channels
    return inside and channel and condition.products.matches(line.product)


def _tally(parts: tuple[Verdict, ...]) -> str:
    return f"{sum(part.holds for part in parts)} of {len(parts)} hold"
