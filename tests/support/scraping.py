"""Reads the metrics of a process over HTTP, as Prometheus does."""

from __future__ import annotations

import socket
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Scrape:
    """What a process showed."""

    text: str
    #: Every sample by its name and the values of its labels, sorted by the labels' names.
    samples: dict[tuple[str, ...], float]

    def __getitem__(self, key: str | tuple[str, ...]) -> float:
        return self.samples[(key,) if isinstance(key, str) else key]

    def named(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the samples of one name by their label values, without those that are 0."""
        return {key[1:]: value for key, value in self.samples.items() if key[0] == name and value}


def scrape(port: int) -> Scrape:
    """Read the metrics on a port of this machine. Raises OSError when none are served there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    samples = {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return Scrape(text, samples)


def free_ports(number: int) -> int:
    """Return the first of so many neighbouring ports that are free."""
    for first in range(21_000, 31_000, number):
        try:
            with ExitStack() as stack:
                for port in range(first, first + number):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")
