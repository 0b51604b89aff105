"""Counters, gauges and histograms as plain numbers in this process.

To count is to add to a number under a lock. That takes less than a microsecond (CPython 3.11), so it is done whether
or not anything reads the numbers. `http_server` reads them when Prometheus asks; it alone needs a library.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

#: The values of a metric's labels, in the order of its `labels`.
LabelValues: TypeAlias = tuple[str, ...]


class Metric:
    """What all metrics have. `processes` are the kinds of processes in which it has a meaning, and is shown."""

    def __init__(self, name: str, help: str, processes: Sequence[str], labels: Sequence[str] = ()) -> None:
        #: As Prometheus shows it, with the unit, and without the suffix `_total` of a counter.
        self.name = name
        self.help = help
        self.processes = tuple(processes)
        self.labels = tuple(labels)
        self._lock = threading.Lock()


class Counter(Metric):
    """A number that only grows, for each combination of label values."""

    def __init__(
        self,
        name: str,
        help: str,
        processes: Sequence[str],
        labels: Sequence[str] = (),
        known: Iterable[LabelValues] = (),
    ) -> None:
        """`known`: label values that are shown as 0 from the start, so that the first event is seen as an increase."""
        super().__init__(name, help, processes, labels)
        self._numbers: dict[LabelValues, int] = dict.fromkeys(known if self.labels else [()], 0)

    def add(self, number: int = 1, *values: str) -> None:
        """Add to the number for these label values."""
        with self._lock:
            self._numbers[values] = self._numbers.get(values, 0) + number

    def read(self) -> list[tuple[LabelValues, int]]:
        """Return every number with its label values."""
        with self._lock:
            return list(self._numbers.items())


class Gauge(Metric):
    """A number that goes up and down. It is not stored: its readers are called when it is read."""

    def __init__(self, name: str, help: str, processes: Sequence[str], idle: float | None = None) -> None:
        """`idle`: the value while no reader has one; None: the gauge is hidden then."""
        super().__init__(name, help, processes)
        self._idle = idle
        self._readers: list[Callable[[], float | None]] = []

    @contextmanager
    def reading(self, read: Callable[[], float | None]) -> Iterator[None]:
        """Take `read`'s value into the sum while the block runs. It is called from another thread, and must not wait.

        It returns None when it has no value.
        """
        with self._lock:
            self._readers.append(read)
        try:
            yield
        finally:
            with self._lock:
                self._readers.remove(read)

    def read(self) -> float | None:
        """Return the sum of what all readers know."""
        with self._lock:
            readers = list(self._readers)
        values = [value for read in readers if (value := read()) is not None]
        return sum(values) if values else self._idle


@dataclass(slots=True)
class Distribution:
    """The values that a histogram has seen."""

    #: How many lie at or below each bound and above the one before; the last number is beyond all bounds.
    counts: list[int]
    sum: float = 0.0


class Histogram(Metric):
    """How many values lie below each of its bounds, for each combination of label values."""

    def __init__(
        self, name: str, help: str, processes: Sequence[str], bounds: Sequence[float], labels: Sequence[str] = ()
    ) -> None:
        """`bounds`: the upper bounds of its buckets in ascending order, in the unit of its name."""
        super().__init__(name, help, processes, labels)
        self.bounds = tuple(bounds)
        self._distributions: dict[LabelValues, Distribution] = {} if self.labels else {(): self._empty()}

    def observe(self, value: float, *values: str) -> None:
        """Take a value in, for these label values."""
        place = bisect_left(self.bounds, value)
        with self._lock:
            seen = self._distributions.get(values)
            if seen is None:
                seen = self._distributions[values] = self._empty()
            seen.counts[place] += 1
            seen.sum += value

    def read(self) -> list[tuple[LabelValues, Distribution]]:
        """Return a copy of every distribution with its label values."""
        with self._lock:
            return [(values, Distribution([*seen.counts], seen.sum)) for values, seen in self._distributions.items()]

    def _empty(self) -> Distribution:
        return Distribution([0] * (len(self.bounds) + 1))
