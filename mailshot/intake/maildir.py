"""Collects messages from a Maildir folder: what is in `new` is stored, then moved to `cur` as seen.

A crash in between leaves the file in `new`. It is taken again, and stored only once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from mailshot.errors import Unavailable
from mailshot.states import IncomingSource
from mailshot.store.incoming_mail import RawMail

log = logging.getLogger(__name__)
MAX_BYTES = 25 * 1024 * 1024


def collect(folder: Path, take: Callable[[RawMail], bool], stop: Callable[[], bool]) -> int:
    """Store all new messages of a Maildir, and return how many. Raises Unavailable when it cannot be read."""
    try:
        waiting = sorted(entry for entry in (folder / "new").iterdir() if entry.is_file())
        (folder / "cur").mkdir(exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"The Maildir {folder} cannot be read: {error.strerror}.", "It needs the folders new, cur and tmp."
        ) from error
    collected = 0
    for path in waiting:
        if stop():
            break
        collected += _collect_one(path, folder / "cur", take)
    return collected


def _collect_one(path: Path, seen: Path, take: Callable[[RawMail], bool]) -> int:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES)
    except FileNotFoundError:  # another process took it
        return 0
    except OSError as error:
        # It stays in `new`, and must not stop the messages behind it.
        log.error("the message %s cannot be read: %s", path, error.strerror)
        return 0
    take(RawMail(raw, IncomingSource.maildir, None, datetime.now(UTC)))
    try:
        os.rename(path, seen / f"{path.name.partition(':')[0]}:2,S")
    except FileNotFoundError:
        return 0
    return 1
