"""Owns how customers moved between an earlier plan or run and a plan at hand; refuses to decide who gets what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from mailshot.errors import NotFound, Refused
from mailshot.profile.window import Span
from mailshot.store import differences, plans, profiles, runs
from mailshot.store.differences import MAIL, NONE
from mailshot.store.engine import Connection

YEAR = Span(1, "year")
OUTSIDE = "not in the audience"
# The id of a plan has 12 digits or a colon; what is shorter is the number of a run.
_RUN = re.compile(r"(?:run)?[ :#]*(\d{1,9})|run")

#: What a plan is compared with: its kind, number and moment, and its rows.
Earlier = tuple[tuple[str, Any, datetime], Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to compare a plan with (None: the plan before), and how many examples each move gets."""

    against: str | None = None
    most: int = 5


@dataclass(frozen=True, slots=True)
class Move:
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
class Moves:
    """All moves since an earlier plan or run, most customers first; `stayed` are those who get what they got."""

    since: str
    currency: str
    stayed: int
    moves: tuple[Move, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "since": self.since, "currency": self.currency, "stayed": self.stayed,
            "moves": [move.as_dict() for move in self.moves],
        }  # fmt: skip


def since(
    connection: Connection, campaign: str, plan_id: str, as_of: datetime, currency: str, wanted: Wanted
) -> Moves | None:
    """Compare a plan whose rows are decided with an earlier one, or a run; None when there is nothing before it.

    `as_of` is in the company's zone, in which moments are printed.
    Raises NotFound, or Refused for another campaign's, or one whose rows are no longer kept.
    """
    found = _earlier(connection, campaign, plan_id, wanted.against)
    if found is None:
        return None
    (kind, number, at), before = found
    told = f"{kind} {number} of {at.astimezone(as_of.tzinfo):%Y-%m-%d %H:%M %Z}"
    window = YEAR.before(as_of), as_of
    rows = differences.moves(connection, before, differences.plan(plan_id), window, wanted.most)
    stayed = sum(row.customers for row in rows if row.was == row.now)
    ids = [who for row in rows if row.was != row.now for who in row.examples]
    facts = profiles.many(connection, ids)
    moved = [_move(row, facts) for row in rows if row.was != row.now]
    return Moves(told, currency, stayed, tuple(sorted(moved, key=lambda one: (-one.customers, one.was, one.now))))


def _move(row: differences.Move, facts: Mapping[int, Mapping[str, Any]]) -> Move:
    keys = tuple(str(facts[who]["key"]) for who in row.examples)
    return Move(_kind(row.was, row.now), _words(row.was), _words(row.now), row.customers, row.spent, keys)


def _kind(was: str | None, now: str | None) -> str:
    if was is None or now is None:
        return "entered" if was is None else "left"
    return "content" if was.startswith(MAIL) and now.startswith(MAIL) else "reason"


def _words(outcome: str | None) -> str:
    if outcome is None:
        return OUTSIDE
    return outcome.removeprefix(NONE) if outcome.startswith(NONE) else f"mail '{outcome.removeprefix(MAIL)}'"


def _earlier(connection: Connection, campaign: str, plan_id: str, asked: str | None) -> Earlier | None:
    if asked is None:
        before = plans.latest(connection, campaign, other_than=plan_id)
        return _of_plan(connection, before) if before else None
    number = _RUN.fullmatch(asked.strip().lower())
    if number:
        return _of_run(_run(connection, campaign, number[1]))
    named = plans.get(connection, asked.strip())
    if named is None or named["campaign"] != campaign:
        raise NotFound(f"'{campaign}' has no plan '{asked}'.", "Name a plan's id, or a run: --against 'run 3'.")
    if named["id"] == plan_id:
        raise Refused(f"Plan {plan_id} is the plan at hand.", "Name an earlier one, or a run: --against 'run 3'.")
    return _of_plan(connection, named)


def _run(connection: Connection, campaign: str, number: str | None) -> Mapping[str, Any]:
    known = runs.of(connection, campaign)
    found = [run for run in known if number is None or run["id"] == int(number)]
    if not found:
        ids = ", ".join(str(run["id"]) for run in known[:12])
        what = f"run {number}" if number else "run"
        raise NotFound(f"'{campaign}' has no {what}.", f"Its runs: {ids}." if ids else "It was never launched.")
    return found[0]


def _of_run(run: Mapping[str, Any]) -> Earlier:
    return ("run", run["id"], run["launched_at"]), differences.run(run["id"])


def _of_plan(connection: Connection, plan: Mapping[str, Any]) -> Earlier:
    run = next((run for run in runs.of(connection, plan["campaign"]) if run["plan_id"] == plan["id"]), None)
    if plans.kept(connection, plan):
        return ("plan", plan["id"], plan["made_at"]), differences.plan(plan["id"])
    if run is None:
        raise Refused(f"The customers of plan {plan['id']} are no longer kept.", "Only the last two plans' are.")
    return _of_run(run)
