"""Sends a run once, and dies at the mail of one customer like a process that is out of memory.

Run `python -m tests.crash.deadly CUSTOMER_ID RUN_ID`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from mailshot.bootstrap import App, open_store
from mailshot.deliver import pipeline
from mailshot.render import compose
from mailshot.settings import load_settings


def main() -> None:
    """Answer one doorbell."""
    deadly, run_id = (int(number) for number in sys.argv[1:])
    write = compose.compose

    def fatal(mailing: Any, delivery: compose.Recipient, *arguments: Any) -> compose.OutgoingMail:
        if delivery.customer_id == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(mailing, delivery, *arguments)

    compose.compose = fatal
    settings = load_settings()
    pipeline.send_batch(App(settings, open_store(settings)).send_settings, run_id, 2000, threading.Event())


if __name__ == "__main__":
    main()
