"""Owns how customers moved between an earlier plan or run and a plan at hand; refuses to decide who gets what."""

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
# The id of a plan has 12 digits or a colon; what is shorter is the number of a run.
_RUN = re.compile(r"(?:run)?[ :#]*(\d{1,9})|run")

#: What a plan is compared with: its kind, number and moment, and its rows.
Earlier = tuple[tuple[str, str | int, datetime], Outcomes]


@dataclass(frozen=True, slots=True)
class CompareTo:
    """What to compare a plan with (None: the plan before, see `Previous`), and how many examples each move gets."""

    against: str | None = None
    most: int = 5


@dataclass(frozen=True, slots=True)
class Previous:
    """The campaign's newest plan before the one at hand. `rows` is the id under which its rows are.

    Where both have the same id, because only data changed, the rows were set aside before they were decided anew.
    """

    plan: PlanHead
    rows: str

    @property
    def set_aside(self) -> bool:
        return self.rows != self.plan.id

    def label(self, zone: tzinfo | None) -> str:
        """Name the plan by its id and time, as `Moves.since` does."""
        return _label("plan", self.plan.id, self.plan.made_at, zone)


@dataclass(frozen=True, slots=True)
class PlanMove:
    """So many customers who went from one outcome to another, what they spent in a year, and some keys."""

    kind: str
    was: str
    now: str
    customers: int
    spent: Decimal
    examples: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        shown = {name: getattr(self, name) for name in ("kind", "customers")}
        return {**shown, "from": self.was, "to": self.now, "spent": str(self.spent), "examples": list(self.examples)}


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """All moves since an earlier plan or run, most customers first; `stayed` are those who get what they got."""

    since: str
    currency: str
    stayed: int
    moves: tuple[PlanMove, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "since": self.since, "currency": self.currency, "stayed": self.stayed,
            "moves": [move.as_dict() for move in self.moves],
        }  # fmt: skip


def previous(connection: Connection, campaign: str, plan_id: str) -> Previous | None:
    """Return a campaign's newest plan before `plan_id` is decided, None where there is none. `drop` it afterwards."""
    newest = plans.latest(connection, campaign)
    if newest is None:
        return None
    return Previous(newest, plans.set_aside(connection, plan_id) if newest.id == plan_id else newest.id)


def drop(connection: Connection, before: Previous | None) -> None:
    """Delete the rows that `previous` set aside."""
    if before and before.set_aside:
        plans.drop(connection, before.rows)


def since(
    connection: Connection, edition: Snapshot, plan_id: str, before: Previous | None, as_of: datetime, wanted: CompareTo
) -> PlanDiff | None:
    """Compare a plan whose rows are decided with an earlier one, or a run; None when there is nothing before it.

    Moments are printed in the company's zone. Raises NotFound, or Refused for another campaign's plan, or one whose
    rows are no longer kept.
    """
    company = edition.rulebook.company
    found = _earlier(connection, edition.name, plan_id, before, wanted.against)
    if found is None:
        return None
    (kind, number, at), earlier = found
    label = _label(kind, number, at, company.time_zone)
    as_of = as_of.astimezone(company.time_zone)
    window = YEAR.before(as_of), as_of
    rows = transitions.moves(connection, earlier, transitions.plan(plan_id), window, wanted.most)
    stayed = sum(row.customers for row in rows if row.was == row.now)
    ids = [who for row in rows if row.was != row.now for who in row.examples]
    facts = profiles.facts_of(connection, ids)
    moved = [_move(row, facts) for row in rows if row.was != row.now]
    return PlanDiff(
        label, company.currency, stayed, tuple(sorted(moved, key=lambda one: (-one.customers, one.was, one.now)))
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
    named = plans.get(connection, asked.strip())
    if named is None or named.campaign != campaign:
        raise NotFound(f"'{campaign}' has no plan '{asked}'.", "Name a plan's id, or a run: --against 'run 3'.")
    if named.id == plan_id:
        remedy = (
            "Use --diff to see what changed since the previous plan, or name another plan or a run: --against 'run 3'."
        )
        raise Refused(f"Plan {plan_id} cannot be compared with itself.", remedy)
    return _of_plan(connection, named)


def _run(connection: Connection, campaign: str, number: str | None) -> RunRecord:
    known = runs.of_campaign(connection, campaign)
    found = [run for run in known if number is None or run.id == int(number)]
    if not found:
        ids = ", ".join(str(run.id) for run in known[:12])
        what = f"run {number}" if number else "run"
        raise NotFound(f"'{campaign}' has no {what}.", f"Its runs: {ids}." if ids else "It was never launched.")
    return found[0]


def _of_run(run: RunRecord) -> Earlier:
    return ("run", run.id, run.launched_at), transitions.run(run.id)


def _of_previous(connection: Connection, before: Previous) -> Earlier:
    if before.set_aside:
        return ("plan", before.plan.id, before.plan.made_at), transitions.plan(before.rows)
    return _of_plan(connection, before.plan)


def _of_plan(connection: Connection, plan: PlanHead) -> Earlier:
    run = next((run for run in runs.of_campaign(connection, plan.campaign) if run.plan_id == plan.id), None)
    if plans.kept(connection, plan):
        return ("plan", plan.id, plan.made_at), transitions.plan(plan.id)
    if run is None:
        raise Refused(f"The customers of plan {plan.id} are no longer kept.", "Only the last two plans' are.")
    return _of_run(run)
