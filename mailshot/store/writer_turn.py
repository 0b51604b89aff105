"""Lets all writers of one SQLite file take turns, threads and processes alike.

SQLite has one writer at a time and no queue: a connection that wants to write tries again and again, and a process that
writes all the time leaves no moment to one that tries every few milliseconds. So a writer waits in a queue of two
places, each a lock on one byte of an empty file beside the database. `NEXT` is for the one that writes next: only it
waits for `CURRENT`, so the last writer cannot overtake it. A process that ends gives back its locks.

SQLite's own locks still decide. Where these cannot be had, for example on some network file systems, where another
program writes, or where a process stands still in its turn, the transaction waits for those alone (`engine._begin`).
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
#: How long to wait for the turn of another process. Our transactions are shorter, but for those of an import.
TURN_SECONDS = 1.0
SUFFIX = "-turn"


class NoTurn(Exception):
    """Another thread of this process writes all the time."""


class WriterTurn:
    """The turns of one database; without a path those of the threads of this process."""

    def __init__(self, path: Path | None, patience_seconds: float) -> None:
        self._threads = threading.Lock()
        self._patience_seconds = patience_seconds
        self._path = path.with_name(path.name + SUFFIX) if path else None
        self._file: int | None = None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for the turn and keep it. Raises NoTurn."""
        if not self._threads.acquire(timeout=self._patience_seconds):
            raise NoTurn
        try:
            with self._locked():
                yield
        finally:
            self._threads.release()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        file, deadline = self._open(), time.monotonic() + TURN_SECONDS
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
        """Lock a byte; return False where locks do not work, or when it is not free in time."""
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
                return True
            except (BlockingIOError, PermissionError):
                if time.monotonic() >= deadline:
                    return False
                time.sleep(POLL_SECONDS)
            except OSError:
                return False


def _unlock(file: int, byte: int) -> None:
    with suppress(OSError):
        fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)
