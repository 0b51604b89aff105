"""The results of runs: sent, opened, clicked, unsubscribed, converted, and uplift."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from mailshot.errors import NotFound, nearest
from mailshot.facts.periods import Span
from mailshot.facts.product_filters import EVERYTHING
from mailshot.profile.goals import Goal
from mailshot.states import NOT_MAILED, DeliveryState, FeedbackClass, FeedbackKind
from mailshot.stats import proportions
from mailshot.stats.proportions import Uplift
from mailshot.store import conversions, reports, runs
from mailshot.store.engine import Connection, Store
from mailshot.store.runs import RunRecord

#: Shown in the report if a run has no goal; it does not create conversions.
ANY_PURCHASE = Goal(EVERYTHING, Span(14, "day"), ZoneInfo("UTC"))


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Summary of one run, in unique customers; opens and clicks by people only.

    `machine` counts customers whose mail a proxy or scanner opened or clicked, even if the customer also did.
    `mails` counts sent, waiting and failed deliveries, without customers left out or held out.
    """

    run_id: int
    campaign: str
    state: str
    as_of: datetime
    sent: int
    unconfirmed: int
    refused: int
    opened: int
    clicked: int
    machine: int
    unsubscribed: int
    converted: int
    #: Customers whose mail came back, and those who reported it as spam.
    bounced: int = 0
    complained: int = 0
    mails: int = 0

    def as_dict(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "as_of": self.as_of.isoformat()}


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run in detail, measured by the goal frozen at its launch, or by `ANY_PURCHASE` without one.

    `uplift` compares the share of mailed and held-out customers who reached the goal, whether or not a mail gets the
    credit. For all of them the window begins at the run's `as_of`.
    """

    line: RunSummary
    states: Mapping[str, int]
    contents: Mapping[str, int]
    reasons: Mapping[str, int]
    links: list[tuple[str, int]]
    mailed: reports.Bought
    held: reports.Bought
    uplift: Uplift
    complete: bool
    goal: Goal = field(default=ANY_PURCHASE)

    @property
    def aim(self) -> str | None:
        """The run's goal as text, or None without a goal."""
        return None if self.goal is ANY_PURCHASE else self.goal.words()

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.line.as_dict(),
            "states": dict(self.states),
            "contents": dict(self.contents),
            "reasons": dict(self.reasons),
            "links": self.links,
            "mailed": {
                "customers": self.mailed.customers,
                "buyers": self.mailed.buyers,
                "spent": str(self.mailed.spent),
            },
            "held_out": {"customers": self.held.customers, "buyers": self.held.buyers, "spent": str(self.held.spent)},
            "uplift": self.uplift.words(),
            "goal": self.aim,
            "goal_window_complete": self.complete,
        }


def select_run(summaries: Sequence[RunSummary], run: int | None = None) -> RunSummary:
    """Return run `run`; without it, the latest run with mails, or else the latest. Raises NotFound."""
    if run is not None:
        chosen = next((line for line in summaries if line.run_id == run), None)
        if chosen is None:
            whose = f" of '{summaries[0].campaign}'" if len({line.campaign for line in summaries}) == 1 else ""
            numbers = ", ".join(str(line.run_id) for line in summaries[-12:])
            raise NotFound(f"There is no run {run}{whose}.", f"Known: {numbers}." if numbers else "")
        return chosen
    return next((line for line in reversed(summaries) if line.mails), summaries[-1])


def summaries(
    store: Store, today: datetime, campaign: str | None = None, known: Callable[[], Collection[str]] = tuple
) -> list[RunSummary]:
    """Return all runs, or one campaign's, oldest first. `known` returns the campaigns in the rules.

    Purchases after the company's `today` do not count. Raises NotFound for a campaign without a run.
    """
    with store.read() as connection:
        rows = runs.by_date(connection)
        states, feedback = reports.count_by_state(connection), reports.feedback(connection, today)
        machines = reports.count_seen_by_machines(connection)
    names = {row.campaign for row in rows}
    if campaign is not None and campaign not in names:
        never, others = f"It has not been launched yet. See mailshot plan '{campaign}'.", known()
        remedy = never if campaign in others else nearest(campaign, {*names, *others})
        raise NotFound(f"There is no run of '{campaign}'.", remedy)
    chosen = [row for row in rows if campaign in (None, row.campaign)]
    return [_line(row, states.get(row.id, {}), feedback.get(row.id, {}), machines.get(row.id, 0)) for row in chosen]


def load_report(store: Store, line: RunSummary, today: datetime) -> RunReport:
    """Return one run in detail, as of the company's `today`."""
    with store.read() as connection:
        goal = conversions.goal_of(connection, line.run_id) or ANY_PURCHASE
        mailed = reports.reached(connection, line.run_id, False, goal, line.as_of, today)
        held = reports.reached(connection, line.run_id, True, goal, line.as_of, today)
        return RunReport(
            line=line,
            states=reports.count_by_state(connection).get(line.run_id, {}),
            contents=reports.count_by_content(connection, line.run_id),
            reasons=reports.count_by_reason(connection, line.run_id),
            links=reports.links(connection, line.run_id, 5),
            mailed=mailed,
            held=held,
            uplift=proportions.compare_groups((mailed.customers, mailed.buyers), (held.customers, held.buyers)),
            complete=_complete(connection, goal, line.as_of, today),
            goal=goal,
        )


def people(store: Store, run_id: int) -> Iterator[dict[str, str]]:
    """Give one row a customer of a run: the mail, and each kind of feedback with its cause, "" for none."""
    with store.read() as connection:
        for person in reports.people(connection, run_id):
            texts: dict[str, list[str]] = {kind.value: [] for kind in FeedbackKind}
            for kind, by, why in person.feedback:
                seen = f"{by} ({why})" if why else by
                texts[kind].append(seen if kind in (FeedbackKind.opened, FeedbackKind.clicked) else why or "yes")
            row = {"customer": person.customer, "content": person.content, "state": person.state}
            yield row | {"reason": person.reason} | {kind: "; ".join(some) for kind, some in texts.items()}


def _complete(connection: Connection, goal: Goal, as_of: datetime, today: datetime) -> bool:
    last = reports.latest_activity(connection, goal, today)
    return last is not None and last >= goal.end(as_of)


def _line(
    row: RunRecord, states: Mapping[str, int], feedback: Mapping[tuple[str, str], int], machine: int
) -> RunSummary:
    def people(kind: FeedbackKind) -> int:
        return feedback.get((kind, FeedbackClass.human), 0)

    return RunSummary(
        run_id=row.id,
        campaign=row.campaign,
        state=row.state,
        as_of=row.as_of,
        sent=states.get(DeliveryState.sent, 0),
        unconfirmed=states.get(DeliveryState.unconfirmed, 0),
        refused=states.get(DeliveryState.refused, 0),
        opened=people(FeedbackKind.opened),
        clicked=people(FeedbackKind.clicked),
        machine=machine,
        unsubscribed=people(FeedbackKind.unsubscribed),
        converted=people(FeedbackKind.converted),
        bounced=people(FeedbackKind.bounced),
        complained=people(FeedbackKind.complained),
        mails=sum(number for state, number in states.items() if state not in NOT_MAILED),
    )
