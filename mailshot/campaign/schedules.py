"""Launches the schedules that are due, each slot once; the clock calls `launch_due` with the time."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from mailshot import metrics
from mailshot.campaign import launch
from mailshot.campaign import snapshot as editions
from mailshot.errors import MailshotError
from mailshot.rulebook.campaign import next_slot
from mailshot.store import engine, runs, snapshots
from mailshot.store.engine import Store
from mailshot.store.runs import ScheduleRecord

log = logging.getLogger(__name__)
#: A slot that was missed for longer (the machine was off) is skipped: Monday's offer must not go out on Thursday.
GRACE = timedelta(hours=6)


def launch_due(store: Store, now: datetime) -> list[int]:
    """Launch every schedule that is due, and return the ids of the new runs. Two clocks launch each slot once."""
    with store.read() as connection:
        due = runs.due_schedules(connection, now)
    run_ids = []
    for schedule_id, campaign in due:
        try:
            run_id = _launch_slot(store, schedule_id, campaign, now)
        except MailshotError as error:
            log.error("schedule %s of '%s' could not be launched: %s", schedule_id, campaign, error)
            continue
        run_ids += [run_id] if run_id is not None else []
    return run_ids


def _launch_slot(store: Store, schedule_id: int, campaign: str, now: datetime) -> int | None:
    with store.write() as connection:
        runs.lock_campaign(connection, campaign)
        # Read and locked here: since it was due, another clock or 'launch --replace' may have changed it.
        schedule = runs.take_due(connection, schedule_id, now)
        if schedule is None:
            return None
        slot = schedule.next_at
        if not runs.advance(connection, schedule.id, slot, _next_slot(schedule, now)):
            return None
        if now - slot > GRACE:
            moment = f"{slot.astimezone(ZoneInfo(schedule.zone)):%Y-%m-%d %H:%M %Z}"
            log.warning("the mail of '%s' for %s is skipped: it is too late", schedule.campaign, moment)
            return None
        edition = editions.thaw(snapshots.body(connection, schedule.definition))
        as_of = editions.as_of(edition, None, slot)
        plan_id = f"{schedule.id}@{slot.isoformat(timespec='minutes')}"
        place = (schedule.id, slot)
        late = (now - slot).total_seconds()
        engine.after_commit(connection).append(partial(metrics.LAUNCH_DELAY.observe, late))
        return launch.start_run(connection, edition, plan_id, schedule.definition, as_of, now, place)


def _next_slot(schedule: ScheduleRecord, now: datetime) -> datetime | None:
    if not schedule.cron:
        return None
    # By local time: once in an hour that is repeated, and right after a gap for a time within it.
    return next_slot(schedule.cron, max(now, schedule.next_at).astimezone(ZoneInfo(schedule.zone)))
