"""Imports purchases into SQLite through staging tables, in short transactions, and swaps them in at the end.

SQLite has one writer at a time, and a year of purchases takes many seconds to write: an unsubscribe must not wait for
that. So the lines go into tables next to the real ones (`purchase_next` …), after a copy of the existing lines. At the
end, three pairs of tables are renamed in one short transaction; until then no reader sees the new lines. Then the
old tables (`purchase_old` …) are deleted, again in short transactions.

A killed process leaves such tables behind. `_next` tables were never visible and are deleted. `_old` tables
were replaced; the steps after the swap are completed first. `tidy` does both. Only one such import runs at a time: it
holds the lease `OFFICE`.

The SQL is the same as for other imports: `engine.STAGED` rewrites a connection's statements to use the staging tables.
Indexes of staging tables keep their own names after the swap; `installation.upgrade_schema` renames them.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any

from sqlalchemy import func, select
from sqlmodel import SQLModel

from mailshot.audience.compile import in_list
from mailshot.errors import Refused
from mailshot.store import bulk_dialects, column_types, conversions, erasures, leases, purchase_totals
from mailshot.store.bulk_load import BulkLoad, BulkRows
from mailshot.store.eligibility import DELIVERY
from mailshot.store.engine import NEXT, STAGED, STAGED_TABLES, Connection, Store

#: The values of a row's primary key.
Key = tuple[Any, ...]
OLD, OTHER_INDEX = "_old", "__b"
LEASE_NAME, LEASE_TERM = "import", timedelta(minutes=5)
#: Lines copied or deleted in one transaction, which takes tens of milliseconds.
LINES_PER_STEP = 10_000
#: Lines totalled in one transaction, which takes 0.25 s. With a sixth of this, the import took twice as long.
TOTALLED_LINES_PER_STEP = 60_000
#: Maximum batches per transaction; each transaction rewrites most pages of the product index.
MAX_BATCHES = 8
#: Target duration: after a slower transaction the next is smaller, otherwise larger.
STEP_SECONDS = 0.35
#: A file that affects at most this many lines is written in one transaction, in well under a second.
SINGLE_TRANSACTION_LINES = 300_000
#: Cost of writing one line, relative to totalling one.
WRITE_COST = 10
#: A file that affects less than 1/SHARE of all lines is loaded faster without copying the table.
LARGE_FRACTION = 4
#: Products whose lines are counted in one transaction.
PRODUCTS_PER_STEP = 5_000
#: Pause between transactions for other writers, which retry every 2 milliseconds.
PAUSE_SECONDS = 0.005
#: WAL pages before a checkpoint. With SQLite's default of 1,000, the same pages were copied many times.
CHECKPOINT_PAGES = 50_000


@dataclass(slots=True)
class StagedImport:
    """One staged import of purchases. `opened` returns it and holds the import lease."""

    store: Store
    holder: str
    #: The customers who were erased before the import began.
    erased: set[int] = field(default_factory=set)

    @contextmanager
    def step(self, staged: bool = True) -> Iterator[Connection]:
        """Yield a connection for one short transaction; if `staged`, its statements use the staging tables."""
        with self.store.write() as connection:
            now = column_types.now()
            if not leases.acquire(connection, LEASE_NAME, self.holder, now, now + LEASE_TERM):
                raise Refused("Another import took over.", "Run this import again when the other one has finished.")
            connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
            yield connection.execution_options(**{STAGED: staged})
        time.sleep(PAUSE_SECONDS)

    def begin(self) -> None:
        """Create the staging tables (`_next`), with a copy of all rows.

        Reopens erasures made since the import began: its lines were checked before them and are written now.
        """
        clean_up(self)
        with self.step(staged=False) as connection:
            erasures.reopen(connection, _erased(connection) - self.erased)
            for table in STAGED_TABLES:
                _create(connection, table)
        for table in STAGED_TABLES:
            last = None
            while True:
                with self.step(staged=False) as connection:
                    end = _end_of_step(connection, table, last)
                    _copy(connection, table, last, end)
                if end is None:
                    break
                last = end

    def upsert(self, load: BulkLoad, rows: BulkRows) -> tuple[int, int]:
        """Load the rows and return how many were added and changed."""
        before, touched = self._count(), 0
        batches, most = rows.tuples(), 1
        while group := list(islice(batches, most)):
            with self.step() as connection:
                begun = time.monotonic()
                touched += sum(bulk_dialects.insert_batch(connection, load, batch) for batch in group)
            slow = time.monotonic() - begun > STEP_SECONDS
            most = max(most - 1, 1) if slow else min(most + 1, MAX_BATCHES)
        added = self._count() - before
        return added, touched - added

    def recompute_totals(self, customer_ids: Sequence[int] | None) -> None:
        """Recompute the totals of these customers (None: all customers)."""
        for ids in self._customer_batches(TOTALLED_LINES_PER_STEP, customer_ids):
            with self.step() as connection:
                purchase_totals.sum_up(connection, lambda column, ids=ids: in_list(column, ids))  # type: ignore[misc]

    def swap_in(self) -> None:
        """Swap in the staging tables, without customers erased in the meantime."""
        with self.step(staged=False) as connection:
            gone = _erased(connection) - self.erased
            for table in STAGED_TABLES:
                for customer_id in sorted(gone):
                    connection.exec_driver_sql(f"DELETE FROM {table}{NEXT} WHERE customer_id = {customer_id}")
                connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {table}{OLD}")
                connection.exec_driver_sql(f"ALTER TABLE {table}{NEXT} RENAME TO {table}")
        clean_up(self)

    def _customer_batches(self, most: int, among: Iterable[int] | None) -> Iterator[list[int]]:
        """Yield customer ids in order, in groups with about `most` lines."""
        line = purchase_totals.PURCHASE.c
        with self.store.read() as connection:
            connection.execution_options(**{STAGED: True})
            grouped = select(line.customer_id, func.count()).group_by(line.customer_id).order_by(line.customer_id)
            counted = [(int(who), int(lines)) for who, lines in connection.execute(grouped)]
        meant, ids, lines = (None if among is None else set(among)), [], 0
        for who, number in counted:
            if meant is None or who in meant:
                ids.append(who)
                lines += number
            if lines >= most:
                yield ids
                ids, lines = [], 0
        if ids:
            yield ids

    def _count(self) -> int:
        with self.store.read() as connection:
            return int(connection.exec_driver_sql(f"SELECT count(*) FROM purchase{NEXT}").scalar_one())


@contextmanager
def exclusive_import(store: Store) -> Iterator[StagedImport]:
    """Acquire and hold the import lease. Raises Refused while another import holds it."""
    staging = StagedImport(store, f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}")
    now = column_types.now()
    with store.write() as connection:
        standing = leases.last_holder(connection, LEASE_NAME)
        if standing and _process_has_ended(standing[0]):
            leases.release(connection, LEASE_NAME, standing[0])
        if not leases.acquire(connection, LEASE_NAME, staging.holder, now, now + LEASE_TERM):
            raise Refused("Another import is running.", "Wait until it has finished, then run this import again.")
        staging.erased = _erased(connection)
    try:
        yield staging
    finally:
        with store.write() as connection:
            leases.release(connection, LEASE_NAME, staging.holder)


def is_large(store: Store, lines: int, customers: int) -> bool:
    """Return whether `lines` of `customers` are too many for one transaction.

    A file that affects a small share of a large table is not: a daily import must not copy years of purchases.
    """
    with store.read() as connection:
        summed = select(func.count(), func.coalesce(func.sum(purchase_totals.BUYER.c.lines), 0))
        there, held = map(int, connection.execute(summed).one())
    touched = WRITE_COST * lines + customers * held // max(there, 1)
    return touched > max(SINGLE_TRANSACTION_LINES, held // LARGE_FRACTION)


def has_leftovers_or_import(connection: Connection) -> bool:
    """Return whether an import is running or was killed: its tables may contain rows of erased customers."""
    return bool(_tables(connection)) or leases.holder(connection, LEASE_NAME, column_types.now()) is not None


def clean_up_if_idle(store: Store) -> None:
    """Clean up after a killed import, unless another one is running."""
    with store.read() as connection:
        if not has_leftovers_or_import(connection):
            return
    try:
        with exclusive_import(store) as staging:
            clean_up(staging)
    except Refused:
        return


def clean_up(staging: StagedImport) -> None:
    """Delete leftover tables in short steps; if a swap happened, first complete the steps after it."""
    with staging.store.read() as connection:
        names = _tables(connection)
    if f"purchase{OLD}" in names:
        _refresh_derived_data(staging)
    # The purchase lines last: while their table exists, cleaning up is not finished.
    for name in sorted(names, key=lambda name: (name.startswith("purchase_o") or name.startswith("buyer"), name)[::-1]):
        _drop_in_steps(staging, name)


def _refresh_derived_data(staging: StagedImport) -> None:
    """Mark the conversions of all customers as due, and recount the lines of products."""
    delivery, product = DELIVERY.c, purchase_totals.PRODUCT.c
    with staging.store.read() as connection:
        customers = connection.scalar(select(func.max(delivery.customer_id))) or 0
        products = connection.scalar(select(func.max(product.id))) or 0
    for start in range(0, customers + 1, LINES_PER_STEP):
        with staging.step(staged=False) as connection:
            conversions.mark_range(connection, start, start + LINES_PER_STEP)
    for start in range(0, products + 1, PRODUCTS_PER_STEP):
        with staging.step(staged=False) as connection:
            purchase_totals.count_product_lines(connection, range(start, start + PRODUCTS_PER_STEP))


def _erased(connection: Connection) -> set[int]:
    return set(connection.scalars(select(erasures.ERASURE.c.customer_id)))


def _tables(connection: Connection) -> set[str]:
    wanted = [f"{table}{end}" for table in STAGED_TABLES for end in (NEXT, OLD)]
    names = ", ".join(f"'{name}'" for name in wanted)
    return set(connection.exec_driver_sql(f"SELECT name FROM sqlite_master WHERE name IN ({names})").scalars())


def _create(connection: Connection, table: str) -> None:
    """Create an empty staging table with the same columns, keys and indexes."""
    schema = (
        f"SELECT type, name, sql FROM sqlite_master WHERE tbl_name = '{table}' AND sql IS NOT NULL ORDER BY type DESC"
    )
    for kind, name, sql in connection.exec_driver_sql(schema).all():
        if kind == "table":
            statement = re.sub(rf'(?i)^(CREATE TABLE )"?{table}"?', rf"\1{table}{NEXT}", sql)
        else:
            other = name.removesuffix(OTHER_INDEX) if name.endswith(OTHER_INDEX) else name + OTHER_INDEX
            statement = re.sub(rf'"?\b{name}\b"? ON "?{table}"?', f"{other} ON {table}{NEXT}", sql)
        connection.exec_driver_sql(statement)


def _drop_in_steps(staging: StagedImport, name: str) -> None:
    """Delete a table's rows in short steps, then drop it: dropping a large table takes too long."""
    while True:
        with staging.step(staged=False) as connection:
            end = _end_of_step(connection, name, None)
            if end is None:
                connection.exec_driver_sql(f"DELETE FROM {name}")
                connection.exec_driver_sql(f"DROP TABLE {name}")
                return
            keys, marks = _keys(name)
            by = f"{name} {_by_key(connection, name)}"
            connection.exec_driver_sql(f"DELETE FROM {by} WHERE ({keys}) <= ({marks})", end)


