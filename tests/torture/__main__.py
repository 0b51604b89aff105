"""Runs the fault programme: `python -m tests.torture --cells F1,F3 --size ci`. The exit code is 1 if a trial failed."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.torture import databases, report
from tests.torture.cell import Cell
from tests.torture.cells import CELLS
from tests.torture.databases import Databases
from tests.torture.report import Result
from tests.torture.setup import SIZES, Size
from tests.torture.trial import Trial, open_trial

STORES = ("sqlite", "postgres")
POLICIES = ("at_most_once", "at_least_once")
#: What a trial may take beyond its patience, to start and to end, in seconds.
MARGIN_SECONDS = 150


class OutOfTime(BaseException):
    """A trial hangs. Not an Exception, so that nothing on the way swallows it."""


def run_trial(cell: Cell, size: Size, store: str, policy: str, seed: int, folder: Path, made: Databases) -> Result:
    """Run one trial in a folder of its own, which is deleted if it passes."""
    head: dict[str, Any] = {
        "cell": cell.name, "title": cell.title, "policy": policy, "store": store, "size": size.name, "seed": seed,
    }  # fmt: skip
    if store not in cell.stores or cell.unsupported():
        reason = cell.unsupported() or f"not applicable to {store}"
        return Result(**head, passed=None, problems=[reason])
    place = Path(tempfile.mkdtemp(prefix=f"{cell.name}-{store}-", dir=folder))
    began = time.monotonic()
    try:
        with (
            _time_limit(size.patience * cell.setup.patience + MARGIN_SECONDS),
            open_trial(cell.setup, size, store, policy == "at_least_once", seed, place, made) as trial,
        ):
            cell.attack(trial)
            trial.finish()
            result = _result(head, cell, trial, time.monotonic() - began)
    except (Exception, OutOfTime) as error:
        traceback.print_exc()
        problem = f"{type(error).__name__}: {error}"
        return Result(**head, passed=False, seconds=time.monotonic() - began, problems=[problem, f"files: {place}"])
    if result.passed:
        shutil.rmtree(place, ignore_errors=True)
    else:
        result.problems.append(f"files: {place}")
    return result


def _result(head: dict[str, Any], cell: Cell, trial: Trial, seconds: float) -> Result:
    verdict = trial.judge()
    problems = [*trial.problems, *verdict.problems, *cell.inspect(trial)]
    needed = trial.size.faults * trial.setup.faults
    if sum(trial.faults.values()) < needed:
        problems.append(f"only {sum(trial.faults.values())} of {needed:.0f} faults happened before the run was over")
    if not databases.is_sound(trial.store):
        problems.append("the database is corrupt")
    return Result(
        **head,
        passed=not problems,
        seconds=round(seconds, 1),
        deliveries=verdict.deliveries,
        accepted=verdict.accepted,
        kills=trial.kills,
        faults=dict(trial.faults),
        lost=verdict.lost,
        duplicated=verdict.duplicated,
        unexpected=verdict.unexpected,
        unconfirmed=verdict.unconfirmed,
        in_doubt_bound=trial.in_doubt,
        altered=verdict.altered,
        problems=problems,
        detail=trial.detail,
    )


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the block after so many seconds."""

    def stop(*_: object) -> None:
        raise OutOfTime(f"the trial hangs, after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def chosen(names: str) -> list[Cell]:
    """Return the cells with these names, separated by commas; F1 also names F1-points. Raises SystemExit."""
    if names == "all":
        return list(CELLS)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    cells = [cell for cell in CELLS if cell.name in wanted or cell.name.partition("-")[0] in wanted]
    unknown = set(wanted) - {cell.name for cell in cells} - {cell.name.partition("-")[0] for cell in cells}
    if unknown or not cells:
        sys.exit(f"There is no cell {', '.join(sorted(unknown))}. There are: {', '.join(c.name for c in CELLS)}.")
    return cells


def _words(known: tuple[str, ...]) -> Any:
    def read(text: str) -> list[str]:
        words = [word.strip() for word in text.split(",")]
        if wrong := [word for word in words if word not in known]:
            raise argparse.ArgumentTypeError(f"{wrong[0]!r} is none of {', '.join(known)}")
        return words

    return read


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--cells", default="all", help="names, separated by commas")
    parser.add_argument("--size", default="ci", choices=SIZES)
    parser.add_argument("--stores", default=list(STORES), type=_words(STORES))
    parser.add_argument("--policies", default=list(POLICIES), type=_words(POLICIES))
    parser.add_argument("--seed", type=int, help="repeats a trial; without it, each trial draws one")
    parser.add_argument("--repeat", type=int, default=1, help="how often to try each cell")
    parser.add_argument("--report", type=Path, default=Path("torture-report.json"))
    parser.add_argument("--list", action="store_true", help="show the cells")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    if arguments.list:
        print("\n".join(f"{cell.name:14}{cell.title}" for cell in CELLS))
        return
    # What was started is ended in any case, also when the programme itself is.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(130))
    folder = Path(tempfile.mkdtemp(prefix="mailshot-torture-"))
    made, results = Databases(folder), list[Result]()
    trials = [
        (cell, store, policy)
        for cell in chosen(arguments.cells)
        for store in arguments.stores
        for policy in arguments.policies
        for _ in range(arguments.repeat)
    ]
    try:
        for cell, store, policy in trials:
            seed = random.randrange(2**32) if arguments.seed is None else arguments.seed
            result = run_trial(cell, SIZES[arguments.size], store, policy, seed, folder, made)
            results.append(result)
            print(result.line(), flush=True)
            report.write(arguments.report, results)
    finally:
        made.close()
    failed = [result for result in results if result.passed is False]
    print(f"{len(results) - len(failed)} of {len(results)} trials without failure; report: {arguments.report}")
    if not failed:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
