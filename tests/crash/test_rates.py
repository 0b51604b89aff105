"""A rate of 90 a minute sends 90 a minute, however many workers there are, with and without Redis."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tests.crash.conftest import Lay
from tests.crash.siege import Siege

RATE, MINUTES = 90, 5


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("workers", "redis"), [(1, False), (3, False), (3, True)])
def test_a_rate_is_exact(lay: Lay, workers: int, redis: bool) -> None:
    with lay(RATE * (MINUTES + 1), f"limits: {{rate: {RATE}}}\n", **({} if redis else {"MAILSHOT_REDIS": ""})) as laid:
        while len(laid.workers) < workers:
            laid.add()
        minutes = _sent_by_minute(laid)
        laid.workers[0].terminate()
    print(workers, redis, minutes)
    assert all(abs(sent - RATE) <= 2 for sent in minutes)


def _sent_by_minute(laid: Siege) -> list[int]:
    """Return how many mails arrived in each whole minute from the first on."""
    while not laid.sink.entries():
        time.sleep(0.1)
    begun = laid.sink.entries()[0]["at"]
    time.sleep(max(begun + 60 * MINUTES + 2 - time.time(), 0))
    counts = Counter(int((entry["at"] - begun) // 60) for entry in laid.sink.entries())
    return [counts[minute] for minute in range(MINUTES)]
