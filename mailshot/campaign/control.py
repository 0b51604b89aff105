"""Owns pausing, resuming and cancelling a campaign's runs and schedules; refuses to touch what is already out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from mailshot.errors import NotFound, Refused, nearest
from mailshot.states import RunState, ScheduleState
from mailshot.store import ledger, ledger_queries, runs
from mailshot.store.engine import Store

SCHEDULES = {
    RunState.paused: ScheduleState.paused,
    RunState.running: ScheduleState.armed,
    RunState.cancelled: ScheduleState.ended,
}


@dataclass(frozen=True, slots=True)
class StateChange:
    """How many runs and schedules changed, how many waiting deliveries were given up, and how many a worker holds."""

    runs: list[int]
    schedules: int
    given_up: int = 0
    under_way: int = 0


def set_state(store: Store, campaign: str, to: RunState, now: datetime, known: Collection[str] = ()) -> StateChange:
    """Move all open runs and schedules of a campaign. `known` are the campaigns of the rules.

    Raises NotFound for a name that neither they nor any run or schedule bears, Refused when there is nothing to move.
    """
    given_up = under_way = 0
    with store.write() as connection:
        names = {*known, *runs.campaigns(connection)}
        if campaign not in names:
            raise NotFound(f"There is no campaign '{campaign}'.", nearest(campaign, names))
        moved = [run.id for run in runs.of_campaign(connection, campaign) if runs.move(connection, run.id, to, now)]
        schedules = runs.set_schedule(connection, campaign, SCHEDULES[to])
        if to is RunState.cancelled:
            given_up = sum(ledger.skip_waiting(connection, run_id, now) for run_id in moved)
            under_way = sum(ledger_queries.under_way(ledger_queries.counts(connection, run_id)) for run_id in moved)
    if not moved and not schedules:
        raise Refused(f"'{campaign}' has no run or schedule that can become {to}.", "See 'mailshot status'.")
    return StateChange(moved, schedules, given_up, under_way)
