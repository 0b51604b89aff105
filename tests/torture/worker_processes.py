"""Mailshot's own processes as an operator runs them, each in a process group of its own, seen from outside."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support import processes

PROC = Path("/proc")
ESTABLISHED = "01"


@dataclass
class Process:
    """One command and all processes that it started."""

    command: tuple[str, ...]
    popen: subprocess.Popen[str]
    environment: Mapping[str, str]

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    def pids(self) -> list[int]:
        """Return the processes of the group."""
        pids = []
        for folder in PROC.iterdir():
            if folder.name.isdigit():
                with suppress(OSError):
                    if os.getpgid(int(folder.name)) == self.popen.pid:
                        pids.append(int(folder.name))
        return pids

    def signal(self, number: signal.Signals) -> None:
        """Signal the whole group; nothing happens when it is gone."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)

    def terminate(self, patience: float) -> int:
        """Ask the command itself to end, as a process manager does; return its exit code."""
        if self.running:
            self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def kill(self) -> None:
        """End all processes of the group at once, as a machine that fails does."""
        self.signal(signal.SIGKILL)
        self.popen.wait(30)

    def limit(self, which: int, most: int | None) -> None:
        """Set a soft resource limit of every process; None: as much as its hard limit allows."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                _, hard = resource.prlimit(pid, which)
                resource.prlimit(pid, which, (hard if most is None else most, hard))

    def open_connections(self, port: int) -> int:
        """Count the TCP connections of the group to a local port."""
        sockets = set()
        for pid in self.pids():
            with suppress(OSError):
                for link in (PROC / str(pid) / "fd").iterdir():
                    with suppress(OSError):
                        sockets.add(os.readlink(link))
        lines = [line.split() for line in (PROC / "net/tcp").read_text().splitlines()[1:]]
        remote = f":{port:04X}"
        return sum(
            line[2].endswith(remote) and line[3] == ESTABLISHED and f"socket:[{line[9]}]" in sockets for line in lines
        )


def start(
    command: tuple[str, ...], environment: Mapping[str, str], log: Path, shifted_by: Path | None = None
) -> Process:
    """Start `mailshot COMMAND`; with `shifted_by`, under a clock that is off by the seconds in that file."""
    launcher = ["-m", "mailshot"] if shifted_by is None else ["-m", "tests.torture.shifted_clock", str(shifted_by)]
    with log.open("a") as file:
        popen = processes.start(
            [sys.executable, *launcher, *command],
            environment,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    return Process(command, popen, environment)
