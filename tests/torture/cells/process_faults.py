"""Processes that are killed, stopped, asleep or short of memory and file descriptors."""

from __future__ import annotations

import signal
import time

from tests.torture.cell import Cell
from tests.torture.trial import Setup, Trial

#: Between two SIGTERMs, in seconds.
ROLLING_SECONDS = {"ci": 2.0, "full": 5.0}


def kill_workers(trial: Trial) -> None:
    """Kill the busiest worker at random moments."""
    for _ in trial.moments():
        trial.kill(trial.busiest())


def restart_workers(trial: Trial) -> None:
    """Ask the busiest worker to end, every few seconds, and start another at once."""
    while trial.faults["SIGTERM"] < trial.size.faults and trial.wait_for(1) and not trial.finished():
        worker = trial.busiest()
        if not worker.open_connections(trial.smtp_port):
            time.sleep(0.1)  # nothing is being sent just now, so that there is nothing to interrupt
            continue
        trial.start_worker()
        trial.workers.remove(worker)
        code = worker.terminate(60)
        trial.faults["SIGTERM"] += 1
        if code not in (0, -signal.SIGTERM):
            trial.problems.append(f"a worker ended with {code} after SIGTERM")
        time.sleep(ROLLING_SECONDS[trial.size.name] * (0.5 + trial.random.random()))


def freeze_workers(trial: Trial) -> None:
    """Stop the busiest worker for longer than its lease; it goes on while another one has its rows."""
    if len(trial.workers) < 2:
        trial.start_worker()
    for _ in trial.moments():
        zombie = trial.busiest()
        zombie.signal(signal.SIGSTOP)
        trial.in_doubt += zombie.open_connections(trial.smtp_port)
        trial.faults["SIGSTOP"] += 1
        time.sleep(trial.setup.lease * (1.2 + trial.random.random()))
        zombie.signal(signal.SIGCONT)


CELLS = (
    Cell("F1", "kill -9 of workers at random moments", kill_workers),
    Cell("F3", "rolling restart by SIGTERM", restart_workers, Setup(behaviour={"delay": 0.6})),
    Cell("F4", "workers that sleep past their lease", freeze_workers, Setup(lease=1.0)),
)
