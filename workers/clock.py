"""Owns the process that keeps time: `python -m workers.clock`; refuses to send."""

from __future__ import annotations

import sys

from mailshot import tasks
from workers import process

if __name__ == "__main__":
    sys.exit(process.run(tasks.tick_until))