def _keys(name: str) -> tuple[str, str]:
    """Return the columns of a table's primary key, and as many placeholders."""
    key = SQLModel.metadata.tables[name.removesuffix(NEXT).removesuffix(OLD)].primary_key
    return ", ".join(column.name for column in key), ", ".join("?" for _ in key)


def _by_key(connection: Connection, name: str) -> str:
    """Return the SQL that makes SQLite use the primary key: another index would read all rows of one customer."""
    query = "SELECT name FROM pragma_index_list(?) WHERE origin = 'pk'"
    index = connection.exec_driver_sql(query, (name,)).scalar()
    return f'INDEXED BY "{index}"' if index else ""


def _end_of_step(connection: Connection, name: str, last: Key | None) -> Key | None:
    """Return the key of the last row of a step that begins after `last`; None if the rest fits in one step."""
    keys, marks = _keys(name)
    after = f"WHERE ({keys}) > ({marks})" if last else ""
    query = f"SELECT {keys} FROM {name} {after} ORDER BY {keys} LIMIT 1 OFFSET {LINES_PER_STEP - 1}"
    key = connection.exec_driver_sql(query, last or ()).first()
    return tuple(key) if key else None


def _copy(connection: Connection, table: str, last: Key | None, end: Key | None) -> None:
    """Copy the rows after key `last` up to key `end`; None means no bound."""
    keys, marks = _keys(table)
    bounds = [f"({keys}) {sign} ({marks})" for sign, key in ((">", last), ("<=", end)) if key]
    where = " AND ".join(bounds) or "TRUE"
    rows = f"SELECT * FROM {table} WHERE {where} ORDER BY {keys}"
    connection.exec_driver_sql(f"INSERT INTO {table}{NEXT} {rows}", (*(last or ()), *(end or ())))


def _process_has_ended(holder: str) -> bool:
    """Return whether the process that holds a lease ran on this machine and has ended."""
    host, pid, _ = (*holder.split(":"), "", "")[:3]
    if os.name != "posix" or host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
