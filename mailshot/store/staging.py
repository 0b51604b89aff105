"""Fills the tables of purchases out of sight, in short transactions, and puts them in place at one moment (SQLite).

SQLite has one writer at a time, and a year of purchases takes many seconds to write: an unsubscribe must not wait for
that. So the lines go into tables beside the real ones (`purchase_next` …), with what is there already copied before
them. When all is there, three pairs of tables change names in one short transaction; until then nobody sees anything.
Then what was there before (`purchase_old` …) is deleted, in short transactions again.

Which tables exist is all that a process killed in the middle leaves behind: those called next were never seen and are
deleted; those called old were replaced, and what follows from that is done. `tidy` does either. One import at a time
may be at it: it holds the office `OFFICE`.

The statements are those of every other import. `engine.STAGED` makes a connection's statements name the other tables.
Indexes of the other tables have other names, which they keep: `schema.upgrade` gives them their own again.
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
OFFICE, TERM = "import", timedelta(minutes=5)
#: Lines copied or deleted in one transaction: some tens of milliseconds.
MOST_LINES = 10_000
#: Lines summed up in one transaction: a quarter of a second. With a sixth of these, it all took twice as long.
SUMMED_LINES = 60_000
#: Batches of a file in one transaction, at most: each transaction writes most pages of the index of products again.
BATCHES = 8
#: A transaction that takes longer is followed by a smaller one, else by a larger one.
STEP_SECONDS = 0.35
#: A file that touches no more lines than these is written in one transaction: well under a second.
FEW_LINES = 300_000
#: A line that is written takes as long as so many that are only summed up again.
COST_OF_LINE = 10
#: To copy what is there takes longer than a file that touches less than this share of it.
SHARE = 4
#: Products whose lines are counted in one transaction.
MOST_PRODUCTS = 5_000
#: Between two transactions, for others who want to write: they ask every 2 milliseconds.
PAUSE_SECONDS = 0.005
#: Pages of the log after which it is copied into the file. At every thousand the same pages were copied many times.
LOG_PAGES = 50_000


@dataclass(slots=True)
class Staging:
    """One import's way into the tables of purchases. `open` gives it, with the office of imports held."""

    store: Store
    holder: str
    #: The customers who were erased before the import began.
    erased: set[int] = field(default_factory=set)

    @contextmanager
    def step(self, staged: bool = True) -> Iterator[Connection]:
        """Give a connection for one short transaction, whose statements mean the tables called next if `staged`."""
        with self.store.write() as connection:
            now = column_types.now()
            if not leases.acquire(connection, OFFICE, self.holder, now, now + TERM):
                raise Refused("Another import took over.", "Run this one again when it has ended.")
            connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
            yield connection.execution_options(**{STAGED: staged})
        time.sleep(PAUSE_SECONDS)

    def begin(self) -> None:
        """Make the tables called next, with all that is there now.

        Erasures since the import began wait again: its lines were looked through before them, and are written now.
        """
        tidy(self)
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
        while some := list(islice(batches, most)):
            with self.step() as connection:
                begun = time.monotonic()
                touched += sum(bulk_dialects.insert(connection, load, batch) for batch in some)
            slow = time.monotonic() - begun > STEP_SECONDS
            most = max(most - 1, 1) if slow else min(most + 1, BATCHES)
        added = self._count() - before
        return added, touched - added

    def sum_up(self, customer_ids: Sequence[int] | None) -> None:
        """Sum up the purchases of some customers, or of all."""
        for ids in self._customers(SUMMED_LINES, customer_ids):
            with self.step() as connection:
                purchase_totals.sum_up(connection, lambda column, ids=ids: in_list(column, ids))  # type: ignore[misc]

    def put_in_place(self) -> None:
        """Let everybody see the tables called next, without the customers who were erased meanwhile."""
        with self.step(staged=False) as connection:
            gone = _erased(connection) - self.erased
            for table in STAGED_TABLES:
                for customer_id in sorted(gone):
                    connection.exec_driver_sql(f"DELETE FROM {table}{NEXT} WHERE customer_id = {customer_id}")
                connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {table}{OLD}")
                connection.exec_driver_sql(f"ALTER TABLE {table}{NEXT} RENAME TO {table}")
        tidy(self)

    def _customers(self, most: int, among: Iterable[int] | None) -> Iterator[list[int]]:
        """Give customers with lines in order, as many at a time as have about `most` lines."""
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
def opened(store: Store) -> Iterator[Staging]:
    """Hold the office of imports. Raises Refused while another import holds it."""
    staging = Staging(store, f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}")
    now = column_types.now()
    with store.write() as connection:
        standing = leases.standing(connection, OFFICE)
        if standing and _is_dead(standing[0]):
            leases.release(connection, OFFICE, standing[0])
        if not leases.acquire(connection, OFFICE, staging.holder, now, now + TERM):
            raise Refused("Another import is running.", "Wait until it has ended, then run this one again.")
        staging.erased = _erased(connection)
    try:
        yield staging
    finally:
        with store.write() as connection:
            leases.release(connection, OFFICE, staging.holder)


