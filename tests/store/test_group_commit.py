from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import ProgrammingError

from mailshot.errors import Busy, Refused, Unavailable
from mailshot.store import engine, installation, suppression
from mailshot.store.engine import Connection, Store
from mailshot.store.group_commit import GroupCommit

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def add(name: str, connection: Connection) -> str:
    suppression.add(connection, name, "test", "test", NOON)
    return name


def kept(store: Store) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(suppression.SUPPRESSION)) or 0


def test_many_writes_share_few_transactions_and_each_gets_its_own_result(store: Store) -> None:
    begun = []

    class Counted(GroupCommit):
        def _commit(self):  # type: ignore[no-untyped-def]
            committed = super()._commit()
            begun.append(len(committed))
            return committed

    async def work() -> list[str]:
        group = Counted(store, most=50)
        answers = await asyncio.gather(*(group.do(lambda c, n=n: add(f"a{n}", c)) for n in range(200)))  # type: ignore[misc]
        await group.close()
        return answers

    assert asyncio.run(work()) == [f"a{n}" for n in range(200)]
    assert kept(store) == 200
    assert sum(begun) == 200
    assert max(begun) <= 50
    assert len(begun) <= 10


def test_a_result_comes_after_the_commit(store: Store) -> None:
    async def work() -> None:
        group = GroupCommit(store)
        for number in range(5):
            await group.do(lambda c, n=number: add(f"a{n}", c))  # type: ignore[misc]
            assert kept(store) == number + 1
        await group.close()

    asyncio.run(work())


def test_writes_of_one_kind_get_their_items_together_and_a_bad_item_fails_alone(store: Store) -> None:
    calls = []

    def add_all(connection: Connection, names: list[str]) -> list[str]:
        calls.append(len(names))
        if "bad" in names:
            raise LookupError("bad")
        return [add(name, connection) for name in names]

    async def work() -> list[object]:
        group = GroupCommit(store)
        good = [group.do_together(add_all, f"a{number}") for number in range(5)]
        mixed = [*good, group.do(lambda connection: add("alone", connection))]
        answers = await asyncio.gather(*mixed)
        bad = [group.do_together(add_all, name) for name in ("b1", "bad", "b2")]
        answers += await asyncio.gather(*bad, return_exceptions=True)
        await group.close()
        return answers

    answers = asyncio.run(work())
    assert answers[:7] == ["a0", "a1", "a2", "a3", "a4", "alone", "b1"]
    assert isinstance(answers[7], LookupError)
    assert answers[8] == "b2"
    assert calls == [5, 3, 1, 1, 1]
    assert kept(store) == 8


@pytest.mark.parametrize("wrong", ["INSERT INTO suppression (address_hash) VALUES ('half')", None])
def test_a_failing_write_does_not_affect_the_others(store: Store, wrong: str | None) -> None:
    def fail(connection: Connection) -> str:
        add("lost", connection)
        if wrong:
            connection.execute(text(wrong))
        raise LookupError("mine")

    async def work() -> list[object]:
        group = GroupCommit(store)
        good = [group.do(lambda c, n=n: add(f"a{n}", c)) for n in range(10)]  # type: ignore[misc]
        answers = await asyncio.gather(*good[:5], group.do(fail), *good[5:], return_exceptions=True)
        await group.close()
        return list(answers)

    answers = asyncio.run(work())
    assert isinstance(answers.pop(5), Exception)
    assert answers == [f"a{n}" for n in range(10)]
    assert kept(store) == 10


def test_every_caller_gets_the_error_of_a_failing_transaction(store: Store) -> None:
    # PostgreSQL calls a missing table a mistake of the statement, SQLite one of the database.
    expected = Unavailable if store.sqlite else ProgrammingError
    with store.write() as connection:
        connection.execute(text("DROP TABLE suppression"))

    async def work() -> list[object]:
        group = GroupCommit(store)
        writes = [group.do(lambda c, n=n: add(f"a{n}", c)) for n in range(3)]  # type: ignore[misc]
        answers = await asyncio.gather(*writes, return_exceptions=True)
        await group.close()
        return list(answers)

    assert [type(answer) for answer in asyncio.run(work())] == [expected] * 3


def test_a_cancelled_caller_affects_no_other_and_its_write_is_committed(store: Store) -> None:
    async def work() -> None:
        group = GroupCommit(store)
        gone = asyncio.create_task(group.do(lambda c: add("gone", c)))
        stays = asyncio.create_task(group.do(lambda c: add("stays", c)))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == "stays"
        await group.close()

    asyncio.run(work())
    assert kept(store) == 2


def test_a_write_waits_for_another_process_that_locks_the_database(tmp_path: Path) -> None:
    """An import holds it for longer than one connection waits; the lock is given back when that has shown twice."""
    path, refused = tmp_path / "mailshot.db", []
    store = Store.open(f"sqlite:///{path}")
    installation.upgrade_schema(store)
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")

    class Watched(GroupCommit):
        def _try(self, batch):  # type: ignore[no-untyped-def]
            try:
                return super()._try(batch)
            except Busy as error:
                refused.append(error)
                if len(refused) == 2:
                    holder.execute("ROLLBACK")
                raise

    async def work() -> str:
        group = Watched(store)
        answer = await group.do(lambda c: add("no", c))
        await group.close()
        return answer

    store.engine.dispose()
    event.listen(store.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=20"))
    assert asyncio.run(work()) == "no"
    assert len(refused) == 2
    assert kept(store) == 1
    store.close()


def test_close_commits_waiting_writes_and_accepts_no_more(store: Store) -> None:
    async def work() -> None:
        group = GroupCommit(store)
        waiting = asyncio.create_task(group.do(lambda c: add("last", c)))
        await asyncio.sleep(0)
        await group.close()
        assert await waiting == "last"
        with pytest.raises(Refused):
            await group.do(lambda c: add("late", c))

    asyncio.run(work())
    assert kept(store) == 1


def test_only_what_is_committed_is_counted(store: Store) -> None:
    counted: list[str] = []

    def write(name: str, fails: bool) -> Callable[[Connection], None]:
        def apply(connection: Connection) -> None:
            engine.after_commit(connection).append(lambda: counted.append(name))
            if fails:
                raise ValueError(name)

        return apply

    async def commit() -> list[object]:
        group = GroupCommit(store)
        writes = [group.do(write(name, name == "failed")) for name in ("first", "failed", "last")]
        results = await asyncio.gather(*writes, return_exceptions=True)
        await group.close()
        return list(results)

    results = asyncio.run(commit())
    assert [type(result) for result in results] == [type(None), ValueError, type(None)]
    assert sorted(counted) == ["first", "last"]
    with pytest.raises(ValueError, match="rolled back"), store.write() as connection:
        write("rolled back", True)(connection)
    assert len(counted) == 2
