"""The temporary folder of an import: lines of its files, with names and addresses of people.

It must not outlive the import, even if the import is killed. It is locked while in use, so the next import recognises
and removes abandoned folders. Before that, a shell process waits for a pipe of the import to close, which the system
does for a killed process, too, and then removes the folder.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mailshot import safe_files

try:
    import fcntl
except ImportError:  # Windows: nothing is removed but by the import itself
    fcntl = None  # type: ignore[assignment]

PREFIX = ".import-"
SECONDS = 10
_WATCH = 'read -r _; rm -rf -- "$1"'


@contextmanager
def folder(within: Path | None) -> Iterator[Path]:
    """Give a new private folder in `within` (None, or where nothing can be written: the system's temporary folder)."""
    made = within is not None and not within.exists()
    place = _writable(within) or Path(tempfile.gettempdir())
    remove_abandoned(place)
    path, lock = _locked(place)
    try:
        with _watched(path):
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
        if made:
            with suppress(OSError):  # rejected rows lie there now
                place.rmdir()


def remove_abandoned(place: Path) -> None:
    """Remove what imports that were killed have left in a folder."""
    for path in place.glob(f"{PREFIX}*") if fcntl else ():
        with suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _writable(within: Path | None) -> Path | None:
    if within is None:
        return None
    try:
        safe_files.make_private_folder(within)
    except OSError:
        return None
    return within.absolute() if os.access(within, os.W_OK | os.X_OK) else None


def _locked(place: Path) -> tuple[Path, int]:
    """Make a folder and lock it; another import may take it for abandoned in between, and then a new one is made."""
    while True:
        path = place / f"{PREFIX}{secrets.token_hex(8)}"
        path.mkdir(safe_files.PRIVATE_FOLDER)
        path.chmod(safe_files.PRIVATE_FOLDER)
        with suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY)
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)


@contextmanager
def _watched(path: Path) -> Iterator[None]:
    """Have the folder removed when this process ends, however it does."""
    command = ["/bin/sh", "-c", _WATCH, "sh", str(path)]
    try:
        # In a session of its own: what stops us by Ctrl-C leaves it alone.
        shell = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
    except OSError:  # without a shell, the next import removes what is left
        yield
        return
    try:
        yield
    finally:
        assert shell.stdin
        shell.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            shell.wait(SECONDS)
