"""Launches a planned campaign, now or by schedule, and only as it was planned.

Start at `launch_plan`. The clock launches what is due through `schedules`, which ends in `start_run` as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from mailshot.campaign import conversions, dependencies, plan
from mailshot.campaign.snapshot import Snapshot
from mailshot.errors import Refused
from mailshot.states import ScheduleState
from mailshot.store import plans, runs, snapshots
from mailshot.store.engine import Connection, Store
from mailshot.store.plans import PlanHead
from mailshot.store.runs import NewRun, NewSchedule, ScheduleRecord

#: A plan is made for one day: a launch later needs a new one.
MAX_PLAN_AGE = timedelta(days=1)
#: Allowed difference from the plan's number of mails: this share or this number, whichever is larger.
MAX_DRIFT_SHARE, MAX_DRIFT_MAILS = 0.1, 10


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """The options of a launch."""

    #: The plan that must be the current one; None: any.
    plan_id: str | None = None
    #: Replace the version that is scheduled.
    replace: bool = False
    #: Create a run even if it has no mail.
    even_if_empty: bool = False


@dataclass(frozen=True, slots=True)
class Launched:
    """What a launch created: a run, or a schedule."""

    run_id: int | None = None
    schedule_id: int | None = None
    #: When the first run of the schedule is due.
    next_at: datetime | None = None
    #: Mails of the run.
    mails: int = 0
    #: An earlier schedule was replaced, or ended.
    replaced: bool = False
    #: The schedule had this version already.
    unchanged: bool = False
    #: The schedule is paused, and stays so.
    paused: bool = False


def launch_plan(
    store: Store, edition: Snapshot, as_of: datetime, now: datetime, asked: LaunchOptions | str | None = None
) -> Launched:
    """Launch what was planned, in one transaction; `asked` may be just the plan's id.

    Raises Refused when it was not planned, has changed since, has errors, would send no mail, or far more or fewer
    mails than planned, or is scheduled already; InvalidInput for a schedule in the past.
    """
    wanted = asked if isinstance(asked, LaunchOptions) else LaunchOptions(asked)
    edition.mailing()
    due = plan.first_due(edition, now)
    with store.write() as connection:
        # Two launches at the same time must not both see that nothing is scheduled.
        runs.lock_campaign(connection, edition.name)
        scheduled = runs.open_schedule(connection, edition.name)
        _refuse_schedule(edition.name, scheduled is not None, wanted.replace)
        planned = _planned(connection, edition, as_of, wanted.plan_id)
        definition = snapshots.store_body(connection, "campaign", dict(edition.body))
        if due is not None:
            return _schedule(connection, edition, _version(edition, definition, due, now), scheduled, now)
        if scheduled:
            runs.end_schedule(connection, scheduled.id)
        planned_mails = plans.mails(connection, planned)
        run_id = start_run(connection, edition, planned, definition, as_of, now)
        mails = plans.mails(connection, planned)
        if not mails and not wanted.even_if_empty:
            _refuse_empty(connection, edition.name, planned)
        _refuse_surprise(edition.name, planned_mails, mails)
    return Launched(run_id=run_id, mails=mails, replaced=scheduled is not None)


def start_run(
    connection: Connection,
    edition: Snapshot,
    plan_id: str,
    definition: str,
    as_of: datetime,
    now: datetime,
    slot: tuple[int, datetime] | None = None,
) -> int:
    """Decide the plan again, and create the run with its deliveries; return its id.

    `slot` is the id and the moment of a schedule, None for a launch by a user.
    """
    campaign = edition.read.campaign
    plan.decide_plan(connection, edition, plan_id, as_of)
    if slot:  # no user planned it
        plan.record_plan(connection, edition, plan_id, as_of, now)
    run = NewRun(
        campaign=campaign.campaign,
        topic=campaign.topic,
        definition=definition,
        plan_id=plan_id,
        as_of=as_of,
        launched_at=now,
        service=edition.gates.service,
        archived=campaign.archive,
        at_least_once=campaign.in_doubt == "at_least_once",
        goal=conversions.frozen_goal(edition),
        schedule_id=slot[0] if slot else None,
        slot=slot[1] if slot else None,
    )
    return runs.begin(connection, run)


def _refuse_schedule(name: str, scheduled: bool, replace: bool) -> None:
    if scheduled and not replace:
        remedy = (
            f"To take this version instead: mailshot launch '{name}' --replace. To end it: mailshot cancel '{name}'."
        )
        raise Refused(f"'{name}' is already scheduled.", remedy)
    if replace and not scheduled:
        raise Refused(f"'{name}' is not scheduled, so there is nothing to replace.", f"Run: mailshot launch '{name}'.")


def _refuse_empty(connection: Connection, name: str, planned: str) -> None:
    reasons = sorted(
        ((number, reason) for _, reason, number in plans.count_decisions(connection, planned)), reverse=True
    )
    why = ", ".join(f"{number:,} {reason}" for number, reason in reasons) or "the audience is empty"
    remedy = f"See mailshot plan '{name}'. To launch it anyway, add --even-if-empty."
    raise Refused(f"No customer would get a mail of '{name}': {why}.", remedy)


def _refuse_surprise(name: str, planned_mails: int, mails: int) -> None:
    """Data that changed since the plan may change a few mails. Raises Refused for more."""
    if abs(mails - planned_mails) > max(MAX_DRIFT_SHARE * planned_mails, MAX_DRIFT_MAILS):
        message = f"The plan of '{name}' showed {planned_mails:,} mails; by now it would be {mails:,}."
        raise Refused(message, f"The data has changed. Check it with: mailshot plan '{name}'.")


def _planned(connection: Connection, edition: Snapshot, as_of: datetime, plan_id: str | None) -> str:
    current = plan.plan_id_of(connection, edition, as_of)
    name, zone = edition.name, edition.rulebook.company.time_zone
    planned = plans.find_plan(connection, current)
    if planned is None:
        last = plans.latest_plan(connection, name)
        changed = changed_parts(edition, last) if last else []
        if last and changed:
            since = _name_plan(last, zone)
            message = f"The rules or templates of '{name}' have changed since plan {since}: {', '.join(changed)}."
        elif last:
            message = f"Plan {_name_plan(last, zone)} of '{name}' is already launched, or was made for another day."
        else:
            message = f"'{name}' has not been planned."
        raise Refused(message, f"Plan it first: mailshot plan '{name}'.")
    _refuse_stale(name, planned, as_of, zone)
    if plan_id is not None and plan_id != current:
        raise Refused(
            f"Plan {plan_id} is not the current plan of '{name}'; that is {current}.", "Check that one first."
        )
    return current


def changed_parts(edition: Snapshot, planned: PlanHead) -> list[str]:
    """Return the names of the parts that changed since a plan; none while rules and templates mean the same."""
    if planned.digest == dependencies.digest_parts(edition):
        return []
    return dependencies.differences(planned.parts, dependencies.part_digests(edition)) or ["its files"]


def _name_plan(planned: PlanHead, zone: ZoneInfo) -> str:
    return f"{planned.id} of {planned.made_at.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def _refuse_stale(name: str, planned: PlanHead, as_of: datetime, zone: ZoneInfo) -> None:
    errors = planned.errors
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        first = errors[0].partition("\n")[0]
        message = f"Plan {planned.id} of '{name}' has errors: {first}{more}"
        raise Refused(message, f"Fix them, then run: mailshot plan '{name}'.")
    if abs(as_of - planned.as_of) > MAX_PLAN_AGE:
        day = f"{planned.as_of.astimezone(zone):%Y-%m-%d %H:%M %Z}"
        message = f"Plan {planned.id} of '{name}' was made for {day}, which is not today."
        raise Refused(message, f"Plan it again: mailshot plan '{name}'.")


def _version(edition: Snapshot, definition: str, due: datetime, now: datetime) -> NewSchedule:
    schedule = edition.read.campaign.schedule
    zone = schedule.zone or edition.rulebook.company.time_zone
    return NewSchedule(
        campaign=edition.name, definition=definition, cron=schedule.cron, zone=zone.key, next_at=due, made_at=now
    )


def _schedule(
    connection: Connection, edition: Snapshot, version: NewSchedule, old: ScheduleRecord | None, now: datetime
) -> Launched:
    """Create the schedule, or replace the version of `old`, which stays paused if it is."""
    if old is None:
        schedule_id = runs.schedule(connection, version)
        return Launched(schedule_id=schedule_id, next_at=version.next_at)
    paused, same = old.state is ScheduleState.paused, old.definition == version.definition
    next_at = old.next_at if same else _next_slot(connection, edition, old, now) or version.next_at
    if not same:
        runs.reschedule(connection, old.id, replace(version, next_at=next_at))
    return Launched(schedule_id=old.id, next_at=next_at, replaced=not same, unchanged=same, paused=paused)


def _next_slot(connection: Connection, edition: Snapshot, old: ScheduleRecord, now: datetime) -> datetime | None:
    """Return the first slot of the new version: one that is due and not launched yet, else the next one.

    A clock that runs ahead of this host may have launched the next slot already.
    """
    schedule, zone = edition.read.campaign.schedule, edition.rulebook.company.time_zone
    waiting = old.next_at
    if waiting <= now and schedule.next_after(waiting - timedelta(seconds=1), zone) == waiting:
        return waiting
    last = runs.last_slot(connection, old.id)
    return schedule.next_after(max(now, last) if last else now, zone)
