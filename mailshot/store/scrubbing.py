"""Takes what an erasure left behind out of the database's files, in short steps that the clock repeats.

Deleting rows does not delete bytes. SQLite keeps old pages in its log until a checkpoint empties it, which an open
reader holds up; and where it moves rows from one page to another, copies stay in the unused middle of pages, which
`secure_delete` does not reach: only a file written anew holds none. PostgreSQL keeps old rows until a VACUUM, and what
a plain VACUUM frees stays readable in the pages of tables and indexes, and in the planner's statistics. Nothing here
waits for anybody: a step that cannot finish says so, and the erasure goes on waiting. It may be worked on twice, by
two processes, or be cut off at any moment.

Start at `work`. What waits, and since when, is told by `erasures.waiting`.
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
MOST_AT_ONCE = 500
#: How long a writer may wait for one statement of a step to get its lock, in milliseconds.
LOCK_MILLISECONDS = 200
#: PostgreSQL rewrites a table of this size within half a second; writes to it wait meanwhile.
MOST_LOCKED_BYTES = 32 << 20
#: SQLite writes a file of so many bytes anew in half a second, and one of the second size in two: nobody writes
#: meanwhile. Between two rewrites others get their turn; a file of the second size is left alone while mails go out.
SMALL_FILE, LARGE_FILE = 64 << 20, 256 << 20
REST, LARGE_REST = timedelta(minutes=1), timedelta(hours=1)
#: The lease that a rewrite of SQLite's file takes until the rest is over, so that all processes rest.
OFFICE = "rewrite"
#: What the planner keeps of these tables' values lies in this one.
STATISTICS = "pg_catalog.pg_statistic"
#: Tables that hold something of a customer, or of their address, beside those with a `customer_id`.
OTHERS = ("customer", "suppression", "address_withdrawal", "erased_key")


def work(store: Store, now: datetime, whole: bool = False) -> int:
    """Scrub the files of what waits and return how many erasures were finished; 0 where a reader holds the step up.

    `whole` also writes anew what is too large to lock while mails go out, and does not rest.
    """
    with store.read() as connection:
        waiting = erasures.unfinished(connection, MOST_AT_ONCE)
    if not waiting or (store.sqlite and not _may_rewrite(store, now, whole)):
        return 0
    swept = [customer_id for customer_id in waiting if _sweep(store, customer_id)]
    if not swept or not (_rewrite_once(store, now) if store.sqlite else _scrub_postgresql(store, whole, swept)):
        return 0
    with store.write() as connection:
        erasures.finish(connection, swept, now)
    return len(swept)


def try_now(store: Store, now: datetime) -> None:
    """Scrub SQLite's files right after an erasure, where nothing is in the way; all else is left to the clock."""
    if store.sqlite:
        try:
            work(store, now)
        except (Busy, Unavailable) as error:
            log.info("the clock will scrub what was erased: %s", error)


def too_large(store: Store) -> list[str]:
    """Return what could not be written anew without locking it for too long: tables, of SQLite the file."""
    if store.sqlite:
        return ["the file"] if _file_size(store) > LARGE_FILE else []
    with store.read() as connection:
        return [table for table in _tables() if _size(connection, table) > MOST_LOCKED_BYTES]


def _sweep(store: Store, customer_id: int) -> bool:
    """Remove what came in beside the erasure; False while a mail to the customer may still be answered."""
    with store.write() as connection:
        if privacy.is_on_the_wire(connection, customer_id):
            return False
        privacy.sweep(connection, customer_id)
    return True


def _tables() -> list[str]:
    about = (name for name, table in SQLModel.metadata.tables.items() if "customer_id" in table.c)
    return sorted({*about, *OTHERS} - {erasures.ERASURE.name})


