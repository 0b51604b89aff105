"""Owns the process that sends: `python -m workers.send`; refuses to plan or to launch."""

from __future__ import annotations

import sys

from mailshot import tasks
from workers import process

# One thread fills its connections; a second would only fight it for the interpreter.
THREADS = 1

if __name__ == "__main__":
    sys.exit(process.run(lambda app, stop: tasks.work_until(app, THREADS, stop)))
