"""Runs what could take too long or too much memory in a process of its own with limits; survives that it ends.

Templates are text that people copy from anywhere, and a rule of style can be as slow as a loop. One process serves all
templates of ours: it starts at the first job, ends when none has come for a while, and is replaced when a job ends it.
It gets no settings and no keys: its environment holds where Python's modules lie and nothing else.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from mailshot import errors
from mailshot.render.problems import RenderError

SECONDS = 1.8
"""Seconds of computing for one job. The time that it waits for a busy machine does not count."""
MEGABYTES = 96
"""Memory that a job may take on top of what the process has when it starts."""
BACKSTOP_SECONDS = 120.0
"""Seconds after which a job is ended, computing or not."""
IDLE_SECONDS = 20
READY = b"ready"
HEADER = struct.Struct(">Q")
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR", "TEMP")


class Overrun(Exception):
    """A job took more time or memory than it may."""


class OutOfTime(Overrun):
    """A job took more seconds of computing than it may."""


class Failed(Exception):
    """A job ended in an error that nobody foresaw; the text is its traceback."""


class _Process:
    """One process that takes a job after the other."""

    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mailshot.render.compile_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        assert self._process.stdout
        if self._process.stdout.read(len(READY)) != READY:
            self.close()
            command = f"{sys.executable} -m mailshot.render.compile_worker"
            raise errors.Unavailable("The process that compiles templates does not start.", f"See why: {command}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether it lives, and was started by this process and not by the one we were forked from."""
        return self._owner == os.getpid() and self._process.poll() is None

    @property
    def ended_by(self) -> int:
        """How it ended: its exit code, or the number of the signal below zero."""
        return self._process.wait()

    def ask(self, job: bytes) -> bytes | None:
        """Give a job and return the answer, None when the process ended over it."""
        assert self._process.stdin
        assert self._process.stdout
        backstop = threading.Timer(BACKSTOP_SECONDS, self._process.kill)
        backstop.daemon = True
        backstop.start()
        try:
            self._process.stdin.write(HEADER.pack(len(job)) + job)
            self._process.stdin.flush()
            header = self._process.stdout.read(HEADER.size)
            if len(header) < HEADER.size:
                return None
            (length,) = HEADER.unpack(header)
            answer = self._process.stdout.read(length)
            return answer if len(answer) == length else None
        except BrokenPipeError:
            return None
        finally:
            backstop.cancel()

    def close(self) -> None:
        """End it and wait until it is gone."""
        if self._owner != os.getpid():
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            with suppress(BrokenPipeError):
                stream.close()


_IDLE = (0, -getattr(signal, "SIGALRM", 0))
"""It ended because no job came, perhaps at the very moment that one did."""
_TIME_UP = tuple(-getattr(signal, name) for name in ("SIGPROF", "SIGXCPU") if hasattr(signal, name))
"""The limits of time that a job sets itself. Any other end is not the job's doing: the system ran out of memory."""
_lock = threading.RLock()
_processes: list[_Process] = []


@contextmanager
def same_process() -> Iterator[None]:
    """Let no other thread give a job meanwhile, so that those given here go to one process while none ends it."""
    with _lock:
        yield


def run(kind: str, *arguments: Any, seconds: float = SECONDS) -> Any:
    """Run one job of `jobs.KINDS` with picklable arguments and return what it returns.

    Raises OutOfTime when it takes more than `seconds`, Overrun for more than `MEGABYTES`, Failed for an error nobody
    foresaw, the job's InvalidInput or RenderError, and Unavailable when no process can be started or one is ended from
    outside over this job twice.
    """
    job = pickle.dumps((kind, arguments, seconds))
    with _lock:
        answer = _ask(job)
    outcome: str
    content: Any
    # What answers is our own code; what it compiles runs in a sandbox there as it does here.
    outcome, content = pickle.loads(answer)  # nosec B301
    if outcome == "overrun":
        raise Overrun
    if outcome == "invalid":
        raise errors.InvalidInput(content)
    if outcome == "refused":
        raise RenderError(*content)
    if outcome == "failed":
        raise Failed(content)
    return content


def _ask(job: bytes) -> bytes:
    """Have a process answer; one that is ended from outside is replaced once."""
    killed = 0
    for _ in range(4):
        if _processes and not _processes[0].usable:
            _processes.pop().close()
        if not _processes:
            _processes.append(_Process())
        answer = _processes[0].ask(job)
        if answer is not None:
            return answer
        end = _processes[0].ended_by
        _processes.pop().close()
        if end in _TIME_UP:
            raise OutOfTime
        killed += end not in _IDLE
        if killed == 2:
            break
    raise errors.Unavailable(
        "The process that compiles templates was ended from outside.",
        "Perhaps this machine has too little memory. Give it more, or run fewer processes, and try again.",
    )


@atexit.register
def _close() -> None:
    """End the process with ours."""
    for process in _processes:
        process.close()
    _processes.clear()


def _forget() -> None:
    """Begin anew in a process that was forked, whatever thread held the lock."""
    global _lock
    _lock = threading.RLock()
    _processes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
