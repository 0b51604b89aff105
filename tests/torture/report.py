"""The results of the fault programme, as JSON and as lines to read."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """The outcome of one trial. `passed` is None when the cell was skipped; `problems` then holds the reason."""

    cell: str
    title: str
    policy: str
    store: str
    size: str
    #: Repeats the random choices, together with cell, policy and store.
    seed: int
    passed: bool | None
    seconds: float = 0.0
    deliveries: int = 0
    accepted: int = 0
    kills: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    duplicated: int = 0
    unexpected: int = 0
    unconfirmed: int = 0
    #: The most deliveries that the faults could leave in doubt.
    in_doubt_bound: int = 0
    altered: int = 0
    problems: list[str] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """Return one line for a terminal; a failure also tells how to repeat it."""
        verdict = {True: "passed", False: "FAILED", None: "SKIPPED"}[self.passed]
        text = f"{verdict:8}{self.cell:14}{self.store:9}{self.policy:14}"
        if self.passed is None:
            return f"{text} {'; '.join(self.problems)}"
        text += (
            f" {self.deliveries} deliveries, {sum(self.faults.values())} faults, {self.kills} kills: lost {self.lost},"
            f" twice {self.duplicated}, unexpected {self.unexpected}, unconfirmed {self.unconfirmed}"
            f" (bound {self.in_doubt_bound}), {self.seconds:.0f} s, seed {self.seed}"
        )
        return "\n".join([text, *(f"        {problem}" for problem in self.problems)])


def totals(results: Sequence[Result]) -> dict[str, dict[str, int]]:
    """Return the sums of all trials by policy."""
    sums: dict[str, dict[str, int]] = {}
    for result in results:
        of_policy = sums.setdefault(result.policy, {})
        for name in ("deliveries", "kills", "lost", "duplicated", "unexpected", "unconfirmed", "altered"):
            of_policy[name] = of_policy.get(name, 0) + getattr(result, name)
        of_policy["faults"] = of_policy.get("faults", 0) + sum(result.faults.values())
    return sums


def write(path: Path, results: Sequence[Result]) -> None:
    """Write the report; called after each trial, so that an interrupted programme leaves what it found."""
    report = {
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "passed": sum(result.passed is True for result in results),
        "failed": sum(result.passed is False for result in results),
        "skipped": sum(result.passed is None for result in results),
        "totals": totals(results),
        "results": [asdict(result) for result in results],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, default=str) + "\n", encoding="utf-8")
