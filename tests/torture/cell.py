"""What a cell of the fault programme is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.torture.setup import Setup
from tests.torture.trial import Trial


def _no_further_rule(_trial: Trial) -> list[str]:
    return []


@dataclass(frozen=True)
class Cell:
    """One kind of fault. Each cell is tried on both stores and under both policies, unless it says otherwise."""

    #: F1 to F20, with a suffix where one has several cells.
    name: str
    title: str
    #: Injects the faults while the run is being sent.
    attack: Callable[[Trial], None]
    setup: Setup = field(default_factory=Setup)
    #: Returns what breaks the cell's own rules, once the run is over.
    inspect: Callable[[Trial], list[str]] = _no_further_rule
    stores: tuple[str, ...] = ("sqlite", "postgres")
    #: Why it cannot run with this build of Mailshot or on this machine; "" when it can.
    unsupported: Callable[[], str] = lambda: ""
