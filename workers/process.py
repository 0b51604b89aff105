"""Owns what every worker process does around its task: settings, signals, closing; refuses to know the task."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from mailshot import bootstrap, settings
from mailshot.bootstrap import App
from mailshot.errors import MailshotError


def run(task: Callable[[App, threading.Event], None]) -> int:
    """Run a task until SIGTERM or SIGINT asks it to stop; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    try:
        app = bootstrap.build(settings.load())
        task(app, stop)
        app.store.close()
    except MailshotError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0
