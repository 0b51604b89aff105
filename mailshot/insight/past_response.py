"""Responses of past campaigns' recipients, inside and outside an audience.

It answers one question: of a past campaign's recipients, would this rule have selected those who responded? It does
not measure the effect of the mails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from mailshot.errors import Refused
from mailshot.insight import backtest, backtest_notes
from mailshot.insight.backtest import Progress, Series, Subject, end_of_data
from mailshot.insight.backtest_notes import BacktestScope
from mailshot.stats import proportions
from mailshot.stats.proportions import Counted, Estimate
from mailshot.store import audiences, backtests
from mailshot.store.backtests import DataRange
from mailshot.store.engine import Store

SELECTION_NOTE = (
    "Another system chose the recipients, so it is unknown how other customers would have responded. "
    "Customers who respond may also be those who buy more anyway."
)


@dataclass(frozen=True, slots=True)
class PastCampaign:
    """One past campaign as of its start: (recipients, responders) inside and outside the audience."""

    campaign: str
    as_of: datetime
    inside: Counted
    outside: Counted
    over: bool

    @property
    def recipients(self) -> int:
        return self.inside[0] + self.outside[0]

    @property
    def answered(self) -> int:
        return self.inside[1] + self.outside[1]

    @property
    def difference(self) -> Estimate:
        return proportions.difference(self.inside, self.outside)


@dataclass(frozen=True, slots=True)
class PastResponse:
    """All past campaigns: each compared inside and outside the audience, then pooled."""

    name: str
    pasts: Sequence[PastCampaign]
    notes: Sequence[str]

    @property
    def pooled(self) -> Estimate:
        return proportions.pooled((past.inside, past.outside) for past in self.pasts)

    def total(self) -> tuple[Counted, Counted]:
        """Return (recipients, responses) of all campaigns inside and outside; a customer counts once per campaign."""
        inside, outside = ([getattr(past, side) for past in self.pasts] for side in ("inside", "outside"))
        return _sum(inside), _sum(outside)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        inside, outside = self.total()
        every = {**_counted(inside, outside), "difference": backtest.estimate_as_dict(self.pooled)}
        campaigns = [
            {
                "campaign": past.campaign,
                "as_of": past.as_of.isoformat(),
                **_counted(past.inside, past.outside),
                "difference": backtest.estimate_as_dict(past.difference),
                "over": past.over,
            }
            for past in self.pasts
        ]
        return {"audience": self.name, "campaigns": campaigns, "together": every, "notes": list(self.notes)}


def compare_responses(
    store: Store, subject: Subject, series: Series, zone: ZoneInfo, progress: Progress
) -> PastResponse:
    """Compare a subject's audience with each past campaign of the series. Raises Refused if there is none."""
    with store.read() as connection:
        known = backtests.data_range(connection)
        every = backtests.imported_campaigns(connection)
        runs = [run for run in every if _within(run.as_of, series, known)]
        if not runs:
            raise Refused(
                "There is no past campaign to compare the audience with.",
                "Import campaigns, recipients and conversions, or choose other dates with --from and --until.",
            )
        scope = BacktestScope([subject.condition], [run.as_of.astimezone(zone) for run in runs], zone)
        notes = [
            SELECTION_NOTE,
            *backtest_notes.rule_notes(connection, scope),
            *backtest_notes.data_notes(scope, known),
        ]
        early = sum(known.first is not None and run.as_of < known.first for run in every) if not series.since else 0
        people = backtests.responders(connection, [run.id for run in runs])
    end = end_of_data(known.last, zone) if known.last else None
    pasts = []
    for number, run in enumerate(runs):
        progress(number, len(runs))
        compiled = audiences.compiler(run.as_of.astimezone(zone), zone, back=True)
        with store.read() as connection:
            compiler = audiences.with_statistics(connection, compiled)
            inside, outside = backtests.responses(connection, compiler, subject.condition, run.id)
        over = end is not None and run.finished_at is not None and run.finished_at <= end
        pasts.append(PastCampaign(run.campaign, compiled.as_of, inside, outside, over))
    return PastResponse(
        subject.name, pasts, [*notes, *_notes(pasts, people, early), *backtest_notes.customer_notes(known)]
    )


def _within(moment: datetime, series: Series, known: DataRange) -> bool:
    """Exclude campaigns before the first purchase: no customer could match a rule about purchases then."""
    begins = series.since or known.first
    return (begins is None or moment >= begins) and (series.until is None or moment <= series.until)


def _notes(pasts: Sequence[PastCampaign], people: tuple[int, int], early: int) -> list[str]:
    got, answered = sum(past.recipients for past in pasts), sum(past.answered for past in pasts)
    notes = [
        f"Some customers are in several campaigns: {got:,} mails went to {people[0]:,} customers, "
        f"{answered:,} responses came from "
        f"{people[1]:,}. The pooled interval treats them as different customers, so it is too narrow."
    ]
    if early:
        notes.append(f"{early} campaigns that began before the first purchase are excluded.")
    late = sum(not past.over for past in pasts)
    if late:
        notes.append(f"{late} of {len(pasts)} campaigns had not ended by the end of the data, or have no known end.")
    return notes


def _sum(counted: Sequence[Counted]) -> Counted:
    return sum(size for size, _ in counted), sum(hits for _, hits in counted)


def _counted(inside: Counted, outside: Counted) -> dict[str, Any]:
    return {
        "in_audience": {"recipients": inside[0], "answered": inside[1]},
        "outside": {"recipients": outside[0], "answered": outside[1]},
    }
