"""Removes erased data from the database's files, in short steps that the clock repeats.

Deleting rows does not delete bytes. SQLite keeps old pages in its log until a checkpoint empties it, which an open
reader delays; and where it moves rows from one page to another, copies stay in the unused middle of pages, which
`secure_delete` does not overwrite: only a rewritten file has none. PostgreSQL keeps old rows until a VACUUM, and what
a plain VACUUM frees stays readable in the pages of tables and indexes, and in the planner's statistics. No step waits
for other processes: one that cannot finish leaves the erasure pending. Two processes may do the same step, and a
process may be killed at any moment.

Start at `work`. `erasures.count_pending` returns what is pending, and since when.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlmodel import SQLModel

from mailshot.errors import Busy, Unavailable
from mailshot.states import RunState
from mailshot.store import dialect, erasures, leases, privacy, staging
from mailshot.store.engine import Connection, Store
from mailshot.store.tables import Run

log = logging.getLogger(__name__)
#: Erasures that are worked on together.
MAX_AT_ONCE = 500
#: How long a writer may wait for one statement of a step to get its lock, in milliseconds.
LOCK_MILLISECONDS = 200
#: PostgreSQL rewrites a table of this size within half a second; writes to it wait meanwhile.
MAX_LOCKED_BYTES = 32 << 20
#: SQLite rewrites a file of the first size in 0.5 s, and of the second size in 2 s; no process can write
#: meanwhile. A file larger than the first is not rewritten while mails go out, one larger than the second only on
#: request.
SMALL_FILE, LARGE_FILE = 64 << 20, 256 << 20
REST, LARGE_REST = timedelta(minutes=1), timedelta(hours=1)
#: The lease that a rewrite of SQLite's file takes for the pause after it, so that all processes pause.
LEASE_NAME = "rewrite"
#: The planner stores samples of all tables' values in this one.
STATISTICS = "pg_catalog.pg_statistic"
#: Tables with data of a customer, or of their address, besides those with a `customer_id`.
OTHERS = ("customer", "suppression", "address_withdrawal", "erased_key", "suppressed_digest", "sign_up")


def work(store: Store, now: datetime, whole: bool = False) -> int:
    """Scrub the files of pending erasures, and return how many are finished; 0 where a reader delays the step.

    `whole` also rewrites what is too large to be locked while mails go out, and does not pause.
    """
    with store.read() as connection:
        waiting = erasures.pending_erasures(connection, MAX_AT_ONCE)
    if not waiting or (store.sqlite and not _may_rewrite(store, now, whole)):
        return 0
    swept = [customer_id for customer_id in waiting if _sweep(store, customer_id)]
    if not swept or not (_rewrite_once(store, now) if store.sqlite else _scrub_postgresql(store, whole, swept)):
        return 0
    with store.write() as connection:
        erasures.finish_erasures(connection, swept, now)
    return len(swept)


def try_now(store: Store, now: datetime) -> None:
    """Scrub SQLite's files right after an erasure, if nothing prevents it; otherwise the clock does it."""
    if store.sqlite:
        try:
            work(store, now)
        except (Busy, Unavailable) as error:
            log.info("the clock will scrub what was erased: %s", error)


def too_large(store: Store) -> list[str]:
    """Return what cannot be rewritten without locking it for too long: tables, or the file of SQLite."""
    if store.sqlite:
        return ["the file"] if _file_size(store) > LARGE_FILE else []
    with store.read() as connection:
        return [table for table in _tables() if _size(connection, table) > MAX_LOCKED_BYTES]


def _sweep(store: Store, customer_id: int) -> bool:
    """Delete what was written at the same time as the erasure; False while the server may still reply to a mail."""
    with store.write() as connection:
        if privacy.is_on_the_wire(connection, customer_id):
            return False
        privacy.sweep(connection, customer_id)
    return True


def _tables() -> list[str]:
    about = (name for name, table in SQLModel.metadata.tables.items() if "customer_id" in table.c)
    return sorted({*about, *OTHERS} - {erasures.ERASURE.name})


def _may_rewrite(store: Store, now: datetime, whole: bool) -> bool:
    """Return whether SQLite's file may be rewritten now: no reader is open, and the pause is over."""
    size = _file_size(store)
    with store.read() as reader:
        if staging.has_leftovers_or_import(reader):
            return False  # rows are still in the tables of an import, which deletes them
        resting = leases.holder(reader, LEASE_NAME, now) is not None
        held_up = size > SMALL_FILE and (size > LARGE_FILE or _is_sending(reader))
    if not whole and (resting or held_up):
        return False
    with store.bare(LOCK_MILLISECONDS) as connection:
        return _is_copied(connection)


