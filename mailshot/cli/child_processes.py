"""Child processes of `up` and `worker`: each has an interpreter of its own, so that sending never delays a web page.

A child that ends by itself is started again. A child whose parent is gone shuts down gracefully.
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
import threading
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from typing import Any

from mailshot.cli import context, signals
from mailshot.errors import MailshotError

log = logging.getLogger(__name__)
#: Between the end of a child and the start of the next: a child that fails at once must not use up the machine.
RESTART_SECONDS = 2.0
#: Between two checks whether all children are alive.
CHECK_SECONDS = 0.5

#: Runs in a child until the event is set, with further arguments; a module-level function, and picklable values.
Work = Callable[..., None]


class ChildProcesses:
    """Some child processes that do the same work, from start() to stop()."""

    def __init__(self, name: str, number: int, work: Work, *arguments: Any) -> None:
        self._name, self._number = name, number
        self._work, self._arguments = work, arguments
        self._children: list[SpawnProcess] = []
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._restart_ended, name=f"{name}-processes")

    def start(self) -> None:
        """Start all children and return; they are watched from now on."""
        self._children = [self._start_one() for _ in range(self._number)]
        self._watcher.start()

    def stop(self) -> None:
        """Ask all children to shut down gracefully, and wait until they have ended."""
        self._stop.set()
        self._watcher.join()
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.join()

    def _start_one(self) -> SpawnProcess:
        # A daemon ends with this process, also when a second Ctrl-C ends it at once.
        process = multiprocessing.get_context("spawn").Process(
            target=_run, args=(self._work, self._arguments), name=self._name, daemon=True
        )
        process.start()
        return process

    def _restart_ended(self) -> None:
        while not self._stop.wait(CHECK_SECONDS):
            for place, child in enumerate(self._children):
                if child.is_alive():
                    continue
                log.error("the %s process %s ended with %s; it is started again", self._name, child.pid, child.exitcode)
                if self._stop.wait(RESTART_SECONDS):
                    return
                try:
                    self._children[place] = self._start_one()
                except OSError as error:
                    log.error("the %s process cannot be started now: %s", self._name, error)


def _run(work: Work, arguments: tuple[Any, ...]) -> None:
    """Be a child: work until SIGTERM, Ctrl-C or the end of the parent."""
    context.logs()
    try:
        with signals.stopping() as stop:
            threading.Thread(target=_stop_without_parent, args=(stop,), name="parent-watch", daemon=True).start()
            work(stop, *arguments)
    except MailshotError as error:
        log.error("%s", error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _stop_without_parent(stop: threading.Event) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        stop.set()
