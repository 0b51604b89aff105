"""Owns launching a planned campaign, at once or by schedule; refuses anything but exactly what was planned."""

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

# A plan is a look at one day: who waits longer must look again.
FRESH = timedelta(days=1)


DRIFT = 0.1
FEW = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """How a launch was asked for. `plan_id` is the plan that must be the current one.

    `replace` puts this version in the place of the one that is scheduled; `even_if_empty` begins a run without a mail.
    """

    plan_id: str | None = None
    replace: bool = False
    even_if_empty: bool = False


@dataclass(frozen=True, slots=True)
class Launched:
    """What a launch began: a run at once, or a schedule whose first run is due at `next_at`.

    `replaced` says that a schedule was replaced, `unchanged` that it has this version already.
    """

    run_id: int | None = None
    schedule_id: int | None = None
    next_at: datetime | None = None
    mails: int = 0
    replaced: bool = False
    unchanged: bool = False
    paused: bool = False


def launch(
    store: Store, edition: Snapshot, as_of: datetime, now: datetime, asked: Asked | str | None = None
) -> Launched:
    """Launch what was planned, in one transaction; `asked` may be just the plan's id.

    Raises Refused when it was not planned, has changed since, has errors, would send nothing, or far more or fewer
    mails than the plan showed, or is scheduled already; InvalidInput for a schedule in the past.
    """
    wanted = asked if isinstance(asked, Asked) else Asked(asked)
    edition.mailing()
    due = plan.due(edition, now)
    with store.write() as connection:
        # Two launches at once must not both find that nothing is scheduled.
        runs.alone(connection, edition.name)
        scheduled = runs.open_schedule(connection, edition.name)
        _refuse_schedule(edition.name, scheduled is not None, wanted.replace)
        planned = _planned(connection, edition, as_of, wanted.plan_id)
        definition = snapshots.keep(connection, "campaign", dict(edition.body))
        if due is not None:
            return _schedule(connection, edition, _version(edition, definition, due, now), scheduled, now)
        if scheduled:
            runs.end_schedule(connection, scheduled.id)
        shown = plans.mails(connection, planned)
        run_id = start_run(connection, edition, planned, definition, as_of, now)
        mails = plans.mails(connection, planned)
        if not mails and not wanted.even_if_empty:
            _refuse_empty(connection, edition.name, planned)
        _refuse_surprise(edition.name, shown, mails)
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
    """Decide afresh under `plan_id` and create the run with its deliveries. `slot` is the schedule and its moment."""
    campaign = edition.read.campaign
    plan.decide(connection, edition, plan_id, as_of)
    if slot:  # nobody planned it by hand
        plan.record(connection, edition, plan_id, as_of, now)
    run = NewRun(
        campaign=campaign.campaign,
        topic=campaign.topic,
        definition=definition,
        plan_id=plan_id,
        as_of=as_of,
        launched_at=now,
        service=edition.gates.service,
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
    reasons = sorted(((number, reason) for _, reason, number in plans.counts(connection, planned)), reverse=True)
    why = ", ".join(f"{number:,} {reason}" for number, reason in reasons) or "the audience is empty"
    remedy = f"See mailshot plan '{name}'. To launch it all the same, add --even-if-empty."
    raise Refused(f"Nobody would get a mail of '{name}': {why}.", remedy)


def _refuse_surprise(name: str, shown: int, mails: int) -> None:
    """What customers did since the plan may change a few; more than that has not been looked at."""
    if abs(mails - shown) > max(DRIFT * shown, FEW):
        message = f"The plan of '{name}' showed {shown:,} mails; by now it would be {mails:,}."
        raise Refused(message, f"The data has changed: look again with: mailshot plan '{name}'.")


def _planned(connection: Connection, edition: Snapshot, as_of: datetime, plan_id: str | None) -> str:
    current = plan.plan_id_of(connection, edition, as_of)
    name, zone = edition.name, edition.rulebook.company.time_zone
    planned = plans.get(connection, current)
    if planned is None:
        last = plans.latest(connection, name)
        changed = changes(edition, last) if last else []
        if last and changed:
            message = (
                f"The rules or templates of '{name}' have changed since plan {_of(last, zone)}: {', '.join(changed)}."
            )
        elif last:
            message = f"Plan {_of(last, zone)} of '{name}' is already launched, or was made for another day."
        else:
            message = f"'{name}' has not been planned."
        raise Refused(message, f"Look at it first: mailshot plan '{name}'.")
    _refuse_stale(name, planned, as_of, zone)
    if plan_id is not None and plan_id != current:
        raise Refused(
            f"Plan {plan_id} is not the current plan of '{name}'; that is {current}.", "Look at that one first."
        )
    return current


def changes(edition: Snapshot, planned: PlanHead) -> list[str]:
    """Return what has changed since a plan, by name; none while its rules and templates mean the same."""
    if planned.digest == dependencies.digest(edition):
        return []
    return dependencies.differences(planned.parts, dependencies.parts(edition)) or ["its files"]


def _of(planned: PlanHead, zone: ZoneInfo) -> str:
    return f"{planned.id} of {planned.made_at.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def _refuse_stale(name: str, planned: PlanHead, as_of: datetime, zone: ZoneInfo) -> None:
    errors = planned.errors
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        message = f"Plan {planned.id} of '{name}' has errors: {errors[0]}{more}"
        raise Refused(message, f"Fix them, then run: mailshot plan '{name}'.")
    if abs(as_of - planned.as_of) > FRESH:
        day = f"{planned.as_of.astimezone(zone):%Y-%m-%d %H:%M %Z}"
        message = f"Plan {planned.id} of '{name}' looked at {day}, which is not today."
        raise Refused(message, f"Look again: mailshot plan '{name}'.")


def _version(edition: Snapshot, definition: str, due: datetime, now: datetime) -> NewSchedule:
    schedule = edition.read.campaign.schedule
    zone = schedule.zone or edition.rulebook.company.time_zone
    return NewSchedule(
        campaign=edition.name, definition=definition, cron=schedule.cron, zone=zone.key, next_at=due, made_at=now
    )


def _schedule(
    connection: Connection, edition: Snapshot, version: NewSchedule, old: ScheduleRecord | None, now: datetime
) -> Launched:
    """Create the schedule, or put this version in the place of `old`, which stays paused if it is."""
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
