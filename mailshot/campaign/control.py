"""Pauses, resumes and cancels the runs and schedules of a campaign. Mails that are out stay as they are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from mailshot.errors import NotFound, Refused, nearest
from mailshot.states import RunState, ScheduleState
from mailshot.store import ledger, ledger_queries, runs
from mailshot.store.engine import Store

#: The state of the schedules that goes with a state of the runs.
SCHEDULES = {
    RunState.paused: ScheduleState.paused,
    RunState.running: ScheduleState.armed,
    RunState.cancelled: ScheduleState.ended,
}


@dataclass(frozen=True, slots=True)
class StateChange:
    """What a change of state did."""

    #: Ids of the runs that changed.
    runs: list[int]
    #: How many schedules changed.
    schedules: int
    #: Deliveries that a cancellation skipped.
    given_up: int = 0
    #: Deliveries of cancelled runs that a worker holds: their mail may still go out.
    under_way: int = 0


def set_state(store: Store, campaign: str, to: RunState, now: datetime, known: Collection[str] = ()) -> StateChange:
    """Move all open runs and schedules of a campaign. `known` are the campaigns of the rules.

    Raises NotFound for a campaign that neither they nor any run or schedule has, Refused when nothing can be moved.
    """
    given_up = under_way = 0
    with store.write() as connection:
        names = {*known, *runs.campaign_names(connection)}
        if campaign not in names:
            raise NotFound(f"There is no campaign '{campaign}'.", nearest(campaign, names))
        moved = [run.id for run in runs.runs_of(connection, campaign) if runs.move_run(connection, run.id, to, now)]
        schedules = runs.set_schedule(connection, campaign, SCHEDULES[to])
        if to is RunState.cancelled:
            given_up = sum(ledger.skip_waiting(connection, run_id, now) for run_id in moved)
            under_way = sum(
                ledger_queries.in_progress(ledger_queries.count_states(connection, run_id)) for run_id in moved
            )
    if not moved and not schedules:
        raise Refused(f"'{campaign}' has no run or schedule that can be set to '{to}'.", "See 'mailshot status'.")
    return StateChange(moved, schedules, given_up, under_way)
