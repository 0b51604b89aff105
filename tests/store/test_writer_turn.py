"""Writers of one SQLite file, in several processes, take turns."""

from __future__ import annotations

import multiprocessing
import multiprocessing.synchronize
import os
import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from mailshot.errors import Busy
from mailshot.store import engine
from mailshot.store.engine import Store
from mailshot.store.writer_turn import WriterTurn

SPAWN = multiprocessing.get_context("spawn")
Event = multiprocessing.synchronize.Event


def _write_all_the_time(path: Path, begun: Event) -> None:
    """Hold the turn for 20 ms and take it again at once, for ever."""
    turn = WriterTurn(path, 60)
    while True:
        with turn.taken():
            begun.set()
            time.sleep(0.02)


def _hold(url: str, begun: Event) -> None:
    with Store.open(url).write() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS held (id INTEGER)"))
        begun.set()
        time.sleep(600)


def _start(target: object, *arguments: object) -> multiprocessing.context.SpawnProcess:
    begun = SPAWN.Event()
    process = SPAWN.Process(target=target, args=(*arguments, begun), daemon=True)  # type: ignore[arg-type]
    process.start()
    assert begun.wait(60)
    return process


def test_a_writer_that_always_writes_is_not_overtaken_by_itself(tmp_path: Path) -> None:
    """Two processes that ask all the time get the turn as often as each other."""
    path = tmp_path / "shop.db"
    process = _start(_write_all_the_time, path)
    turn, waits = WriterTurn(path, 60), 0
    try:
        for _ in range(20):  # without the queue the other one would keep it: it asks again within microseconds
            with turn.taken():
                waits += 1
    finally:
        process.kill()
        process.join()
    assert waits == 20


def test_a_killed_writer_gives_its_turn_back(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    process = _start(_hold, url)
    process.kill()
    process.join()
    with Store.open(url).write() as connection:
        connection.execute(text("CREATE TABLE written (id INTEGER)"))


def test_a_writer_that_stands_still_makes_others_busy_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_MILLISECONDS", 300)
    url = f"sqlite:///{tmp_path}/shop.db"
    process = _start(_hold, url)
    os.kill(process.pid or 0, signal.SIGSTOP)
    try:
        with pytest.raises(Busy, match="another process"), Store.open(url).write():
            pass
    finally:
        process.kill()
        process.join()


def test_a_database_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store.memory().write() as connection:
        connection.execute(text("CREATE TABLE written (id INTEGER)"))
    assert not list(tmp_path.iterdir())