def _rewrite_once(store: Store, now: datetime) -> bool:
    """Rewrite SQLite's file once, and begin the pause, even if the rewrite fails."""
    rest = LARGE_REST if _file_size(store) > SMALL_FILE else REST
    with store.write() as connection:
        leases.force_release(connection, LEASE_NAME)
        leases.acquire(connection, LEASE_NAME, secrets.token_hex(8), now, now + rest)
    return rewrite(store)


def rewrite(store: Store) -> bool:
    """Rewrite SQLite's file and empty its log; False while another connection reads or writes.

    A PASSIVE checkpoint never waits. Only when it has copied everything is the writer's lock worth taking, in which
    TRUNCATE waits for the last readers. Killed in between, the log has the new file, and the erasures are pending.
    """
    large = _file_size(store) > LARGE_FILE
    with store.bare(LOCK_MILLISECONDS) as connection:
        if not _is_copied(connection):
            return False
        # VACUUM needs the new file and the old one at the same time, which may not fit into memory.
        connection.execute(f"PRAGMA temp_store={'FILE' if large else 'MEMORY'}")
        try:
            connection.execute("VACUUM")
        finally:
            connection.execute("PRAGMA temp_store=MEMORY")
        if not _is_copied(connection):
            return False
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy


def _is_copied(connection: sqlite3.Connection) -> bool:
    """Copy the log into the file, and return whether all of it was copied: not what a reader still needs."""
    _, frames, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return bool(frames == copied)


def _file_size(store: Store) -> int:
    with store.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def _is_sending(connection: Connection) -> bool:
    run = dialect.table(Run).c
    return connection.execute(select(run.id).where(run.state == RunState.running).limit(1)).first() is not None


def may_clear_statistics(store: Store) -> bool:
    """Return whether our role may rewrite the planner's statistics: PostgreSQL only warns where it may not."""
    if store.sqlite:
        return True
    owner = "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()"
    with store.read() as connection:
        return bool(connection.exec_driver_sql(owner).scalar())


def _scrub_postgresql(store: Store, whole: bool, swept: list[int]) -> bool:
    """Rewrite the tables, with their indexes and statistics; False when one could not be.

    Once all transactions that ran during the erasure have ended, what they committed after the first sweep is deleted
    as well. Only VACUUM FULL leaves no old byte: a plain one does not zero the pages that it frees.
    """
    if not (_is_removable(store) and all(_sweep(store, who) for who in swept) and _is_removable(store)):
        return False
    done = may_clear_statistics(store)
    for table in _tables():
        with _upkeep(store) as connection:
            if whole or _size(connection, table) <= MAX_LOCKED_BYTES:
                done = _tried(connection, f'VACUUM (FULL, ANALYZE) "{table}"') and done
            else:
                connection.exec_driver_sql(f'VACUUM (ANALYZE) "{table}"')
                done = False
    with _upkeep(store) as connection:
        return _tried(connection, f"VACUUM FULL {STATISTICS}") and done


def _is_removable(store: Store) -> bool:
    """Return whether no transaction can still read older rows: then a VACUUM removes a row that is deleted now.

    This needs no right to see other sessions, and respects standbys and prepared transactions, too.
    """
    probe = erasures.VacuumProbe.__tablename__
    with store.write() as connection:
        connection.exec_driver_sql(f"INSERT INTO {probe} VALUES (1) ON CONFLICT DO NOTHING")
    with store.write() as connection:
        connection.exec_driver_sql(f"DELETE FROM {probe}")
    with _upkeep(store) as connection:
        connection.exec_driver_sql(f"VACUUM {probe}")
        # A VACUUM returns empty pages at the end, unless a transaction may still read a row in them.
        return connection.exec_driver_sql(f"SELECT pg_relation_size('{probe}')").scalar() == 0


@contextmanager
def _upkeep(store: Store) -> Iterator[Connection]:
    with store.upkeep() as connection:
        connection.exec_driver_sql(f"SET lock_timeout = {LOCK_MILLISECONDS}")
        try:
            yield connection
        finally:
            connection.exec_driver_sql("RESET lock_timeout")


def _tried(connection: Connection, statement: str) -> bool:
    """Run a statement, and return whether it got its lock in time."""
    try:
        connection.exec_driver_sql(statement)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", "") not in ("55P03", "40P01"):  # lock not available, deadlock
            raise
        return False
    return True


def _size(connection: Connection, table: str) -> int:
    return int(connection.exec_driver_sql(f"SELECT pg_total_relation_size('\"{table}\"')").scalar_one())
