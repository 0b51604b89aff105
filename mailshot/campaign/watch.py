"""Watches the files under rules/ and counts audiences again after each save, but only those whose meaning changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mailshot.campaign import rule_diff
from mailshot.campaign.rule_diff import ResolvedAudience
from mailshot.errors import Problem
from mailshot.rulebook import rulebook
from mailshot.rulebook.rulebook import FOLDER, Rulebook
from mailshot.store import audiences
from mailshot.store.engine import Store

POLL_SECONDS = 0.25
#: An editor empties a file before it writes it, and a checkout writes one file after the other.
DEBOUNCE_SECONDS = 0.1
#: Scans at most until two are equal.
MAX_SCANS = 20
#: By path: time of change, size and inode; None for a file that is gone.
Scan = dict[str, tuple[int, int, int] | None]


@dataclass(frozen=True, slots=True)
class SizeChange:
    """The size of an audience that was counted again."""

    name: str
    #: None for an audience that is new.
    before: int | None
    #: None for an audience that is gone.
    after: int | None
    #: How long the count took.
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Known:
    means: Hashable
    file: str
    customers: int


@dataclass(slots=True)
class LiveCount:
    """Counts audiences as of the start, so that sizes change by edits alone. `only` names one audience to count."""

    store: Store
    now: datetime
    clock: Callable[[], float]
    asked: datetime | None = None
    only: str | None = None
    _known: dict[str, _Known] = field(default_factory=dict)

    def look(self, rules: Rulebook, problems: Sequence[Problem]) -> Iterator[SizeChange]:
        """Count each audience that is new or has another meaning. One with errors keeps its size."""
        valid = [audience for audience in rules.book.valid_audiences() if self.only in (None, audience.name)]
        for audience in valid:
            change = self._counted(rule_diff.resolve_audience(rules, audience, self.asked, self.now))
            if change:
                yield change
        broken = {problem.file for problem in problems}
        for name, known in list(self._known.items()):
            if name not in rules.book.names and known.file not in broken:
                del self._known[name]
                yield SizeChange(name, known.customers, None)

    def _counted(self, new: ResolvedAudience) -> SizeChange | None:
        name, means = new.audience.name, new.means
        known = self._known.get(name)
        if known and known.means == means:
            return None
        began = self.clock()
        customers = audiences.count_matching(self.store, new.compiled, new.audience.condition)
        self._known[name] = _Known(means, new.audience.file, customers)
        return SizeChange(name, known.customers if known else None, customers, self.clock() - began)


def watch_saves(project: Path, wait: Callable[[float], bool]) -> Iterator[None]:
    """Yield once at the start, and after every save, until `wait(seconds)`, which sleeps, returns True.

    The files are scanned before it yields: a save while the caller reads them makes it yield again.
    """
    seen = _debounced(project, _scan(project), wait)
    yield
    while not wait(POLL_SECONDS):
        scan = _scan(project)
        if scan != seen:
            seen = _debounced(project, scan, wait)
            yield


def _debounced(project: Path, scan: Scan, wait: Callable[[float], bool]) -> Scan:
    """Wait until two scans agree, MAX_SCANS scans at most."""
    for _ in range(MAX_SCANS):
        if wait(DEBOUNCE_SECONDS):
            break
        before, scan = scan, _scan(project)
        if scan == before:
            break
    return scan


def _scan(project: Path) -> Scan:
    return {name: _state(path) for name, path in rulebook.paths(project / FOLDER).items()}


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
