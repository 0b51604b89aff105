"""Runs a Mailshot command under a wall clock that is off by the seconds in a file, which may change at any time.

Run `python -m tests.torture.shifted_clock FILE COMMAND …`. The monotonic clock goes on as it is, as on a machine whose
operator sets the time.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import time_machine

POLL_SECONDS = 0.05


def main() -> None:
    path = Path(sys.argv[1])
    shift = _read(path) or 0.0
    coordinates = time_machine.travel(datetime.now(UTC) + timedelta(seconds=shift), tick=True).start()
    # To begin took a moment, which would be missing from the clock.
    coordinates.shift(time_machine.escape_hatch.time.time() + shift - time.time())

    def follow() -> None:
        nonlocal shift
        while True:
            wanted = _read(path)
            if wanted is not None and wanted != shift:
                coordinates.shift(wanted - shift)
                shift = wanted
            time.sleep(POLL_SECONDS)

    threading.Thread(target=follow, daemon=True).start()
    sys.argv[:2] = ["mailshot"]
    from mailshot.__main__ import main as run

    run()


def _read(path: Path) -> float | None:
    """Return the shift in seconds; None while the file is being written."""
    with suppress(OSError, ValueError):
        return float(path.read_text())
    return None


if __name__ == "__main__":
    main()
