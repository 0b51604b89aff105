"""Purchases come into SQLite in short transactions, out of sight until all are there."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, text

from mailshot.errors import Refused
from mailshot.ingest import importer, staging_database
from mailshot.store import consent, dialect, erasures, installation, privacy, scrubbing, staging
from mailshot.store.engine import STAGED_TABLES, Connection, Store
from mailshot.store.tables import Buyer, Customer, Order, Product, Purchase
from tests.support.import_shop import CUSTOMERS, KEY, PURCHASES, Shop

MANY = 40


class Killed(BaseException):
    """Stands for kill -9: nothing tidies up after it."""


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    return sqlite_store


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every import of purchases be a large one, of very small steps."""
    monkeypatch.setattr(staging, "SINGLE_TRANSACTION_LINES", -1)
    monkeypatch.setattr(staging, "LINES_PER_STEP", 5)
    monkeypatch.setattr(staging, "TOTALLED_LINES_PER_STEP", 5)
    monkeypatch.setattr(staging, "MAX_BATCHES", 1)
    monkeypatch.setattr(staging, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(staging_database, "BATCH", 5)


@pytest.fixture
def many(shop: Shop, small: None) -> Shop:
    """Give a shop with the customers of a file, whose many purchases are not in yet."""
    rows = "".join(f"{who},R{who}-{turn},A,2026-01-0{turn},1,2.00\n" for who in range(1, MANY + 1) for turn in (1, 2))
    back = "".join(f"{who},R{who}-1,A,2026-02-01,-1,-2.00\n" for who in range(1, MANY + 1, 3))
    shop.put({
        "customers.csv": "id,mail,name,age\n" + "".join(f"{who},c{who}@a.example,N,1\n" for who in range(1, MANY + 1)),
        "purchases.csv": "id,receipt,sku,at,n,paid\n" + rows + back,
    })  # fmt: skip
    shop.one(CUSTOMERS)
    return shop


def sums(shop: Shop) -> dict[str, list[tuple[Any, ...]]]:
    shapes = (dialect.table(model) for model in (Purchase, Order, Buyer, Product))
    with shop.store.read() as connection:
        return {shape.name: sorted(map(tuple, connection.execute(select(shape))), key=repr) for shape in shapes}


def left(store: Store) -> list[str]:
    """Return the tables of an import that are there."""
    with store.read() as connection:
        names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars()
        return [name for name in names if re.fullmatch(rf"({'|'.join(STAGED_TABLES)})_(next|old)", name)]


def lengths(shop: Shop) -> list[int]:
    """Return a list that grows with every transaction from now on, by the number of rows that it changed."""
    changed: list[int] = []
    engine = shop.store.engine

    def begun(connection: Connection) -> None:
        connection.info["before"] = connection.connection.driver_connection.total_changes  # type: ignore[union-attr]

    def ended(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        changed.append(driver.total_changes - connection.info["before"])  # type: ignore[union-attr]

    event.listen(engine, "begin", begun)
    event.listen(engine, "commit", ended)
    return changed


def test_staged_and_whole_imports_end_the_same(many: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    report = many.one(PURCHASES)
    staged = sums(many)
    assert (report.added, report.changed, report.rejected) == (2 * MANY + 14, 0, 0)
    assert many.one(PURCHASES).unchanged == 2 * MANY + 14
    assert sums(many) == staged
    with many.store.write() as connection:
        for table in STAGED_TABLES:
            connection.execute(text(f"DELETE FROM {table}"))
    monkeypatch.setattr(staging, "SINGLE_TRANSACTION_LINES", 1_000)
    many.one(PURCHASES)
    assert sums(many) == staged
    assert left(many.store) == []


def test_a_file_on_top_of_others_adds_and_changes(many: Shop) -> None:
    many.one(PURCHASES)
    many.put({"purchases.csv": "id,receipt,sku,at,n,paid\n1,R1-1,A,2026-01-01,1,9.00\n2,R2-9,B,2026-03-01,1,1.00\n"})
    report = many.one(PURCHASES)
    assert (report.added, report.changed, report.unchanged) == (1, 1, 0)
    assert len(many.rows(Purchase, "order_key")) == 2 * MANY + 15
    # Returns are no lines of a sum.
    assert sum(lines for _, lines in many.rows(Buyer, "customer_id", "lines")) == 2 * MANY + 1


def test_no_transaction_writes_more_than_a_few_lines(many: Shop) -> None:
    """Short transactions are what lets others write; their length in lines does not depend on the machine."""
    changed = lengths(many)
    many.one(PURCHASES)
    # Of 94 lines and as many sums: ten lines of a step at most, each with its sums, and the rows of their marks.
    assert max(changed) <= 40
    assert len(changed) > 40


def test_the_lines_of_one_customer_are_copied_and_cleared_in_steps(many: Shop) -> None:
    """A cash desk often books all its anonymous sales on one number."""
    lines = "".join(f"7,W{number},A,2026-03-01,1,1.00\n" for number in range(200))
    many.put({"purchases.csv": "id,receipt,sku,at,n,paid\n" + lines})
    many.one(PURCHASES)
    many.put({"purchases.csv": "id,receipt,sku,at,n,paid\n1,R1,A,2026-03-01,1,1.00\n"})
    changed = lengths(many)
    many.one(PURCHASES)
    assert len(many.rows(Purchase, "order_key")) == 201
    assert max(changed) <= 20


def test_a_withdrawal_commits_between_two_steps_and_nothing_is_seen_before_the_end(
    many: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    step = staging.bulk_dialects.insert_batch

    def beside(connection: Connection, load: Any, batch: Any) -> int:
        thread = threading.Thread(target=withdraw, args=(len(seen),))
        thread.start()
        waiting.append(thread)
        return step(connection, load, batch)

    def withdraw(turn: int) -> None:
        with many.store.write() as connection:
            consent.record_consent(connection, 1 + turn, "offers", False, staging.column_types.now(), "page")
        with many.store.read() as connection:
            seen.append(len(connection.execute(select(dialect.table(Purchase))).all()))

    waiting: list[threading.Thread] = []
    monkeypatch.setattr(staging, "PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(staging.bulk_dialects, "insert_batch", beside)
    many.one(PURCHASES)
    for thread in waiting:
        thread.join(60)
    assert len(seen) == len(waiting) > 5
    assert set(seen[:-2]) == {0}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 5, 9, 20, 30, 45, 60, 75])
def test_a_killed_import_leaves_all_or_nothing(
    many: Shop, monkeypatch: pytest.MonkeyPatch, at: int, again: bool
) -> None:
    """Killed after so many transactions: what is seen is what was there before, or all of the file."""
    if again:
        many.one(PURCHASES)
        many.put({"purchases.csv": "id,receipt,sku,at,n,paid\n" + "".join(
            f"{who},X{who},A,2026-03-01,1,1.00\n" for who in range(1, MANY + 1))})  # fmt: skip
    before, taken = many.rows(Purchase, "customer_id", "order_key"), [0]
    take, leave = staging.leases.acquire, staging.leases.release

    def kill(*args: Any) -> bool:
        taken[0] += 1
        if taken[0] > at:
            raise Killed
        return take(*args)

    monkeypatch.setattr(staging.leases, "acquire", kill)
    monkeypatch.setattr(staging.leases, "release", lambda *_: None)
    with suppress(Killed):
        many.one(PURCHASES)
    monkeypatch.setattr(staging.leases, "acquire", take)
    monkeypatch.setattr(staging.leases, "release", leave)
    now = many.rows(Purchase, "customer_id", "order_key")
    whole = len(before) + (MANY if again else 2 * MANY + 14)
    assert now == before or len(now) == whole
    monkeypatch.setattr(staging, "_process_has_ended", lambda _: True)
    staging.clean_up_if_idle(many.store)
    assert left(many.store) == []
    assert many.rows(Purchase, "customer_id", "order_key") == now
    many.one(PURCHASES)
    assert len(many.rows(Purchase, "customer_id", "order_key")) == whole
    buyers = many.rows(Buyer, "customer_id", "lines")
    assert sum(lines for _, lines in buyers) == len([1 for row in many.rows(Purchase, "nth") if row[0] > 0])


def test_two_imports_at_once_are_refused_in_words(many: Shop) -> None:
    with staging.exclusive_import(many.store), pytest.raises(Refused, match="Another import is running"):
        many.one(PURCHASES)
    assert many.one(PURCHASES).added


def test_the_office_of_a_process_that_ended_is_taken_over() -> None:
    host = staging.socket.gethostname()
    assert staging._process_has_ended(f"{host}:{2**22 + 1}:ab")
    assert not staging._process_has_ended(f"{host}:{staging.os.getpid()}:ab")
    assert not staging._process_has_ended(f"elsewhere:{2**22 + 1}:ab")


def test_who_is_erased_while_an_import_runs_stays_erased(many: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    step = staging.StagedImport.swap_in

    def beside(self: staging.StagedImport) -> None:
        with many.store.write() as connection:
            who = connection.scalar(select(dialect.table(Customer).c.id).where(dialect.table(Customer).c.key == "7"))
            assert privacy.erase(connection, who, KEY, "page", staging.column_types.now())
        assert scrubbing.work(many.store, staging.column_types.now()) == 0, "its lines still lie in the staged tables"
        step(self)

    monkeypatch.setattr(staging.StagedImport, "swap_in", beside)
    many.one(PURCHASES)
    assert "R7-1" not in str(many.everything())
    assert scrubbing.work(many.store, staging.column_types.now()) == 1


@pytest.mark.parametrize("lapsed", [False, True])
def test_who_is_erased_before_an_import_writes_waits_for_its_end(
    many: Shop, monkeypatch: pytest.MonkeyPatch, lapsed: bool
) -> None:
    """Also where the import reads for so long that its office lapsed, and the erasure was finished meanwhile."""
    begin = staging.StagedImport.begin
    later = staging.column_types.now() + timedelta(hours=1)

    def beside(self: staging.StagedImport) -> None:
        with many.store.write() as connection:
            who = connection.scalar(select(dialect.table(Customer).c.id).where(dialect.table(Customer).c.key == "7"))
            assert privacy.erase(connection, who, KEY, "page", staging.column_types.now())
            if lapsed:
                staging.leases.release(connection, staging.LEASE_NAME, self.holder)
        assert scrubbing.work(many.store, staging.column_types.now()) == int(lapsed)
        begin(self)
        assert scrubbing.work(many.store, later) == 0
        with many.store.read() as connection:
            assert erasures.count_pending(connection).number == 1

    monkeypatch.setattr(staging.StagedImport, "begin", beside)
    many.one(PURCHASES)
    assert "R7-1" not in str(many.everything())
    assert scrubbing.work(many.store, later) == 1
    many.store.close()
    assert not [file for file in many.folder.glob("*.db*") if b"R7-1" in file.read_bytes()]


def test_indexes_have_their_own_names_after_an_upgrade(many: Shop, tmp_path: Path) -> None:
    def names() -> set[str]:
        with many.store.read() as connection:
            asked = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'purchase' AND sql IS NOT NULL"
            return set(connection.exec_driver_sql(asked).scalars())

    own = names()
    many.one(PURCHASES)
    assert names() == {f"{name}__b" for name in own}
    with many.store.write() as connection:
        installation._name_indexes(connection)
    assert names() == own
    many.one(PURCHASES)
    many.one(PURCHASES)
    assert names() == own


def test_a_look_at_a_file_lets_others_write(many: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    load = importer._load

    def beside(*arguments: Any) -> Any:
        with many.store.bare(0) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        return load(*arguments)

    monkeypatch.setattr(importer, "_load", beside)
    before = many.everything()
    (report,) = many.load(PURCHASES, dry=True).imports
    assert report.added == 2 * MANY + 14
    assert many.everything() == before
