"""Owns noticing that rules were saved; refuses to read them.

It looks at the files' times, sizes and numbers again and again. A rules folder has a few dozen files, so a look costs
less than a millisecond; unlike the system's messages it sees links, network folders, and a folder that was put in the
place of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from mailshot.campaign import rulebook
from mailshot.campaign.rulebook import FOLDER

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
