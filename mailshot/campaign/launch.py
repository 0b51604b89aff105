"""Owns launching a planned campaign, at once or by schedule; refuses anything but exactly what was planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mailshot.campaign import conversions, plan
from mailshot.campaign.frozen import Edition
from mailshot.errors import Refused
from mailshot.store import frozen, plans, runs
from mailshot.store.engine import Connection, Store

# A plan is a look at one day: who waits longer must look again.
FRESH = timedelta(days=1)


DRIFT = 0.1
FEW = 10


@dataclass(frozen=True, slots=True)
class Launched:
    """What a launch began: a run at once, or a schedule whose first run is due at `next_at`."""

    run_id: int | None = None
    schedule_id: int | None = None
    next_at: datetime | None = None
    mails: int = 0


def launch(store: Store, edition: Edition, as_of: datetime, now: datetime, plan_id: str | None = None) -> Launched:
    """Launch what was planned, in one transaction.

    Raises Refused when it was not planned, has changed since, has errors, or would send far more or fewer mails than
    the plan showed; InvalidInput for a schedule in the past.
    """
    edition.mailing()
    due = plan.due(edition, now)
    with store.write() as connection:
        planned = _planned(connection, edition, as_of, plan_id)
        definition = frozen.keep(connection, "campaign", dict(edition.body))
        if due is not None:
            return _arm(connection, edition, definition, due, now)
        shown = plans.mails(connection, planned)
        run_id = begin(connection, edition, planned, definition, as_of, now)
        mails = plans.mails(connection, planned)
        _refuse_surprise(edition.name, shown, mails)
    return Launched(run_id=run_id, mails=mails)


def begin(
    connection: Connection,
    edition: Edition,
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
    run = {
        "campaign": campaign.campaign,
        "topic": campaign.topic,
        "definition": definition,
        "service": edition.gates.service,
        "goal": conversions.frozen_goal(edition),
        "at_least_once": campaign.in_doubt == "at_least_once",
        "state": "running",
        "as_of": as_of,
        "plan_id": plan_id,
        "schedule_id": slot[0] if slot else None,
        "slot": slot[1] if slot else None,
        "launched_at": now,
    }
    return runs.begin(connection, run)


def _refuse_surprise(name: str, shown: int, mails: int) -> None:
    """What customers did since the plan may change a few; more than that has not been looked at."""
    if abs(mails - shown) > max(DRIFT * shown, FEW):
        message = f"The plan of '{name}' showed {shown:,} mails; by now it would be {mails:,}."
        raise Refused(message, f"The data has changed: look again with: mailshot plan '{name}'.")


def _planned(connection: Connection, edition: Edition, as_of: datetime, plan_id: str | None) -> str:
    current = plan.identity(connection, edition, as_of)
    name = edition.name
    planned = plans.get(connection, current)
    if planned is None:
        last = plans.latest(connection, name)
        if last and last["digest"] != frozen.digest(edition.body):
            message = f"The rules or templates of '{name}' have changed since plan {last['id']}."
        elif last:
            message = f"Plan {last['id']} of '{name}' is already launched, or was made for another day."
        else:
            message = f"'{name}' has not been planned."
        raise Refused(message, f"Look at it first: mailshot plan '{name}'.")
    _refuse_stale(name, planned, as_of)
    if plan_id is not None and plan_id != current:
        raise Refused(
            f"Plan {plan_id} is not the current plan of '{name}'; that is {current}.", "Look at that one first."
        )
    return current


def _refuse_stale(name: str, planned: Mapping[str, Any], as_of: datetime) -> None:
    errors = planned["summary"].get("errors", [])
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        message = f"Plan {planned['id']} of '{name}' has errors: {errors[0]}{more}"
        raise Refused(message, f"Mend them and look again: mailshot plan '{name}'.")
    if abs(as_of - planned["as_of"]) > FRESH:
        message = (
            f"Plan {planned['id']} of '{name}' looked at {planned['as_of']:%Y-%m-%d %H:%M %Z}, which is not today."
        )
        raise Refused(message, f"Look again: mailshot plan '{name}'.")


def _arm(connection: Connection, edition: Edition, definition: str, due: datetime, now: datetime) -> Launched:
    schedule = edition.read.campaign.schedule
    zone = schedule.zone or edition.rulebook.company.time_zone
    row = {
        "campaign": edition.name,
        "definition": definition,
        "cron": schedule.cron,
        "zone": zone.key,
        "next_at": due,
        "state": "armed",
        "made_at": now,
    }
    return Launched(schedule_id=runs.arm(connection, row), next_at=due)
