"""How customers moved between an earlier plan or run of a campaign and its present plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from mailshot.campaign.snapshot import Snapshot
from mailshot.errors import NotFound, Refused
from mailshot.facts.periods import Span
from mailshot.store import plans, profiles, runs, transitions
from mailshot.store.engine import Connection
from mailshot.store.plans import PlanHead
from mailshot.store.runs import RunRecord
from mailshot.store.transitions import MAIL, NONE, Outcomes

YEAR = Span(1, "year")
OUTSIDE = "not in the audience"
#: How a user names a run: "run 3", "3", or "run" for the newest. Ids of plans are longer, or contain a colon.
_RUN = re.compile(r"(?:run)?[ :#]*(\d{1,9})|run")

#: What a plan is compared with: its kind, number and moment, and its rows.
Earlier = tuple[tuple[str, str | int, datetime], Outcomes]


@dataclass(frozen=True, slots=True)
class CompareTo:
    """What to compare a plan with."""

    #: The id of a plan, or a run; None: the previous plan (see `Previous`).
    against: str | None = None
    #: Examples of each move.
    most: int = 5


@dataclass(frozen=True, slots=True)
class Previous:
    """The campaign's newest plan before the present one.

    Where both have the same id, because only data changed, its rows were set aside before they were decided again.
    """

    plan: PlanHead
    #: The id under which its rows are.
    rows: str

    @property
    def set_aside(self) -> bool:
        return self.rows != self.plan.id

    def label(self, zone: tzinfo | None) -> str:
        """Name the plan by its id and time, as `PlanDiff.since` does."""
        return _label("plan", self.plan.id, self.plan.made_at, zone)


@dataclass(frozen=True, slots=True)
class PlanMove:
    """Customers who went from one outcome to another."""

    #: "entered", "left", "content" (another one) or "reason" (a mail began, ended, or another reason for none).
    kind: str
    #: The outcomes, in words.
    was: str
    now: str
    customers: int
    #: What they spent in the last year.
    spent: Decimal
    #: Keys of those who spent most.
    examples: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        counts = {name: getattr(self, name) for name in ("kind", "customers")}
        return {**counts, "from": self.was, "to": self.now, "spent": str(self.spent), "examples": list(self.examples)}


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """All moves since an earlier plan or run, most customers first."""

    #: Names the plan or run, with its time.
    since: str
    currency: str
    #: Customers whose outcome is the same.
    stayed: int
    moves: tuple[PlanMove, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "since": self.since, "currency": self.currency, "stayed": self.stayed,
            "moves": [move.as_dict() for move in self.moves],
        }  # fmt: skip


def previous(connection: Connection, campaign: str, plan_id: str) -> Previous | None:
    """Return a campaign's newest plan, before `plan_id` is decided; or None. Call `drop_previous` afterwards."""
    newest = plans.latest_plan(connection, campaign)
    if newest is None:
        return None
    return Previous(newest, plans.set_aside(connection, plan_id) if newest.id == plan_id else newest.id)


def drop_previous(connection: Connection, before: Previous | None) -> None:
    """Delete the rows that `previous` set aside."""
    if before and before.set_aside:
        plans.drop_aside(connection, before.rows)


def since(
    connection: Connection, edition: Snapshot, plan_id: str, before: Previous | None, as_of: datetime, wanted: CompareTo
) -> PlanDiff | None:
    """Compare a plan whose rows are decided with an earlier one, or a run; None when there is nothing before it.

    Moments are printed in the company's zone. Raises NotFound, or Refused for another campaign's plan, or one whose
    rows are deleted.
    """
    company = edition.rulebook.company
    found = _earlier(connection, edition.name, plan_id, before, wanted.against)
    if found is None:
        return None
    (kind, number, at), earlier = found
    label = _label(kind, number, at, company.time_zone)
    as_of = as_of.astimezone(company.time_zone)
    window = YEAR.before(as_of), as_of
    rows = transitions.moves(connection, earlier, transitions.plan_outcomes(plan_id), window, wanted.most)
    stayed = sum(row.customers for row in rows if row.was == row.now)
    ids = [who for row in rows if row.was != row.now for who in row.examples]
    facts = profiles.facts_of(connection, ids)
    moved = [_move(row, facts) for row in rows if row.was != row.now]
    return PlanDiff(
        label, company.currency, stayed, tuple(sorted(moved, key=lambda move: (-move.customers, move.was, move.now)))
    )


def _move(row: transitions.Transition, facts: Mapping[int, Mapping[str, Any]]) -> PlanMove:
    keys = tuple(str(facts[who]["key"]) for who in row.examples)
    return PlanMove(_kind(row.was, row.now), _words(row.was), _words(row.now), row.customers, row.spent, keys)


def _kind(was: str | None, now: str | None) -> str:
    if was is None or now is None:
        return "entered" if was is None else "left"
    return "content" if was.startswith(MAIL) and now.startswith(MAIL) else "reason"


def _words(outcome: str | None) -> str:
    if outcome is None:
        return OUTSIDE
    return outcome.removeprefix(NONE) if outcome.startswith(NONE) else f"mail '{outcome.removeprefix(MAIL)}'"


def _label(kind: str, number: object, at: datetime, zone: tzinfo | None) -> str:
    return f"{kind} {number} of {at.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def _earlier(
    connection: Connection, campaign: str, plan_id: str, before: Previous | None, asked: str | None
) -> Earlier | None:
    if asked is None:
        return _of_previous(connection, before) if before else None
    number = _RUN.fullmatch(asked.strip().lower())
    if number:
        return _of_run(_run(connection, campaign, number[1]))
    named = plans.find_plan(connection, asked.strip())
    if named is None or named.campaign != campaign:
        raise NotFound(f"'{campaign}' has no plan '{asked}'.", "Name a plan's id, or a run: --against 'run 3'.")
    if named.id == plan_id:
        remedy = (
            "Use --diff to see what changed since the previous plan, or name another plan or a run: --against 'run 3'."
        )
        raise Refused(f"Plan {plan_id} cannot be compared with itself.", remedy)
    return _of_plan(connection, named)


def _run(connection: Connection, campaign: str, number: str | None) -> RunRecord:
    known = runs.runs_of(connection, campaign)
    matching = [run for run in known if number is None or run.id == int(number)]
    if not matching:
        ids = ", ".join(str(run.id) for run in known[:12])
        what = f"run {number}" if number else "run"
        raise NotFound(f"'{campaign}' has no {what}.", f"Its runs: {ids}." if ids else "It was never launched.")
    return matching[0]


def _of_run(run: RunRecord) -> Earlier:
    return ("run", run.id, run.launched_at), transitions.run_outcomes(run.id)


def _of_previous(connection: Connection, before: Previous) -> Earlier:
    if before.set_aside:
        return ("plan", before.plan.id, before.plan.made_at), transitions.plan_outcomes(before.rows)
    return _of_plan(connection, before.plan)


def _of_plan(connection: Connection, plan: PlanHead) -> Earlier:
    run = next((run for run in runs.runs_of(connection, plan.campaign) if run.plan_id == plan.id), None)
    if plans.has_rows(connection, plan):
        return ("plan", plan.id, plan.made_at), transitions.plan_outcomes(plan.id)
    if run is None:
        raise Refused(
            f"The customers of plan {plan.id} are no longer kept.", "Mailshot keeps those of the last two plans."
        )
    return _of_run(run)
