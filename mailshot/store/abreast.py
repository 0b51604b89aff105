"""Owns asking several connections side by side, each about some of the customers; refuses to know what is asked.

SQLite works on one core for each connection. PostgreSQL's own helpers are left out: they share neither the looks at
customers one by one nor the sets of whom is excluded, of which each makes one of everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from typing import Any, TypeVar

from sqlalchemy import text

from mailshot.store.engine import Connection, Store

LEAST = 50_000  # ids; for fewer a second connection is not worth opening
Asked = TypeVar("Asked")


def parts(store: Store, ids: range) -> Sequence[range | None]:
    """Cut the ids into as many ranges as are worth a connection; None, for everybody, where one is enough."""
    number = min(store.readers, len(ids) // LEAST)
    return cut(ids, number) if number > 1 else [None]


def cut(ids: range, number: int) -> list[range]:
    """Cut a range into at most so many of about the same length, none of them empty."""
    step = -(-len(ids) // max(number, 1))
    return [ids[start : start + step] for start in range(0, len(ids), step)] if step else []


def total(store: Store, counted: Callable[[Connection, Asked], int], asked: Sequence[Asked]) -> int:
    """Add up what is counted for each, every one on a connection of its own that sees the moment at which it begins.

    Where one fails, or the user wants no more, the others are broken off.
    """
    running: list[Any] = []

    def one(some: Asked) -> int:
        with store.read() as connection:
            driver = connection.connection.driver_connection
            running.append(driver)
            try:
                if len(asked) > 1 and not store.sqlite:
                    connection.execute(text("SET LOCAL max_parallel_workers_per_gather = 0"))
                return counted(connection, some)
            finally:
                running.remove(driver)

    if len(asked) < 2:
        return sum(map(one, asked))
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = [pool.submit(one, some) for some in asked]
        try:
            return sum(part.result() for part in as_completed(answers))
        except BaseException:
            # Again and again: one that has not begun yet does not hear it.
            while wait(answers, timeout=0.1).not_done:
                for driver in list(running):
                    driver.interrupt() if store.sqlite else driver.cancel()
            raise
