"""Owns asking several connections side by side, each about some of the customers; refuses to know what is asked.

SQLite works on one core for each connection. PostgreSQL's own helpers are left out: they do not share the looks at
customers one by one, and some sets each of them makes anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from typing import TypeVar

from sqlalchemy import text

from mailshot.errors import Unavailable
from mailshot.store.engine import Connection, Store

LEAST = 50_000  # ids; for fewer a second connection is not worth opening
Asked = TypeVar("Asked")


def parts(store: Store, ids: range) -> Sequence[range | None]:
    """Cut the ids into as many ranges as are worth a connection; None, for everybody, where one is enough."""
    number = min(store.readers, len(ids) // LEAST)
    return key_ranges(ids, number) if number > 1 else [None]


def key_ranges(ids: range, number: int) -> list[range]:
    """Cut a range into at most so many of about the same length, none of them empty."""
    step = -(-len(ids) // max(number, 1))
    return [ids[start : start + step] for start in range(0, len(ids), step)] if step else []


def count_parallel(store: Store, counted: Callable[[Connection, Asked], int], asked: Sequence[Asked]) -> int:
    """Add up what is counted for each, on as many connections as can be had; each sees the moment at which it begins.

    Where one fails, or the user wants no more, the others are broken off. Raises Unavailable when none can be had.
    """
    with ExitStack() as stack:
        connections = list(_opened(store, stack, len(asked)))
        if len(connections) < 2:
            return sum(counted(connections[0], some) for some in asked) if asked else 0
        free: SimpleQueue[Connection] = SimpleQueue()
        for connection in connections:
            _alone(store, connection)
            free.put(connection)

        def one(some: Asked) -> int:
            connection = free.get()
            try:
                return counted(connection, some)
            finally:
                free.put(connection)

        with ThreadPoolExecutor(len(connections)) as pool:
            answers = [pool.submit(one, some) for some in asked]
            try:
                return sum(part.result() for part in as_completed(answers))
            except BaseException:
                _break_off(store, connections, answers)
                raise


def _opened(store: Store, stack: ExitStack, number: int) -> Iterator[Connection]:
    """Open one connection, and more as far as the server gives them."""
    if number:
        yield stack.enter_context(store.read())
    with suppress(Unavailable):
        for _ in range(number - 1):
            yield stack.enter_context(store.read())


def _alone(store: Store, connection: Connection) -> None:
    if not store.sqlite:
        connection.execute(text("SET LOCAL max_parallel_workers_per_gather = 0"))


def _break_off(store: Store, connections: Sequence[Connection], answers: Sequence[Future[int]]) -> None:
    drivers = [connection.connection.driver_connection for connection in connections]
    for answer in answers:
        answer.cancel()
    # Again and again: one that has not begun yet does not hear it.
    while wait(answers, timeout=0.1).not_done:
        for driver in drivers:
            assert driver is not None
            driver.interrupt() if store.sqlite else driver.cancel()
