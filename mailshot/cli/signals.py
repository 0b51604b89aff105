"""Ctrl-C and SIGTERM: both ask a process to shut down gracefully."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and Ctrl-C set; a second Ctrl-C ends at once.

    The handlers stay until the process ends, so that a runner that asks twice does not cut the shutdown short.
    """
    stop, asked = threading.Event(), False
    reader, writer = os.pipe()

    def listen() -> None:
        os.read(reader, 1)
        stop.set()

    def ask(number: int, _frame: Any) -> None:
        # No lock is taken here: a signal that interrupts this handler would wait for it forever.
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True
        os.write(writer, b"x")

    threading.Thread(target=listen, name="stop-signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        stop.set()
