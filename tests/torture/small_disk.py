"""A small file system in memory, to fill up. Only root may mount one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEGABYTES = 48
BLOCK = b"\0" * 65_536


def unsupported() -> str:
    """Why there can be none here; "" when there can."""
    return "" if sys.platform == "linux" and os.geteuid() == 0 else "only root on Linux can mount a small disk"


@contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """Give an empty disk of 48 MB in a new folder."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "mailshot-torture", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def fill(ballast: Path) -> None:
    """Write a file until not one more block fits on its disk."""
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for size in (len(BLOCK), 4096, 1):
            try:
                while os.write(descriptor, BLOCK[:size]) == size:
                    pass
            except OSError:
                continue
    finally:
        os.close(descriptor)
