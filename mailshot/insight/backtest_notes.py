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
from mailshot.store.backtests import Known
from mailshot.store.engine import Connection

SELECTION = (
    "Inside against outside the audience is no proof that mail works: a rule chooses people who differ anyway. "
    "Only the holdout of a real run shows an effect."
)


@dataclass(frozen=True, slots=True)
class BacktestScope:
    """What was looked at: the conditions that decided, and the dates."""

    conditions: Sequence[Condition]
    dates: Sequence[datetime]
    zone: ZoneInfo


def conditions(edition: Snapshot) -> list[Condition]:
    """Return all conditions that decide about a campaign."""
    read = edition.read
    guards = [guard.customers for guard in edition.rulebook.guards] if read.about else []
    return [read.audience.condition, *read.when.values(), *guards]


def of_rules(connection: Connection, looked: BacktestScope) -> Iterator[str]:
    """Say what the rules ask that has no history."""
    parts = [part for condition in looked.conditions for part in _walk(condition)]
    traits = sorted({part.name for part in parts if isinstance(part, nodes.HasTrait)})
    inferred = backtests.inferred(connection, traits)
    for name in traits:
        when = f"{inferred[name].astimezone(looked.zone):%Y-%m-%d}" if name in inferred else ""
        how = f"as inferred on {when}" if when else "not inferred (run 'mailshot traits')"
        yield f"Traits have no history: '{name}' is {how}, at every date."
    facts = {part.fact.name for part in parts if isinstance(part, nodes.FactIs)} - {"joined_at", "key"}
    if facts:
        yield f"Facts have no history: {', '.join(sorted(facts))} as known today, at every date."
    if any(isinstance(part, nodes.HasPreference | nodes.HasTrait) for part in parts):
        yield "Of preferences only the newest word is kept: one stated later counts as not yet stated."


def of_data(looked: BacktestScope, known: Known) -> Iterator[str]:
    """Say where the data begins too late for the rules, and whom it does not know well."""
    if known.first is None:
        yield "There are no purchases."
        return
    longest = _longest(looked.conditions)
    short = [moment for moment in looked.dates if longest and known.first > longest.before(moment)]
    if longest and short:
        begins = f"{known.first.astimezone(looked.zone):%Y-%m-%d}"
        yield (
            f"Purchases begin on {begins} and the rules look back {longest}: "
            f"{_dates(len(short), len(looked.dates))} up to {short[-1]:%Y-%m-%d} see less, "
            "so audiences may seem to grow."
        )


def of_customers(known: Known) -> Iterator[str]:
    """Say who is counted that may not have been there, and who is not counted."""
    if known.without_joining:
        yield (
            f"Of {known.without_joining:,} of {known.customers:,} customers it is not known when they joined: they "
            "count from the beginning. Others count from when they joined or first bought."
        )
    if known.erased:
        yield f"{known.erased:,} erased customers count nowhere: what they bought is forgotten."


def of_campaign(edition: Snapshot) -> Iterator[str]:
    """Say what a plan decides that a look back does not."""
    offers = edition.read.campaign.offers
    if any(entry.at_least for entry in offers.values()):
        yield "Offers are not chosen again: who would have found too few ('no offers') counts as mailed."
    yield "Each date stands alone: as nothing was sent, none uses up a cap, or makes a customer one who received it."


def unfinished(dates: Sequence[datetime], complete: Sequence[bool]) -> Iterator[str]:
    """Say for which dates the goal's window reaches past the data."""
    late = [moment for moment, done in zip(dates, complete, strict=True) if not done]
    if late:
        yield (
            f"The goal's window reaches past the last purchase for {_dates(len(late), len(dates))} "
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
