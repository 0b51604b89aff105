"""Clocks that jump, and hosts whose clocks disagree."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from tests.torture.cell import Cell
from tests.torture.setup import Setup
from tests.torture.trial import Trial

HOUR, DAY = 3600.0, 86_400.0
SKEW_SECONDS = 120.0
#: After these the due time is past, to come, and past again.
SCHEDULE_JUMPS = (HOUR, -HOUR, HOUR, DAY, -DAY, -2 * HOUR, 2 * HOUR)
ZONE = ZoneInfo("America/New_York")


def jump(trial: Trial) -> None:
    """Let the clock of all workers jump, there and back."""
    for index in trial.moments():
        distance = -trial.shifted_by if index % 2 else trial.random.choice((HOUR, -HOUR, DAY, -DAY))
        # What is under way when its lease is suddenly over is taken for a dead worker's.
        trial.in_doubt += trial.open_connections()
        trial.shift(distance)
        trial.faults[f"clock {distance / HOUR:+.0f} h"] += 1
    trial.shift(-trial.shifted_by)


def disagree(trial: Trial) -> None:
    """Run workers whose clocks are two minutes apart, and restart them one after the other."""
    for index in trial.moments():
        worker = trial.workers[0]
        trial.shift_file = _shift_file(trial, (SKEW_SECONDS, 0.0, -SKEW_SECONDS)[index % 3])
        trial.start_worker()
        trial.workers.remove(worker)
        worker.terminate(60)
        trial.faults["worker with another clock"] += 1


def _shift_file(trial: Trial, seconds: float) -> Path:
    path = trial.folder / f"shift{seconds:+.0f}"
    path.write_text(str(seconds))
    return path


def jump_on_schedule(trial: Trial) -> None:
    """Let the clock of all processes jump over the time at which a campaign is due, and back."""
    due = datetime.now(ZONE) + timedelta(minutes=30)
    trial.write_campaign(f"schedule: {{at: {due:%Y-%m-%d %H:%M}}}\n")
    for command in ("plan hello", "launch hello"):
        trial.run_command(command)
    for distance in SCHEDULE_JUMPS:
        trial.shift(distance)
        time.sleep(2.5)
        trial.faults[f"clock {distance / HOUR:+.0f} h"] += 1
    trial.take_only_run()


#: At the beginning of each batch, rows whose lease is over are taken: small ones make clocks that disagree matter.
SMALL_BATCHES = {"MAILSHOT_BATCH": "100"}
CELLS = (
    Cell(
        "F14-jumps",
        "the clock jumps an hour and a day, there and back",
        jump,
        Setup(shifted=True, lease=5.0, workers=2, beside=("clock",), variables=SMALL_BATCHES),
    ),
    Cell(
        "F14-skew",
        "workers whose clocks are two minutes apart",
        disagree,
        Setup(
            shifted=True,
            lease=30.0,
            workers=2,
            beside=("clock",),
            behaviour={"delay": 0.3, "step": 0.1},
            variables=SMALL_BATCHES,
        ),
    ),
    Cell(
        "F14-schedule",
        "the clock jumps over the time at which a campaign is due, with two clock processes",
        jump_on_schedule,
        Setup(shifted=True, lease=5.0, launched=False, beside=("clock", "clock"), faults=0.5),
    ),
)
