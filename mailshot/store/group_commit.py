"""The group commit: many small writes of an event loop in one transaction.

Each caller gets its result only after the commit. When one write of a batch fails, the batch is rolled back and run
again with a savepoint around each write, so that only the failing caller gets the error. A write may therefore run
twice: it must have no effects besides those on its connection.

On SQLite a plan may lock the database for longer than a connection waits for it. The batch is then tried again: mail
programs do not repeat an unsubscribe request that failed. Imports of purchases leave a gap many times a second
(`store.staging`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError

from mailshot import metrics
from mailshot.errors import Busy, Refused
from mailshot.store import engine
from mailshot.store.engine import Connection, Store

T = TypeVar("T")
Item = TypeVar("Item")
#: Writes in one transaction.
MAX_PER_COMMIT = 500
#: How long a batch is tried again while another process writes.
PATIENCE_SECONDS = 120
#: A write may be committed this long after the moment that it has, with room to spare.
MAX_WAIT = timedelta(seconds=2 * PATIENCE_SECONDS)
#: Between two transactions, where the last one had more than one write and fewer than `MANY`. With 500 events a second,
#: several share one, and the mails that `up` sends beside them keep 0.77 of their rate instead of 0.58. A request that
#: comes alone does not wait, and large transactions need no gap to grow.
GAP_SECONDS = 0.015
MANY = 16


@dataclass(frozen=True, slots=True)
class _Waiting:
    #: Writes some items and returns the value of each.
    apply: Callable[[Connection, list[Any]], list[Any]]
    item: Any
    answer: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


class GroupCommit:
    """Collects the writes of one event loop; all that wait when a transaction begins are part of it."""

    def __init__(self, store: Store, most: int = MAX_PER_COMMIT) -> None:
        self._store = store
        self._most = most
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="group-commit")
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def do(self, apply: Callable[[Connection], T]) -> T:
        """Run `apply` in a shared transaction and return its value once that is committed.

        Raises what `apply` or the transaction raised (Unavailable); in both cases nothing was written.
        """
        return await self.do_together(_run_each, apply)

    async def do_together(self, apply: Callable[[Connection, list[Item]], list[T]], item: Item) -> T:
        """Like `do`, for a write of which many wait at a time: `apply` gets all their items in one call.

        It returns a value for each item. Items that wait together have the same `apply`.
        """
        if self._closed:
            raise Refused("The group commit is closed.")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(apply, item, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        return await answer

    async def close(self) -> None:
        """Accept no further writes, commit the waiting ones, and end the worker thread."""
        self._closed = True
        if self._task is not None:
            await self._task
        self._thread.shutdown()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            began = time.perf_counter()
            committed = await loop.run_in_executor(self._thread, self._commit)
            metrics.GROUP_COMMIT_SECONDS.observe(time.perf_counter() - began)
            metrics.GROUP_COMMIT_WRITES.observe(len(committed))
            for waiting, outcome in committed:
                _answer(waiting.answer, outcome)
            if 1 < len(committed) < MANY:
                await asyncio.sleep(GAP_SECONDS)

    def _commit(self) -> list[tuple[_Waiting, Any]]:
        """Commit what waits, and return it with its outcomes."""
        batch: list[_Waiting] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return list(zip(batch, self._try(batch), strict=True))
            except Busy as error:
                if time.monotonic() > deadline:
                    self._fill(batch)
                    return [(waiting, _Failed(error)) for waiting in batch]

    def _fill(self, batch: list[_Waiting]) -> None:
        """Move what waits into the batch. A deque may be used by two threads."""
        while self._waiting and len(batch) < self._most:
            batch.append(self._waiting.popleft())

    def _try(self, batch: list[_Waiting]) -> list[Any]:
        """Fill the batch and commit it. Raises Busy, with nothing written, while another process writes."""
        try:
            return self._together(batch)
        except Busy:
            raise
        except Exception:
            # Which write failed is unknown, and PostgreSQL rejects further statements of a failed transaction.
            self._fill(batch)
            return self._apart(batch)

    def _together(self, batch: list[_Waiting]) -> list[Any]:
        with self._store.write() as connection:
            # Only now: what came while another writer had its turn need not wait for a further transaction.
            self._fill(batch)
            groups: dict[Any, list[int]] = {}
            for number, waiting in enumerate(batch):
                groups.setdefault(waiting.apply, []).append(number)
            outcomes: list[Any] = [None] * len(batch)
            for apply, numbers in groups.items():
                values = apply(connection, [batch[number].item for number in numbers])
                for number, value in zip(numbers, values, strict=True):
                    outcomes[number] = value
        return outcomes

    def _apart(self, batch: list[_Waiting]) -> list[Any]:
        try:
            with self._store.write() as connection:
                return [_guarded(connection, waiting) for waiting in batch]
        except Busy:
            raise
        except Exception as error:
            return [_Failed(error)] * len(batch)


def _run_each(connection: Connection, writes: list[Callable[[Connection], T]]) -> list[T]:
    return [write(connection) for write in writes]


def _guarded(connection: Connection, waiting: _Waiting) -> object:
    actions = engine.after_commit(connection)
    savepoint, known = connection.begin_nested(), len(actions)
    try:
        (outcome,) = waiting.apply(connection, [waiting.item])
        savepoint.commit()
        return outcome
    except (OperationalError, InterfaceError):
        raise  # the database itself fails: then no write is safe
    except Exception as error:
        savepoint.rollback()
        del actions[known:]
        return _Failed(error)


def _answer(answer: asyncio.Future[Any], outcome: Any) -> None:
    if answer.done():  # the caller was cancelled; its write is committed nevertheless
        return
    if isinstance(outcome, _Failed):
        answer.set_exception(outcome.error)
    else:
        answer.set_result(outcome)
