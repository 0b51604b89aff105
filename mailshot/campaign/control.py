"""Owns pausing, resuming and cancelling a campaign's runs and schedules; refuses to touch what is already out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailshot.errors import Refused
from mailshot.events import RunState, ScheduleState
from mailshot.store import ledger, runs
from mailshot.store.engine import Store

SCHEDULES = {
    RunState.paused: ScheduleState.paused,
    RunState.running: ScheduleState.armed,
    RunState.cancelled: ScheduleState.ended,
}


@dataclass(frozen=True, slots=True)
class Changed:
    """How many runs and schedules changed, and how many waiting deliveries were given up."""

    runs: list[int]
    schedules: int
    given_up: int = 0


def change(store: Store, campaign: str, to: RunState, now: datetime) -> Changed:
    """Move all open runs and schedules of a campaign. Raises Refused when there is nothing to move."""
    given_up = 0
    with store.write() as connection:
        moved = [run["id"] for run in runs.of(connection, campaign) if runs.move(connection, run["id"], to, now)]
        schedules = runs.set_schedule(connection, campaign, SCHEDULES[to])
        if to is RunState.cancelled:
            given_up = sum(ledger.abandon(connection, run_id, now) for run_id in moved)
    if not moved and not schedules:
        raise Refused(f"'{campaign}' has no run or schedule that can become {to}.", "See 'mailshot status'.")
    return Changed(moved, schedules, given_up)
