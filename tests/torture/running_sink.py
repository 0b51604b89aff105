"""Starts the accounting mail server, reads its log and changes what it does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import processes


@dataclass
class Sink:
    """A running sink, and its log as far as it was read."""

    port: int
    log: Path
    popen: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)
    first: int = 0
    _offset: int = 0

    def read(self) -> list[dict[str, Any]]:
        """Return all events so far."""
        if self.log.exists():
            with self.log.open("rb") as file:
                file.seek(self._offset)
                whole = file.read().rpartition(b"\n")
            self._offset += len(whole[0]) + len(whole[1])
            self.events += [json.loads(line) for line in whole[0].splitlines()]
        return self.events

    def acceptances(self) -> list[dict[str, Any]]:
        return [event for event in self.read()[self.first :] if event["phase"] == "accepted"]

    def forget(self) -> None:
        """Leave what was accepted so far out of all that follows."""
        self.first = len(self.read())

    def change(self, **behaviour: Any) -> None:
        """Change what the sink does, see `sink.Behaviour`."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps(behaviour) + "\n")
        self.popen.stdin.flush()


@contextmanager
def start(folder: Path, behaviour: Mapping[str, Any]) -> Iterator[Sink]:
    """Run a sink whose log lies in the folder; for `behaviour` see `sink.Behaviour`."""
    log = folder / "accepted.log"
    command = [sys.executable, "-m", "tests.torture.sink", "--log", str(log)]
    popen = processes.start(
        [*command, "--behaviour", json.dumps(dict(behaviour))], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert popen.stdout is not None
    assert popen.stdin is not None
    try:
        yield Sink(int(popen.stdout.readline()), log, popen)
    finally:
        processes.end(popen)
        popen.stdin.close()
        popen.stdout.close()
