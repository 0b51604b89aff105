"""Owns answering a doorbell: look at the ledger, send what one run owes, say whether more is due; refuses the queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mailshot.deliver import pipeline
from mailshot.deliver.pipeline import SendSettings
from mailshot.render.letter import Mailing
from mailshot.states import RunState
from mailshot.store import frozen, ledger, ledger_queries, runs
from mailshot.store.eligibility import Gates
from mailshot.store.engine import Store


def send_batch(post: SendSettings, run_id: int, most: int, stop: threading.Event) -> bool:
    """Send up to `most` due deliveries of a run; return whether more is due now. Doing it twice at once is harmless."""
    with post.store.write() as connection:
        ledger.recover(connection, datetime.now(UTC))
    with post.store.read() as connection:
        run = runs.get(connection, run_id)
        if run is None or run["state"] != RunState.running or stop.is_set():
            return False
        body = frozen.body(connection, run["definition"])
    mailing, gates = _mailing(run["definition"], body), Gates.thaw(body["mailing"]["gates"])
    clear = asyncio.run(pipeline.deliver(post, run, mailing, gates, body["mailing"]["rate"], most, stop))
    with post.store.write() as connection:
        now = datetime.now(UTC)
        ledger.finish(connection, now)
        return clear and not stop.is_set() and ledger_queries.is_due(connection, run_id, now)


_mailings: dict[str, Mailing] = {}


def _mailing(digest: str, body: Mapping[str, Any]) -> Mailing:
    """Compile a frozen mailing once in this process; a digest never means anything else."""
    if digest not in _mailings:
        _mailings[digest] = Mailing.thaw(body["mailing"], rehearsed=False)
    return _mailings[digest]


def runs_with_due_mail(store: Store, now: datetime, shared: bool = False) -> list[int]:
    """Recover lapsed leases, finish what is done, and return the runs that owe mail.

    Without `shared` only those that nobody works on.
    """
    with store.read() as connection:
        unsettled = ledger_queries.is_unsettled(connection, now)
    if unsettled:  # SQLite has one writer at a time: an idle process must not wait for an import or a plan to end
        with store.write() as connection:
            ledger.recover(connection, now)
            ledger.finish(connection, now)
    with store.read() as connection:
        return [run_id for run_id, workers in ledger_queries.owed(connection, now) if shared or not workers]
