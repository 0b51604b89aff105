"""The known limits of a backtest, in words for its reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from mailshot.audience import nodes
from mailshot.audience.nodes import Condition
from mailshot.campaign.snapshot import Snapshot
from mailshot.facts.periods import Span, Window
from mailshot.store import backtests
from mailshot.store.backtests import DataRange
from mailshot.store.engine import Connection

SELECTION = (
    "A difference between inside and outside does not prove that mail works: rules select customers who differ anyway. "
    "Only the holdout of a real run shows an effect."
)


@dataclass(frozen=True, slots=True)
class BacktestScope:
    """The scope of a backtest: its conditions and dates."""

    conditions: Sequence[Condition]
    dates: Sequence[datetime]
    zone: ZoneInfo


def conditions(edition: Snapshot) -> list[Condition]:
    """Return all conditions that decide about a campaign."""
    read = edition.read
    guards = [guard.customers for guard in edition.rulebook.guards] if read.about else []
    return [read.audience.condition, *read.when.values(), *guards]


def rule_notes(connection: Connection, looked: BacktestScope) -> Iterator[str]:
    """Report what the rules use that has no history."""
    parts = [part for condition in looked.conditions for part in _walk(condition)]
    traits = sorted({part.name for part in parts if isinstance(part, nodes.HasTrait)})
    inferred = backtests.inferred(connection, traits)
    for name in traits:
        when = f"{inferred[name].astimezone(looked.zone):%Y-%m-%d}" if name in inferred else ""
        how = f"as inferred on {when}" if when else "not inferred (run 'mailshot traits')"
        yield f"Traits have no history: '{name}' is {how}, at every date."
    facts = {part.fact.name for part in parts if isinstance(part, nodes.FactIs)} - {"joined_at", "key"}
    if facts:
        yield f"Facts have no history: {', '.join(sorted(facts))} use today's values at every date."


def data_notes(looked: BacktestScope, known: DataRange) -> Iterator[str]:
    """Report where the data starts too late for the rules, and which customers it covers badly."""
    if known.first is None:
        yield "There are no purchases."
        return
    longest = _longest(looked.conditions)
    short = [moment for moment in looked.dates if longest and known.first > longest.before(moment)]
    if longest and short:
        begins = f"{known.first.astimezone(looked.zone):%Y-%m-%d}"
        yield (
            f"Purchases start on {begins} and the rules reach back {longest}: "
            f"{_dates(len(short), len(looked.dates))} up to {short[-1]:%Y-%m-%d} have less data, "
            "so audiences may seem to grow."
        )


def customer_notes(known: DataRange) -> Iterator[str]:
    """Report customers who may not have existed then, and those who are excluded."""
    if known.without_joining:
        yield (
            f"{known.without_joining:,} of {known.customers:,} customers have no joining date: they "
            "are included from the start. Others are included from their joining date or first purchase."
        )
    if known.erased:
        yield f"{known.erased:,} erased customers are excluded; their purchases were deleted."


def campaign_notes(edition: Snapshot) -> Iterator[str]:
    """Report what a plan decides and a backtest does not."""
    offers = edition.read.campaign.offers
    if any(entry.at_least for entry in offers.values()):
        yield "Offers are not chosen again: customers with too few offers ('no offers') count as mailed."
    yield "Each date is independent: no mail was sent, so none counts towards a cap or as received."


def unfinished_dates(dates: Sequence[datetime], complete: Sequence[bool]) -> Iterator[str]:
    """Report the dates whose goal window extends beyond the data."""
    late = [moment for moment, done in zip(dates, complete, strict=True) if not done]
    if late:
        yield (
            f"The goal's window extends beyond the last purchase for {_dates(len(late), len(dates))} "
            f"from {late[0]:%Y-%m-%d} on: their shares are too low."
        )


def _dates(some: int, every: int) -> str:
    return "the only date" if every == 1 else f"{some} of {every} dates"


def _walk(condition: Condition) -> Iterator[Condition]:
    yield condition
    for part in condition.children:
        yield from _walk(part)


def _longest(rules: Iterable[Condition]) -> Span | None:
    windows = [getattr(part, "window", None) for rule in rules for part in _walk(rule)]
    starts = [window.start for window in windows if isinstance(window, Window)]
    return max(
        (start for start in starts if isinstance(start, Span)), key=lambda span: span.approximate_days, default=None
    )
