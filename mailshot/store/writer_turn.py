"""Lets all writers of one SQLite file take turns, threads and processes alike.

SQLite has one writer at a time and no queue: a connection that wants to write tries again and again, and a process that
writes all the time leaves no moment to one that tries every few milliseconds. So a writer waits in a queue of two
places, each a lock on one byte of an empty file beside the database. `NEXT` is for the one that writes next: only it
waits for `CURRENT`, so the last writer cannot overtake it. A process that ends gives back its locks.

SQLite's own locks still decide. Where these cannot be had, for example on some network file systems, or where another
program writes, the transaction waits for those alone (`engine._begin`).
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: SQLite's own locks alone
    fcntl = None  # type: ignore[assignment]

CURRENT, NEXT = 0, 1
#: Between two tries for a lock. Locks that wake the waiting process have no time limit.
POLL_SECONDS = 0.001
SUFFIX = "-turn"


class NoTurn(Exception):
    """The turn did not come in time."""


class WriterTurn:
    """The turns of one database; without a path those of the threads of this process."""

    def __init__(self, path: Path | None, patience_seconds: float) -> None:
        self._threads = threading.Lock()
        self._patience_seconds = patience_seconds
        self._path = path.with_name(path.name + SUFFIX) if path else None
        self._file: int | None = None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for the turn and keep it. Raises NoTurn when it does not come in time."""
        deadline = time.monotonic() + self._patience_seconds
        if not self._threads.acquire(timeout=self._patience_seconds):
            raise NoTurn("another thread of this process writes")
        try:
            with self._locked(deadline):
                yield
        finally:
            self._threads.release()

    @contextmanager
    def _locked(self, deadline: float) -> Iterator[None]:
        file = self._open()
        if file is None or not self._lock(file, NEXT, deadline):
            yield
            return
        try:
            is_current = self._lock(file, CURRENT, deadline)
        finally:
            _unlock(file, NEXT)
        try:
            yield
        finally:
            if is_current:
                _unlock(file, CURRENT)

    def _open(self) -> int | None:
        if fcntl and self._file is None and self._path is not None:
            with suppress(OSError):
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                weakref.finalize(self, os.close, self._file)
        return self._file

    @staticmethod
    def _lock(file: int, byte: int, deadline: float) -> bool:
        """Lock a byte; return False where locks do not work. Raises NoTurn."""
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
                return True
            except (BlockingIOError, PermissionError):
                if time.monotonic() >= deadline:
                    raise NoTurn("another process writes") from None
                time.sleep(POLL_SECONDS)
            except OSError:
                return False


def _unlock(file: int, byte: int) -> None:
    with suppress(OSError):
        fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)
