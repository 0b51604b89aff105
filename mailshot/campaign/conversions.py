"""Computes conversions: what customers bought or did in response to a mail, by the goal that the mail's run froze.

`make_conversions` is called after imports, before reports, and by the clock. It does nothing where nothing has changed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mailshot.errors import MailshotError
from mailshot.profile.goals import Goal
from mailshot.states import RunState
from mailshot.store import conversions, runs, snapshots
from mailshot.store.engine import Connection, Store

if TYPE_CHECKING:
    from mailshot.campaign.snapshot import Snapshot

log = logging.getLogger(__name__)
#: Customers per transaction. On SQLite no other process can write meanwhile, for some tens of milliseconds.
CHUNK = 500
#: Runs of earlier versions whose frozen rules are read in one transaction, at a tenth of a second each.
RUNS = 10


def make_conversions(store: Store, most: int | None = None, unfinished: bool = False) -> bool:
    """Compute what is due, in at most `most` transactions (None: all); return whether more may be left.

    `unfinished` includes runs that are still being sent, whatever has changed.
    """
    if unfinished:
        _mark_unfinished(store)
    done = 0
    while _step(store):
        done += 1
        if done == most:
            return True
    return False


def goal(edition: Snapshot) -> Goal | None:
    """Return what counts as success of a campaign, None where it has no goal."""
    wanted = edition.read.campaign.goal
    if wanted is None:
        return None
    return Goal(edition.read.goal, wanted.within, edition.rulebook.company.time_zone, wanted.event)


def frozen_goal(edition: Snapshot) -> Mapping[str, Any]:
    """Return the goal as a run stores it, {} without one."""
    frozen = goal(edition)
    return frozen.freeze() if frozen else {}


def _step(store: Store) -> bool:
    """Do one transaction's work; return whether there was any."""
    with store.read() as connection:
        if not conversions.has_queued(connection):
            return False
    with store.write() as connection:
        return _read_goals(connection) or conversions.process_queue(connection, CHUNK) > 0


def _read_goals(connection: Connection) -> bool:
    """Read the goals of some runs that an earlier version launched; return whether there were any."""
    unread = conversions.unread(connection, RUNS)
    for run_id, definition in unread:
        conversions.keep_goal(connection, run_id, _goal_of(connection, run_id, definition))
    return bool(unread)


def _goal_of(connection: Connection, run_id: int, definition: str) -> Goal | None:
    # Imported here: every report computes what is due, and only runs of earlier versions need rules for it.
    from mailshot.campaign import snapshot as editions

    try:
        return goal(editions.thaw(snapshots.body(connection, definition)))
    except MailshotError as error:
        log.warning("run %s has no conversions, because its rules can no longer be read: %s", run_id, error)
        return None


def _mark_unfinished(store: Store) -> None:
    with store.read() as connection:
        run_ids = [run.id for run in runs.runs_in(connection, RunState.running, RunState.paused)]
    if run_ids:
        with store.write() as connection:
            for run_id in run_ids:
                conversions.mark_sent(connection, run_id)
