"""Whether anyone could write to a SQLite database just now."""

from __future__ import annotations

import fcntl
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

PATIENCE_SECONDS = 0.2


def is_free(database: str) -> bool:
    """Whether neither SQLite's lock nor a place in the queue of writers (`store.writer_turn`) is taken."""
    queue = Path(f"{database}-turn")
    if queue.exists():
        with queue.open("r+b") as file, suppress(OSError):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(file, fcntl.LOCK_UN)
            return _is_writable(database)
        return False
    return _is_writable(database)


def _is_writable(database: str) -> bool:
    with closing(sqlite3.connect(database, isolation_level=None, timeout=PATIENCE_SECONDS)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True
