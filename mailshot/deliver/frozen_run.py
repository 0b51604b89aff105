"""A launched run as it was frozen: its row, compiled mails, eligibility gates and rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailshot.render.compose import Mailing
from mailshot.states import RunState
from mailshot.store import runs, snapshots
from mailshot.store.eligibility import Gates
from mailshot.store.engine import Store
from mailshot.store.runs import RunRecord

_mailings: dict[str, Mailing] = {}


@dataclass(frozen=True, slots=True)
class FrozenRun:
    """All that a batch reads of its run. Rules and templates of today have no influence on it."""

    row: RunRecord
    mailing: Mailing
    #: What may forbid a mail at the last moment, checked with the intent.
    gates: Gates
    #: The campaign's limit in mails a minute, None for no limit.
    rate: int | None

    @property
    def id(self) -> int:
        return self.row.id


def load_running(store: Store, run_id: int) -> FrozenRun | None:
    """Return a run, or None when it does not exist or is paused, cancelled or finished."""
    with store.read() as connection:
        row = runs.find_run(connection, run_id)
        if row is None or row.state != RunState.running:
            return None
        body = snapshots.body(connection, row.definition)
    mailing = body["mailing"]
    return FrozenRun(row, _compiled(row.definition, mailing), Gates.thaw(mailing["gates"]), mailing["rate"])


def _compiled(digest: str, mailing: Mapping[str, Any]) -> Mailing:
    """Compile a frozen mailing once in this process: a digest always names the same content."""
    if digest not in _mailings:
        _mailings[digest] = Mailing.from_frozen(mailing, with_trial=False)
    return _mailings[digest]
