"""Processes that are killed, stopped, asleep or short of memory and file descriptors."""

from __future__ import annotations

import resource
import signal
import time

from mailshot import failpoints
from tests.torture import locks
from tests.torture.cell import Cell
from tests.torture.setup import CONNECTIONS, Setup
from tests.torture.trial import Trial
from tests.torture.worker_processes import Process

#: Between two SIGTERMs, in seconds.
ROLLING_SECONDS = {"ci": 2.0, "full": 5.0}
#: How often each failpoint is hit, and how long it may take to get there, in seconds.
POINT_ROUNDS = {"ci": 1, "full": 20}
POINT_SECONDS = 30.0
#: How long others have to take over from a stopped worker.
TAKE_OVER_SECONDS = 5.0
FREEZE_TRIES = 20
#: After the lease of a dead worker.
RESUME_SECONDS = 20.0
#: Limits below what a worker has already: it keeps that and gets no more. For how long, in seconds.
MOST_DESCRIPTORS, MOST_BYTES = 8, 1_000_000
STARVED_SECONDS = 1.5


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
    taken_over = 0
    for _ in trial.moments(end=0.7):
        zombie = _freeze(trial)
        trial.in_doubt += zombie.open_connections(trial.smtp_port)
        held = trial.state_of("claimed") + trial.state_of("dotting")
        time.sleep(trial.setup.lease * (1.2 + trial.random.random()))
        # Once the others have sent its rows, it must not send them again. They come first: claims go by customer.
        goal, end = trial.arrived() + held, time.monotonic() + TAKE_OVER_SECONDS
        while trial.arrived() < goal and time.monotonic() < end and not trial.finished():
            time.sleep(0.02)
        trial.faults["SIGSTOP"] += 1
        taken_over += trial.arrived() >= goal
        zombie.signal(signal.SIGCONT)
    trial.detail["taken over"] = taken_over


def _freeze(trial: Trial) -> Process:
    """Stop the busiest worker, on SQLite at a moment when it does not keep all others from writing."""
    for _ in range(FREEZE_TRIES):
        zombie = trial.busiest()
        zombie.signal(signal.SIGSTOP)
        if not trial.store.sqlite or locks.is_free(trial.store.engine.url.database or ""):
            break
        zombie.signal(signal.SIGCONT)
        time.sleep(0.05 * trial.random.random())
    else:
        zombie.signal(signal.SIGSTOP)
    return zombie


def some_were_taken_over(trial: Trial) -> list[str]:
    """Check that there were zombies: rows that were sent by others while their worker slept."""
    taken_over, least = trial.detail["taken over"], trial.size.faults // 3
    return [] if taken_over >= least else [f"others took over only {taken_over} times, not {least}"]


def kill_at_points(trial: Trial) -> None:
    """Start workers that kill themselves at a named point; each point is passed a random number of times before."""
    trial.tended = False
    for round_ in range(POINT_ROUNDS[trial.size.name]):
        for name in failpoints.NAMES:
            if trial.finished():
                trial.problems.append(f"the run was over before {name} in round {round_}")
                return
            count = trial.random.randint(1, 40 if "commit" not in name else 1 if "claim" in name else 3)
            worker = trial.start_worker(**{failpoints.VARIABLE: f"{name}:{count}"})
            end = time.monotonic() + POINT_SECONDS
            while worker.running and time.monotonic() < end and not trial.finished():
                time.sleep(0.02)
            trial.workers.remove(worker)
            if worker.popen.poll() == -signal.SIGKILL:
                trial.faults[name] += 1
                trial.kills += 1
                trial.in_doubt += CONNECTIONS
            else:
                trial.problems.append(f"{name}:{count} was not reached")
                worker.kill()
                trial.in_doubt += CONNECTIONS
    trial.start_worker()


def kill_clock_and_web(trial: Trial) -> None:
    """Kill clock and web in turn, now and then the worker too: the run goes on within the lease and 20 s."""
    slowest = 0.0
    for index in trial.moments():
        number = index % len(trial.beside)
        command = " ".join(trial.beside[number].command)
        trial.beside[number].kill()
        trial.kills += 1
        trial.faults[f"SIGKILL of {command}"] += 1
        if index % 5 == 4:
            for worker in list(trial.workers):
                trial.kill(worker)
        arrived, began = trial.arrived(), time.monotonic()
        trial.beside[number] = trial.start(command)
        if trial.wait_for(arrived + 40):
            slowest = max(slowest, time.monotonic() - began)
    trial.detail["slowest resumption in seconds"] = round(slowest, 1)
    if slowest > trial.setup.lease + RESUME_SECONDS:
        trial.problems.append(f"it took {slowest:.0f} s to go on, with a lease of {trial.setup.lease:.0f} s")


def starve_workers(trial: Trial) -> None:
    """Take memory and file descriptors from the busiest worker for a while; what then ends is started again."""
    trial.sink.change(mail="421", every=20)  # so that connections have to be opened again and again
    for index in trial.moments():
        worker = trial.busiest()
        trial.in_doubt += worker.open_connections(trial.smtp_port)
        if index % 2:
            worker.limit(resource.RLIMIT_NOFILE, MOST_DESCRIPTORS)
            trial.faults["no file descriptor left"] += 1
        else:
            worker.limit(resource.RLIMIT_AS, MOST_BYTES)
            trial.faults["no memory left"] += 1
        time.sleep(STARVED_SECONDS)
        worker.limit(resource.RLIMIT_NOFILE, None)
        worker.limit(resource.RLIMIT_AS, None)
    trial.sink.change(mail="")
    trial.pass_retries()


def were_starved(trial: Trial) -> list[str]:
    """Check that the workers felt it: a limit that nothing runs into proves nothing."""
    log = (trial.folder / "worker.log").read_text(errors="replace")
    # What a worker has in its heap may be enough for a while, so that short memory need not show.
    signs = ("Too many open files", "MemoryError", "Cannot allocate memory", "can't start new thread")
    trial.detail["in the log"] = {sign: log.count(sign) for sign in signs}
    return [] if log.count(signs[0]) else [f"the log has no '{signs[0]}'"]


CELLS = (
    Cell("F1", "kill -9 of workers at random moments", kill_workers),
    Cell(
        "F1-points",
        "workers that die at each of twelve named points",
        kill_at_points,
        Setup(workers=0, faults=1.2, patience=2.0),
    ),
    Cell(
        "F2",
        "kill -9 of clock and web, and now and then of the worker",
        kill_clock_and_web,
        Setup(beside=("clock", "web"), behaviour={"delay": 0.1, "step": 0.05}),
    ),
    Cell("F3", "rolling restart by SIGTERM", restart_workers, Setup(behaviour={"delay": 0.5, "step": 0.05})),
    Cell(
        "F4",
        "workers that sleep past their lease",
        freeze_workers,
        # Small batches: at the beginning of each one, rows whose lease is over are taken.
        Setup(lease=1.0, behaviour={"delay": 0.2, "step": 0.1}, variables={"MAILSHOT_BATCH": "100"}, share=2.0),
        some_were_taken_over,
    ),
    Cell(
        "F18",
        "workers without memory or file descriptors",
        starve_workers,
        Setup(shifted=True, behaviour={"delay": 0.1, "step": 0.05}, lease=5.0),
        were_starved,
    ),
)
