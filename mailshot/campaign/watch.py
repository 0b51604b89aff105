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


@dataclass(frozen=True, slots=True)
class SizeChange:
    """The size of an audience that was counted; None before it was there, and after it is gone. Lasted `seconds`."""

    name: str
    before: int | None
    after: int | None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Known:
    means: Hashable
    file: str
    customers: int


@dataclass(slots=True)
class LiveCount:
    """Counts for one moment, that of the start: what moves is what the writer did. `only` is the one asked for."""

    store: Store
    now: datetime
    clock: Callable[[], float]
    asked: datetime | None = None
    only: str | None = None
    _known: dict[str, _Known] = field(default_factory=dict)

    def look(self, rules: Rulebook, problems: Sequence[Problem]) -> Iterator[SizeChange]:
        """Count each audience that is new or means something else. One with errors keeps the size it had."""
        found = [one for one in rules.book.sound() if self.only in (None, one.name)]
        for one in found:
            news = self._counted(rule_diff.resolve(rules, one, self.asked, self.now))
            if news:
                yield news
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
        customers = audiences.count(self.store, new.compiled, new.audience.condition)
        self._known[name] = _Known(means, new.audience.file, customers)
        return SizeChange(name, known.customers if known else None, customers, self.clock() - began)


EVERY = 0.25
# An editor empties a file before it fills it, and a checkout writes one file after the other.
SETTLED = 0.1
PATIENCE = 20
Seen = dict[str, tuple[int, int, int] | None]


def watch(project: Path, wait: Callable[[float], bool]) -> Iterator[None]:
    """Give a sign after every save, first one at once, until `wait` (which sleeps so many seconds) says stop.

    The files are looked at before the sign is given: what is saved while the caller reads makes another sign.
    """
    seen = _debounced(project, _look(project), wait)
    yield
    while not wait(EVERY):
        found = _look(project)
        if found != seen:
            seen = _debounced(project, found, wait)
            yield


def _debounced(project: Path, found: Seen, wait: Callable[[float], bool]) -> Seen:
    """Wait until two looks are alike; who never stops writing is read all the same."""
    for _ in range(PATIENCE):
        if wait(SETTLED):
            break
        before, found = found, _look(project)
        if found == before:
            break
    return found


def _look(project: Path) -> Seen:
    return {name: _state(path) for name, path in rulebook.paths(project / FOLDER).items()}


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
