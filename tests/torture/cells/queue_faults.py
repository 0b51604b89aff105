"""A Redis that is killed, emptied or full, and replies from it that get lost."""

from __future__ import annotations

import time

from tests.torture.cell import Cell
from tests.torture.setup import Setup
from tests.torture.trial import Trial

#: How long Redis is down once in each trial, in seconds; the other times are short.
LONG_OUTAGE = {"ci": 8.0, "full": 45.0}
FULL_SECONDS = 1.0


def restart_redis(trial: Trial) -> None:
    """Kill Redis and start it again, with and without its append-only file."""
    assert trial.redis is not None
    last = trial.size.faults - 1  # the long outage comes at the end: the workers go on without Redis meanwhile
    for index in trial.moments(end=0.6):
        trial.redis.kill()
        time.sleep(LONG_OUTAGE[trial.size.name] if index == last else trial.random.random())
        trial.redis.begin("--appendonly", "yes" if index % 2 else "no")
        trial.faults["Redis killed"] += 1


def disturb_redis(trial: Trial) -> None:
    """Empty Redis, let it run out of memory, and lose replies of it, in turn."""
    assert trial.redis is not None
    proxy = trial.proxies["redis"]
    proxy.lose_reply_to = b"EVALSHA"  # Dramatiq does everything in one script
    for index in trial.moments():
        if index % 3 == 0:
            trial.redis.flush()
            trial.faults["FLUSHALL"] += 1
        elif index % 3 == 1:
            trial.redis.command("CONFIG SET maxmemory 1")
            time.sleep(FULL_SECONDS)
            trial.redis.command("CONFIG SET maxmemory 0")
            trial.faults["maxmemory"] += 1
        else:
            proxy.replies_to_lose = 2
            trial.faults["reply lost"] += 1
    trial.detail["replies lost"] = proxy.replies_lost


def replies_were_lost(trial: Trial) -> list[str]:
    return [] if trial.detail["replies lost"] else ["no reply was lost"]


CELLS = (
    Cell(
        "F5",
        "Redis killed and started again, with and without its append-only file",
        restart_redis,
        Setup(redis=True, workers=2, beside=("clock",), lease=10.0, behaviour={"delay": 0.3, "step": 0.1}),
    ),
    Cell(
        "F6",
        "Redis emptied, out of memory, and replies of it lost",
        disturb_redis,
        Setup(redis=True, workers=2, beside=("clock",), proxies=("redis",), lease=10.0),
        replies_were_lost,
    ),
)
