"""Evaluates an audience or campaign as of past dates, and sums up what its customers then bought. Writes nothing.

Consents, preferences, suppressions, earlier mails and purchases count only if they are from before each date. What
has no history is listed in `backtest_notes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mailshot.audience.compile import Compiler
from mailshot.audience.nodes import Condition
from mailshot.audience.registry import Audience
from mailshot.campaign import plan
from mailshot.campaign.snapshot import Snapshot
from mailshot.errors import Refused
from mailshot.facts.periods import Span
from mailshot.facts.product_filters import ProductFilter
from mailshot.insight import backtest_notes
from mailshot.insight.backtest_notes import BacktestScope
from mailshot.rulebook.campaign import GoalDefinition
from mailshot.stats import proportions
from mailshot.stats.proportions import Estimate
from mailshot.store import audiences, backtests
from mailshot.store.backtests import BacktestGroup, Selection, Spending
from mailshot.store.engine import Connection, Store

Progress = Callable[[int, int], None]
ANYTHING, FORTNIGHT = ProductFilter(), Span(14, "day")
MONTH, YEAR = Span(1, "month"), Span(1, "year")
MAX_DATES = 400


@dataclass(frozen=True, slots=True)
class ResponseGoal:
    """The goal: purchases of `products` `within` a period after the date."""

    products: ProductFilter = ANYTHING
    within: Span = FORTNIGHT

    def words(self) -> str:
        return f"bought {self.products.words()} within {self.within}"


@dataclass(frozen=True)
class Subject:
    """The audience to evaluate, with its campaign if the subject is one."""

    name: str
    condition: Condition
    aim: ResponseGoal
    edition: Snapshot | None = None

    @classmethod
    def campaign(cls, edition: Snapshot) -> Subject:
        goal = edition.read.campaign.goal or GoalDefinition()
        return cls(edition.name, edition.read.audience.condition, ResponseGoal(edition.read.goal, goal.within), edition)

    @classmethod
    def audience(cls, audience: Audience) -> Subject:
        return cls(audience.name, audience.condition, ResponseGoal())

    @property
    def kind(self) -> str:
        return "campaign" if self.edition else "audience"

    @property
    def conditions(self) -> list[Condition]:
        return backtest_notes.conditions(self.edition) if self.edition else [self.condition]


@dataclass(frozen=True, slots=True)
class Point:
    """One date. `contents` and `left_out` are a campaign's; `kept` and `left` are None on the first date."""

    as_of: datetime
    contents: Mapping[str, int]
    left_out: Mapping[str, int]
    inside: BacktestGroup
    outside: BacktestGroup
    complete: bool
    kept: int | None = None
    left: int | None = None

    @property
    def size(self) -> int:
        return self.inside.customers

    @property
    def entered(self) -> int | None:
        return None if self.kept is None else self.size - self.kept

    @property
    def mails(self) -> int:
        return sum(self.contents.values())

    @property
    def difference(self) -> Estimate:
        """The difference of buyers' shares inside and outside the audience."""
        return proportions.difference(
            (self.inside.customers, self.inside.buyers), (self.outside.customers, self.outside.buyers)
        )


@dataclass(frozen=True, slots=True)
class Backtest:
    """All dates of one subject, and the notes on their limits."""

    name: str
    kind: str
    aim: ResponseGoal
    looks: Sequence[Point]
    notes: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        goal = {"products": self.aim.products.words(), "within": str(self.aim.within)}
        dates = [_point_as_dict(look, self.kind == "campaign") for look in self.looks]
        return {self.kind: self.name, "goal": goal, "dates": dates, "notes": list(self.notes)}


def run_backtest(store: Store, subject: Subject, series: Series, zone: ZoneInfo, progress: Progress) -> Backtest:
    """Evaluate a subject on each date of a series. `progress(done, total)`: before each date. Raises Refused."""
    with store.read() as connection:
        known = backtests.data_range(connection)
        dates = series.moments(known.first, known.last, subject.aim.within, zone)
        looked = BacktestScope(subject.conditions, dates, zone)
        notes = [
            backtest_notes.SELECTION,
            *backtest_notes.rule_notes(connection, looked),
            *backtest_notes.data_notes(looked, known),
        ]
    end = end_of_data(known.last, zone) if known.last else None
    looks: list[Point] = []
    before: Selection | None = None
    for number, moment in enumerate(dates):
        progress(number, len(dates))
        # A transaction for each date: a long-running reader keeps SQLite from truncating its log.
        with store.read() as connection:
            compiled = audiences.with_statistics(connection, audiences.compiler(moment, zone, back=True))
            seen = _seen(connection, subject, compiled)
        done = end is not None and subject.aim.within.after(moment) <= end
        looks.append(_point(moment, seen, subject, before, done))
        before = seen
    notes += [
        *backtest_notes.customer_notes(known),
        *backtest_notes.unfinished_dates(dates, [look.complete for look in looks]),
    ]
    if subject.edition:
        notes += backtest_notes.campaign_notes(subject.edition)
    return Backtest(subject.name, subject.kind, subject.aim, looks, notes)


