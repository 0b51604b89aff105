"""A model of a power cut: the files of a SQLite database as they were when each was last synced to disk.

A small library (durable_files.c) is loaded into the worker and copies each file after an fsync. Whatever was written
since is what a power cut takes. The copy knows nothing of SQLite.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
#: The index in shared memory is no file that survives; SQLite makes it anew.
ENDS = ("", "-wal")


def unsupported() -> str:
    """Why it cannot be done here; "" when it can."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        return "needs a C compiler ('cc') on Linux"
    return ""


@cache
def _library() -> Path:
    path = Path(tempfile.mkdtemp(prefix="mailshot-torture-")) / "durable_files.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(path), str(SOURCE), "-ldl"], check=True)
    return path


def variables(durable: Path, database: str) -> dict[str, str]:
    """Call the database durable as it is, and return the variables of processes that are to be watched."""
    durable.mkdir()
    for path in _files(database):
        if path.exists():
            shutil.copy(path, durable / path.name)
    return {"LD_PRELOAD": str(_library()), "TORTURE_DATABASE": database, "TORTURE_DURABLE": str(durable)}


def restore(durable: Path, database: str) -> int:
    """Put the files back to what is certain to be on disk; return how many had more than that."""
    changed = 0
    for path in _files(database):
        before = path.read_bytes() if path.exists() else b""
        path.unlink(missing_ok=True)
        kept = durable / path.name
        if kept.exists():
            shutil.copy(kept, path)
        changed += before != (kept.read_bytes() if kept.exists() else b"")
    Path(f"{database}-shm").unlink(missing_ok=True)
    return changed


def _files(database: str) -> list[Path]:
    return [Path(f"{database}{end}") for end in ENDS]
