"""Runs jobs on untrusted templates in a separate process with limits on time and memory.

Templates are text from anywhere, and a style rule can be as slow as a loop. One process serves all templates of this
process: it starts at the first job, ends after a while without jobs, and is replaced when a job ends it. It gets no
settings and no keys: its environment contains the path of Python's modules only.
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

MAX_SECONDS = 1.8
"""CPU seconds of one job. Waiting for a busy machine does not count."""
MAX_MEGABYTES = 96
"""Memory of a job, in addition to what the process uses at its start."""
BACKSTOP_SECONDS = 120.0
"""Wall-clock seconds after which a job is ended in any case."""
IDLE_SECONDS = 20
READY = b"ready"
HEADER = struct.Struct(">Q")
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR", "TEMP")
_IDLE = (0, -getattr(signal, "SIGALRM", 0))
"""It ended because it was idle, perhaps just when a job arrived."""
_TIME_UP = tuple(-getattr(signal, name) for name in ("SIGPROF", "SIGXCPU") if hasattr(signal, name))
"""Signals of the time limits. Any other end is not the job's fault, for example the system ran out of memory."""
_lock = threading.RLock()


class LimitExceeded(Exception):
    """A job exceeded its limit of time or memory."""


class OutOfTime(LimitExceeded):
    """A job exceeded its CPU time."""


class JobFailed(Exception):
    """A job ended with an unexpected error; the text is its traceback."""


class _Process:
    """One process that runs jobs one after the other."""

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
        """Whether it is running, and was started by this process (not by the parent of a fork)."""
        return self._owner == os.getpid() and self._process.poll() is None

    @property
    def ended_by(self) -> int:
        """Its exit code, or the negative number of the signal that ended it."""
        return self._process.wait()

    def ask(self, job: bytes) -> bytes | None:
        """Send a job and return its result, None if the process ended."""
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
        """Kill it and wait for its end."""
        if self._owner != os.getpid():
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            with suppress(BrokenPipeError):
                stream.close()


_processes: list[_Process] = []


@contextmanager
def same_process() -> Iterator[None]:
    """Keep other threads from sending jobs, so that all jobs sent here go to the same process."""
    with _lock:
        yield


def run_job(kind: str, *arguments: Any, seconds: float = MAX_SECONDS) -> Any:
    """Run one job of `compile_worker.KINDS` with picklable arguments and return what it returns.

    Raises OutOfTime if it takes more than `seconds`, Overrun for more than `MEGABYTES`, JobFailed for an
    unexpected error, the job's InvalidInput or RenderError, and Unavailable if no process can be started or it is
    killed from outside twice.
    """
    job = pickle.dumps((kind, arguments, seconds))
    with _lock:
        answer = _ask(job)
    outcome: str
    content: Any
    # What answers is our own code; what it compiles runs in a sandbox there as it does here.
    outcome, content = pickle.loads(answer)  # nosec B301
    if outcome == "overrun":
        raise LimitExceeded
    if outcome == "invalid":
        raise errors.InvalidInput(content)
    if outcome == "refused":
        raise RenderError(*content)
    if outcome == "failed":
        raise JobFailed(content)
    return content


def _ask(job: bytes) -> bytes:
    """Send a job to the process; one that is killed from outside is replaced once."""
    killed, end = 0, 0
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
        f"The process that compiles templates was killed from outside (exit code {end}).",
        "Perhaps this machine has too little memory. Give it more, or run fewer processes, and try again.",
    )


@atexit.register
def _close() -> None:
    """Kill the process when this one exits."""
    for process in _processes:
        process.close()
    _processes.clear()


def _forget() -> None:
    """Reset in a forked process, whichever thread held the lock."""
    global _lock
    _lock = threading.RLock()
    _processes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
