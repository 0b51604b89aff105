"""Takes what an erasure left behind out of the database's files, in short steps that the clock repeats.

Deleting rows does not delete bytes. SQLite keeps old pages in its log until a checkpoint empties it, which an open
reader holds up; PostgreSQL keeps old rows until a VACUUM, and what a plain VACUUM frees stays readable in the pages of
tables and indexes, and in the planner's statistics. Nothing here waits for anybody: a step that cannot finish says so,
and the erasure goes on waiting. It may be worked on twice, by two processes, or be cut off at any moment.

Start at `work`. What waits, and since when, is told by `erasures.waiting`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy.exc import OperationalError
from sqlmodel import SQLModel

from mailshot.errors import Busy, Unavailable
from mailshot.store import dossier, erasures, staging
from mailshot.store.engine import Connection, Store

log = logging.getLogger(__name__)
#: Erasures that are worked on together.
MOST_AT_ONCE = 500
#: How long a writer may wait for one statement of a step to get its lock, in milliseconds.
LOCK_MILLISECONDS = 200
#: PostgreSQL writes a table of this size anew within half a second; nobody writes to it meanwhile.
MOST_LOCKED_BYTES = 32 << 20
#: What the planner keeps of these tables' values lies in this one.
STATISTICS = "pg_catalog.pg_statistic"
#: Tables that hold something of a customer, or of their address, beside those with a `customer_id`.
OTHERS = ("customer", "suppression", "address_withdrawal", "erased_key")


def work(store: Store, now: datetime, whole: bool = False) -> int:
    """Scrub the files of what waits and return how many erasures were finished; 0 where a reader holds the step up.

    `whole` also writes tables anew that are too large to be locked while mails go out (PostgreSQL).
    """
    with store.read() as connection:
        waiting = erasures.unfinished(connection, MOST_AT_ONCE)
    if not waiting:
        return 0
    swept = [customer_id for customer_id in waiting if _sweep(store, customer_id)]
    if not swept or not (_scrub_sqlite(store) if store.sqlite else _scrub_postgresql(store, whole)):
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
    """Return the tables that PostgreSQL could not write anew without locking them for too long."""
    if store.sqlite:
        return []
    with store.read() as connection:
        return [table for table in _tables() if _size(connection, table) > MOST_LOCKED_BYTES]


def _sweep(store: Store, customer_id: int) -> bool:
    """Remove what came in beside the erasure; False while a mail to the customer may still be answered."""
    with store.write() as connection:
        if dossier.is_on_the_wire(connection, customer_id):
            return False
        dossier.sweep(connection, customer_id)
    return True


def _tables() -> list[str]:
    about = (name for name, table in SQLModel.metadata.tables.items() if "customer_id" in table.c)
    return sorted({*about, *OTHERS} - {erasures.ERASURE.name})


def _scrub_sqlite(store: Store) -> bool:
    """Bring the log into the database file and empty it; False while a reader still needs it.

    PASSIVE waits for nobody. Only when it has copied everything is it worth to ask for the writer's lock, in which
    TRUNCATE waits for the last readers.
    """
    with store.read() as reader:
        if staging.is_untidy(reader):
            return False  # rows are still in the tables of an import, which deletes them
    with store.bare(LOCK_MILLISECONDS) as connection:
        _, frames, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if frames != copied:
            return False
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy


def _scrub_postgresql(store: Store, whole: bool) -> bool:
    """Write the tables anew, with their indexes and statistics; False when one could not be.

    VACUUM FULL is the one statement that leaves no old byte: a plain one zeroes nothing in the pages that it frees.
    """
    if not _is_removable(store):
        return False
    done = True
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
