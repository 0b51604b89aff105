"""A launched run as it was frozen: its row, compiled mails, eligibility gates and rate."""

from __future__ import annotations

from dataclasses import dataclass

from mailshot.render.mailing import Mailing
from mailshot.states import RunState
from mailshot.store import runs, snapshots
from mailshot.store.eligibility import Gates
from mailshot.store.engine import Store
from mailshot.store.runs import RunRecord

#: Runs whose compiled mails a process keeps.
MAX_RUNS = 64
_frozen: dict[str, _Frozen] = {}


@dataclass(frozen=True, slots=True)
class _Frozen:
    """What is frozen under a digest, compiled."""

    mailing: Mailing
    gates: Gates
    rate: int | None


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
        # A digest always names the same content: its megabytes are read and compiled once in this process.
        frozen = _frozen.get(row.definition)
        body = snapshots.body(connection, row.definition)["mailing"] if frozen is None else {}
    if frozen is None:
        mailing = Mailing.from_frozen(body, with_trial=False)
        frozen = _Frozen(mailing, Gates.thaw(body["gates"]), body["rate"])
        _keep(row.definition, frozen)
    return FrozenRun(row, frozen.mailing, frozen.gates, frozen.rate)


def _keep(definition: str, frozen: _Frozen) -> None:
    if len(_frozen) >= MAX_RUNS:
        _frozen.pop(next(iter(_frozen)), None)
    _frozen[definition] = frozen