def _seen(connection: Connection, subject: Subject, compiled: Compiler) -> Selection:
    moment = compiled.as_of
    spending = Spending(subject.aim.products, moment, subject.aim.within.after(moment))
    if subject.edition is None:
        return backtests.total_audience(connection, compiled, subject.condition, spending)
    question = plan.question(connection, subject.edition, moment)
    return backtests.total_campaign(connection, compiled, question, spending)


def _point(moment: datetime, seen: Selection, subject: Subject, before: Selection | None, complete: bool) -> Point:
    contents = {item.name: 0 for item in subject.edition.read.campaign.content} if subject.edition else {}
    left_out: dict[str, int] = {}
    for (content, reason), number in seen.parts.items():
        if reason is not None:
            left_out[reason] = left_out.get(reason, 0) + number
        elif content is not None:
            contents[content] += number
    ordered = dict(sorted(left_out.items(), key=lambda item: (-item[1], item[0])))
    look = Point(moment, contents, ordered, seen.inside, seen.outside, complete)
    if before is None:
        return look
    kept = (before.members & seen.members).bit_count()
    return replace(look, kept=kept, left=before.inside.customers - kept)


def spent(group: BacktestGroup) -> Estimate:
    """Return the average spend of a group's customers, including those who bought nothing."""
    return proportions.mean(group.customers, float(group.spent), group.squares)


def buyer_share(group: BacktestGroup) -> Estimate:
    """Return the share of buyers in a group."""
    return proportions.proportion(group.customers, group.buyers)


def _point_as_dict(look: Point, campaign: bool) -> dict[str, Any]:
    decided = {"mails": look.mails, "contents": dict(look.contents), "left_out": dict(look.left_out)}
    return {
        "as_of": look.as_of.isoformat(),
        "audience": look.size,
        "kept": look.kept,
        "entered": look.entered,
        "left": look.left,
        **(decided if campaign else {}),
        "in_audience": _group(look.inside),
        "outside": _group(look.outside),
        "difference": estimate_as_dict(look.difference),
        "complete": look.complete,
    }


def _group(group: BacktestGroup) -> dict[str, Any]:
    counted = {"customers": group.customers, "buyers": group.buyers, "spent": str(group.spent)}
    return {**counted, "share": estimate_as_dict(buyer_share(group)), "mean": estimate_as_dict(spent(group))}


def estimate_as_dict(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as plain values, with a text if the sample is too small."""
    rounded = {name: round(getattr(estimate, name), 6) for name in ("value", "low", "high")}
    return {**rounded, "words": "" if estimate.enough else proportions.TOO_FEW}


@dataclass(frozen=True, slots=True)
class Series:
    """The dates that a user chose; None: derived from the purchases."""

    since: datetime | None = None
    until: datetime | None = None
    every: Span = MONTH

    def moments(self, first: datetime | None, last: datetime | None, within: Span, zone: ZoneInfo) -> list[datetime]:
        """Return the dates, oldest first. `first` and `last` purchase, and the goal's window, complete what is None.

        By default: the last year of dates whose goal's window ends before the data does, months on their first day.
        Raises Refused when there are none, or too many.
        """
        until = self.until or self._latest(last, within, zone)
        dates = self._forward(self.since, until) if self.since else self._back(until, first)
        if not dates:
            period = f"from {self.since:%Y-%m-%d} until {until:%Y-%m-%d}" if self.since else f"until {until:%Y-%m-%d}"
            known = f"Purchases are known from {first:%Y-%m-%d} to {last:%Y-%m-%d}." if first and last else ""
            raise Refused(f"There is no date {period}.", f"{known} Choose others with --from and --until.")
        return dates

    def _latest(self, last: datetime | None, within: Span, zone: ZoneInfo) -> datetime:
        if last is None:
            raise Refused("There are no purchases, so there are no dates.", "Import some, or give --from and --until.")
        day = midnight(within.before(end_of_data(last, zone)), zone)
        return day.replace(day=1) if self.every.unit in ("month", "year") and self.since is None else day

    def _forward(self, since: datetime, until: datetime) -> list[datetime]:
        dates: list[datetime] = []
        while (moment := self.every.after(since, len(dates))) <= until:
            self._refuse_too_many(dates)
            dates.append(moment)
        return dates

    def _back(self, until: datetime, first: datetime | None) -> list[datetime]:
        begin = max(YEAR.before(until), first) if first else YEAR.before(until)
        dates = [until] if first is None or until > first or self.until else []
        while dates and (moment := self.every.after(until, -len(dates))) > begin:
            self._refuse_too_many(dates)
            dates.append(moment)
        return dates[::-1]

    def _refuse_too_many(self, dates: list[datetime]) -> None:
        if len(dates) >= MAX_DATES:
            raise Refused(
                f"That would be more than {MAX_DATES} dates.", "Use fewer dates, for example --every '1 week'."
            )


def midnight(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the midnight at the start of a time's day in the company's zone."""
    return datetime.combine(moment.astimezone(zone).date(), time(), zone)


def end_of_data(last: datetime, zone: ZoneInfo) -> datetime:
    """Return the midnight after the last purchase; that day is taken as complete."""
    return midnight(last, zone) + timedelta(days=1)
