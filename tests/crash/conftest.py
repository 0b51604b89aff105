"""Fixtures for killing workers: on SQLite alone, and on PostgreSQL with Redis and two workers."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mailshot.store.engine import Store
from tests.crash import siege
from tests.crash.siege import Siege
from tests.support import processes
from tests.support.project import Shop

Lay = Callable[..., AbstractContextManager[Siege]]


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with processes.redis() as url:
        yield url


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Return a random source whose seed is shown when the test fails; MAILSHOT_TEST_SEED repeats one."""
    seed = int(os.environ.get("MAILSHOT_TEST_SEED", random.randrange(2**32)))
    print(f"MAILSHOT_TEST_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[processes.Sink]:
    """Give a sink that takes up to 20 ms to answer the dot."""
    with processes.sink(tmp_path, "--delay", "0.02") as running:
        yield running


@pytest.fixture
def lay(request: pytest.FixtureRequest, store: Store, sink: processes.Sink, tmp_path: Path) -> Lay:
    """Return a maker of sieges: one worker on SQLite; two that share a Redis on PostgreSQL."""

    def make(customers: int, more: str = "", **variables: str) -> AbstractContextManager[Siege]:
        shop = Shop.open(store, tmp_path / "shop", customers)
        if not store.sqlite:
            variables.setdefault("MAILSHOT_REDIS", request.getfixturevalue("redis_url"))
        return siege.siege(shop, sink, tmp_path, 1 if store.sqlite else 2, more, **variables)

    return make
