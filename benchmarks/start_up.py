"""Measures how long commands that only look take, as whole processes, against importing the largest library they use.

    python -m benchmarks.start_up [--rounds 21]

Each runs in a new project with a few customers. In each round every command and the rival run once, one after the
other; the rival is `python -c "import sqlmodel"`. Prints the medians of the rounds in milliseconds and their ratio.
tests/unit/cli/test_start_up.py tests what is imported.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

MAX_BY_SQLMODEL = 1.6
RIVAL = (sys.executable, "-c", "import sqlmodel")
MAILSHOT = Path(sys.executable).with_name("mailshot")
COMMANDS = ("status", "plan --help", "rules count", "report")
#: Without a budget: the first compiles templates in a process of its own, the second lists all commands.
OTHERS = ("rules check", "--help")


def main() -> int:
    """Measure all commands and return 0 when every budget is kept."""
    arguments = read_arguments()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "shop"
        run((MAILSHOT, "init", folder), Path(made))
        run((MAILSHOT, "import", "rules/imports/shop.yaml"), folder)
        medians = measure(folder, arguments.rounds)
    rival = medians[""]
    print(f"import sqlmodel: {rival * 1000:.0f} ms", flush=True)
    kept = True
    for command in (*COMMANDS, *OTHERS):
        ratio = medians[command] / rival
        budget = f" (budget {MAX_BY_SQLMODEL})" if command in COMMANDS else ""
        print(f"mailshot {command}: {medians[command] * 1000:.0f} ms, ratio {ratio:.2f}{budget}", flush=True)
        kept &= command in OTHERS or ratio <= MAX_BY_SQLMODEL
    return 0 if kept else 1


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    return parser.parse_args()


def measure(folder: Path, rounds: int) -> dict[str, float]:
    """Return the median seconds of each command, and of the rival under ''."""
    calls = {"": RIVAL, **{command: (MAILSHOT, *command.split()) for command in (*COMMANDS, *OTHERS)}}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            taken = run(call, folder)
            if number:  # the first round may write compiled files
                seconds[name].append(taken)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def run(call: Sequence[str | Path], folder: Path) -> float:
    """Run a command in a folder and return the seconds it took. Raises CalledProcessError when it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAILSHOT_")}
    begun = time.perf_counter()
    subprocess.run(call, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