def _may_rewrite(store: Store, now: datetime, whole: bool) -> bool:
    """Say whether SQLite's file may be written anew now: no reader is open, and the rest is over."""
    size = _file_size(store)
    with store.read() as reader:
        if staging.is_untidy(reader):
            return False  # rows are still in the tables of an import, which deletes them
        resting = leases.holder(reader, OFFICE, now) is not None
        held_up = size > SMALL_FILE and (size > LARGE_FILE or _is_sending(reader))
    if not whole and (resting or held_up):
        return False
    with store.bare(LOCK_MILLISECONDS) as connection:
        return _is_copied(connection)


def _rewrite_once(store: Store, now: datetime) -> bool:
    """Rewrite SQLite's file once, and begin the rest, even if the rewrite fails."""
    rest = LARGE_REST if _file_size(store) > SMALL_FILE else REST
    with store.write() as connection:
        leases.vacate(connection, OFFICE)
        leases.acquire(connection, OFFICE, secrets.token_hex(8), now, now + rest)
    return rewrite(store)


def rewrite(store: Store) -> bool:
    """Write SQLite's file anew and empty its log; False while somebody reads or writes.

    PASSIVE waits for nobody. Only when it has copied everything is it worth to ask for the writer's lock, in which
    TRUNCATE waits for the last readers. Cut off in between, the log holds the new file, and the erasures still wait.
    """
    large = _file_size(store) > LARGE_FILE
    with store.bare(LOCK_MILLISECONDS) as connection:
        if not _is_copied(connection):
            return False
        # VACUUM keeps the new file beside the old one meanwhile, which may not fit into memory.
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
    """Copy the log into the file and say whether all of it is there; not what somebody still reads."""
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
    """Say whether our role may write the planner's statistics anew: PostgreSQL only warns where it may not."""
    if store.sqlite:
        return True
    owner = "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()"
    with store.read() as connection:
        return bool(connection.exec_driver_sql(owner).scalar())


def _scrub_postgresql(store: Store, whole: bool, swept: list[int]) -> bool:
    """Write the tables anew, with their indexes and statistics; False when one could not be.

    Once all who wrote beside the erasure have ended, what they committed after the first sweep is swept as well.

    VACUUM FULL is the one statement that leaves no old byte: a plain one zeroes nothing in the pages that it frees.
    """
    if not (_is_removable(store) and all(_sweep(store, who) for who in swept) and _is_removable(store)):
        return False
    done = may_clear_statistics(store)
    for table in _tables():
        with _upkeep(store) as connection:
            if whole or _size(connection, table) <= MOST_LOCKED_BYTES:
                done = _tried(connection, f'VACUUM (FULL, ANALYZE) "{table}"') and done
            else:
                connection.exec_driver_sql(f'VACUUM (ANALYZE) "{table}"')
                done = False
    with _upkeep(store) as connection:
        return _tried(connection, f"VACUUM FULL {STATISTICS}") and done


def _is_removable(store: Store) -> bool:
    """Say whether nobody still reads what was there before now: then a row deleted now can be removed, and is.

    Needs no right to see other sessions, and knows standbys and prepared transactions, too.
    """
    probe = erasures.VacuumProbe.__tablename__
    with store.write() as connection:
        connection.exec_driver_sql(f"INSERT INTO {probe} VALUES (1) ON CONFLICT DO NOTHING")
    with store.write() as connection:
        connection.exec_driver_sql(f"DELETE FROM {probe}")
    with _upkeep(store) as connection:
        connection.exec_driver_sql(f"VACUUM {probe}")
        # A VACUUM gives empty pages at the end back, unless somebody may still look at a row in them.
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
    """Run a statement and say whether it got its lock in time."""
    try:
        connection.exec_driver_sql(statement)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", "") not in ("55P03", "40P01"):  # lock not available, deadlock
            raise
        return False
    return True


def _size(connection: Connection, table: str) -> int:
    return int(connection.exec_driver_sql(f"SELECT pg_total_relation_size('\"{table}\"')").scalar_one())