def is_large(store: Store, lines: int, customers: int) -> bool:
    """Say whether so many lines of so many customers are too many for one transaction, with all that they have.

    What little touches of very much is not: each day's purchases must not copy those of all years.
    """
    with store.read() as connection:
        summed = select(func.count(), func.coalesce(func.sum(purchase_totals.BUYER.c.lines), 0))
        there, held = map(int, connection.execute(summed).one())
    touched = COST_OF_LINE * lines + customers * held // max(there, 1)
    return touched > max(FEW_LINES, held // SHARE)


def is_untidy(connection: Connection) -> bool:
    """Say whether an import is under way, or was killed: lines of erased customers may lie there, or come yet."""
    return bool(_tables(connection)) or leases.holder(connection, OFFICE, column_types.now()) is not None


def tidy_up(store: Store) -> None:
    """Do what a killed import left to do, unless another one is at it."""
    with store.read() as connection:
        if not is_untidy(connection):
            return
    try:
        with opened(store) as staging:
            tidy(staging)
    except Refused:
        return


def tidy(staging: Staging) -> None:
    """Delete tables that nobody sees, in short steps; where some were replaced, do first what follows from that."""
    with staging.store.read() as connection:
        names = _tables(connection)
    if f"purchase{OLD}" in names:
        _note_changes(staging)
    # The lines last: their table says that there is still something to do.
    for name in sorted(names, key=lambda name: (name.startswith("purchase_o") or name.startswith("buyer"), name)[::-1]):
        _clear(staging, name)


def _note_changes(staging: Staging) -> None:
    """Note that conversions may follow from the new lines, and count the lines of products."""
    delivery, product = DELIVERY.c, purchase_totals.PRODUCT.c
    with staging.store.read() as connection:
        customers = connection.scalar(select(func.max(delivery.customer_id))) or 0
        products = connection.scalar(select(func.max(product.id))) or 0
    for start in range(0, customers + 1, MOST_LINES):
        with staging.step(staged=False) as connection:
            conversions.mark_range(connection, start, start + MOST_LINES)
    for start in range(0, products + 1, MOST_PRODUCTS):
        with staging.step(staged=False) as connection:
            purchase_totals.count_product_lines(connection, range(start, start + MOST_PRODUCTS))


def _erased(connection: Connection) -> set[int]:
    return set(connection.scalars(select(erasures.ERASURE.c.customer_id)))


def _tables(connection: Connection) -> set[str]:
    wanted = [f"{table}{end}" for table in STAGED_TABLES for end in (NEXT, OLD)]
    names = ", ".join(f"'{name}'" for name in wanted)
    return set(connection.exec_driver_sql(f"SELECT name FROM sqlite_master WHERE name IN ({names})").scalars())


def _create(connection: Connection, table: str) -> None:
    """Make an empty table called next, with the same columns, keys and indexes."""
    found = (
        f"SELECT type, name, sql FROM sqlite_master WHERE tbl_name = '{table}' AND sql IS NOT NULL ORDER BY type DESC"
    )
    for kind, name, sql in connection.exec_driver_sql(found).all():
        if kind == "table":
            made = re.sub(rf'(?i)^(CREATE TABLE )"?{table}"?', rf"\1{table}{NEXT}", sql)
        else:
            other = name.removesuffix(OTHER_INDEX) if name.endswith(OTHER_INDEX) else name + OTHER_INDEX
            made = re.sub(rf'"?\b{name}\b"? ON "?{table}"?', f"{other} ON {table}{NEXT}", sql)
        connection.exec_driver_sql(made)


def _clear(staging: Staging, name: str) -> None:
    """Delete a table's rows in short steps, then the table: to drop a large one takes long."""
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
    """Return the columns of the key by which a table's rows lie, and as many marks for values."""
    key = SQLModel.metadata.tables[name.removesuffix(NEXT).removesuffix(OLD)].primary_key
    return ", ".join(column.name for column in key), ", ".join("?" for _ in key)


def _by_key(connection: Connection, name: str) -> str:
    """Return the words that let SQLite find rows by their key: by an index it would look at all of one customer's."""
    asked = "SELECT name FROM pragma_index_list(?) WHERE origin = 'pk'"
    found = connection.exec_driver_sql(asked, (name,)).scalar()
    return f'INDEXED BY "{found}"' if found else ""


def _end_of_step(connection: Connection, name: str, last: Key | None) -> Key | None:
    """Return the key of the last row of a step that begins after `last`; None where few rows are left."""
    keys, marks = _keys(name)
    after = f"WHERE ({keys}) > ({marks})" if last else ""
    asked = f"SELECT {keys} FROM {name} {after} ORDER BY {keys} LIMIT 1 OFFSET {MOST_LINES - 1}"
    found = connection.exec_driver_sql(asked, last or ()).first()
    return tuple(found) if found else None


def _copy(connection: Connection, table: str, last: Key | None, end: Key | None) -> None:
    """Copy the rows after the key `last` up to `end`, where these are given."""
    keys, marks = _keys(table)
    bounds = [f"({keys}) {sign} ({marks})" for sign, key in ((">", last), ("<=", end)) if key]
    where = " AND ".join(bounds) or "TRUE"
    rows = f"SELECT * FROM {table} WHERE {where} ORDER BY {keys}"
    connection.exec_driver_sql(f"INSERT INTO {table}{NEXT} {rows}", (*(last or ()), *(end or ())))


def _is_dead(holder: str) -> bool:
    """Say whether the process that holds an office was on this machine and has ended."""
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
