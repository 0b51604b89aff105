"""The connection to the database, and what one transaction is.

On SQLite our writers take turns (`writer_turn`). Where another program writes, a connection tries every two
milliseconds: SQLite's own busy handler tries less and less often.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, InternalError, OperationalError, TimeoutError
from sqlalchemy.pool import QueuePool, StaticPool

from mailshot import safe_files
from mailshot.errors import Busy, Unavailable
from mailshot.store.writer_turn import NoTurn, WriterTurn

__all__ = ["Connection", "Store"]

#: How long a connection waits for another writer to commit.
BUSY_MILLISECONDS = 10_000
PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    # FULL, not NORMAL: after a power cut a released dot must still be in the ledger.
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    # What is deleted is overwritten with zeros. Copies in the unused middle of pages stay: see store.scrubbing.
    "PRAGMA secure_delete=ON",
    f"PRAGMA busy_timeout={BUSY_MILLISECONDS}",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-65536",
)
#: Between two tries of a connection that wants to write.
POLL_SECONDS = 0.002
#: What an import fills beside the real tables, by the end of their names (store.staging), and the option for it.
STAGED_TABLES, NEXT, STAGED = ("purchase", "purchase_order", "buyer"), "_next", "staged"
_NAMES = re.compile(rf"\b({'|'.join(STAGED_TABLES)})\b")
MAX_READERS = 4
# Without preserve_rowcount, psycopg has forgotten how many rows an insert changed by the time we ask.
WRITE = {"write": True, "preserve_rowcount": True}
#: The option of a writing connection that holds what is called after its commit.
AFTER_COMMIT = "after_commit"


@dataclass(slots=True)
class DatabaseClock:
    """How far the clock of a database is ahead of this host's."""

    offset: timedelta = timedelta(0)


class Store:
    """One database. `read()` and `write()` each give a connection that lives for one transaction."""

    def __init__(self, engine: Engine, clock: DatabaseClock | None = None) -> None:
        """`clock`: that of another store on the same database, None for one of its own."""
        self.engine = engine
        self._turn = self._writer_turn() if self.sqlite else None
        self._clock = clock or DatabaseClock()
        # At exit at the latest: closing the last connection is what removes SQLite's log (-wal and -shm).
        weakref.finalize(self, engine.dispose)

    @classmethod
    def open(cls, url: str, pool: int = 8) -> Store:
        """Connect to `url` without looking inside. Raises Unavailable when a folder or driver is missing."""
        if url.startswith("sqlite"):
            return cls(_sqlite(url))
        driver = url.replace("postgres://", "postgresql://").replace("postgresql://", "postgresql+psycopg://")
        try:
            return cls(
                create_engine(driver, hide_parameters=True, pool_size=pool, max_overflow=pool, pool_pre_ping=True)
            )
        except (ArgumentError, ValueError) as error:
            raise Unavailable("The database's address cannot be read.", "postgresql://user@host:5432/name") from error
        except ModuleNotFoundError as error:
            raise Unavailable("The PostgreSQL driver is not installed.", "pip install 'mailshot[postgres]'") from error

    @classmethod
    def memory(cls) -> Store:
        """Open an empty database in memory, which is gone when it is closed."""
        return cls(_prepared("sqlite://", poolclass=StaticPool))

    def with_generic_plans(self) -> Store:
        """Return a store for a few statements that are run again and again, on the same database.

        Its PostgreSQL plans each of them once. The check at the dot takes 5 ms to plan and 1.5 ms to run for 20 mails,
        and PostgreSQL would plan it anew for each round, because it expects a little from knowing the values.
        """
        if self.sqlite:
            return self
        given = self.engine.url.query.get("options", "")
        options = {"options": f"{given} -c plan_cache_mode=force_generic_plan".strip()}
        engine = create_engine(self.engine.url, connect_args=options, hide_parameters=True, pool_pre_ping=True)
        return Store(engine, self._clock)

    def now(self) -> datetime:
        """Return the present moment in UTC on the clock of the database, which all hosts share: for leases."""
        return datetime.now(UTC) + self._clock.offset

    def set_clock(self) -> None:
        """Find out how far the clock of the database is from that of this host. Raises Unavailable."""
        if self.sqlite:  # the file is on this host
            return
        with self.read() as connection:
            before = datetime.now(UTC)
            there: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
            after = datetime.now(UTC)
        self._clock.offset = there - (before + (after - before) / 2)

    @property
    def sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def readers(self) -> int:
        """How many connections are worth reading with in parallel: one per core, up to MAX_READERS."""
        return min(os.cpu_count() or 1, MAX_READERS) if isinstance(self.engine.pool, QueuePool) else 1

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that writes nothing: it sees one state of the data, on PostgreSQL one per statement."""
        with _translate_error(self.engine), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection whose changes are committed together at the end, or not at all."""
        actions: list[Callable[[], object]] = []
        with (
            _translate_error(self.engine),
            self._own_turn(),
            self.engine.connect().execution_options(**WRITE, **{AFTER_COMMIT: actions}) as connection,
            connection.begin(),
        ):
            yield connection
        for action in actions:
            action()

    @contextmanager
    def _own_turn(self) -> Iterator[None]:
        """Wait until no other thread or process writes to this SQLite file. Raises Busy."""
        if self._turn is None:
            yield
            return
        with ExitStack() as turn:
            try:
                turn.enter_context(self._turn.taken())
            except NoTurn as error:
                where = database_location(self.engine)
                raise Busy(
                    f"The database {where} is locked by another thread of this process.", "Try again in a moment."
                ) from error
            yield

    def _writer_turn(self) -> WriterTurn:
        name = self.engine.url.database
        path = Path(name) if name and not name.startswith(":") else None
        return WriterTurn(path, BUSY_MILLISECONDS / 1000)

    @contextmanager
    def upkeep(self) -> Iterator[Connection]:
        """Give a connection to PostgreSQL outside any transaction, which VACUUM requires."""
        assert not self.sqlite
        with (
            _translate_error(self.engine),
            self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        ):
            yield connection

    @contextmanager
    def bare(self, milliseconds: int) -> Iterator[sqlite3.Connection]:
        """Give the driver's connection to SQLite, outside any transaction; it waits `milliseconds` at most for a lock.

        SQLAlchemy's own way (AUTOCOMMIT) would let the driver begin transactions by itself afterwards.
        """
        assert self.sqlite
        with _translate_error(self.engine), closing(self.engine.raw_connection()) as pooled:
            connection: Any = pooled.driver_connection
            connection.execute(f"PRAGMA busy_timeout={milliseconds}")
            try:
                yield connection
            finally:
                connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")

    @contextmanager
    def copied(self, folder: Path) -> Iterator[Store]:
        """Give a copy of a SQLite file, made in a folder, and delete it; any other database is given itself."""
        if not self.sqlite or not self.engine.url.database:
            yield self
            return
        path = folder / "copy.db"
        _keep_private(path)
        with self.bare(BUSY_MILLISECONDS) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
        copy = Store.open(f"sqlite:///{path}")
        try:
            yield copy
        finally:
            copy.close()
            for end in ("", "-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)

    def close(self) -> None:
        self.engine.dispose()


def after_commit(connection: Connection) -> list[Callable[[], object]]:
    """Return the list of what is called once the transaction of this connection is committed.

    Use it for counters only: it must not fail. Code that rolls back a savepoint removes what was added since.
    """
    actions: list[Callable[[], object]] = connection.get_execution_options().get(AFTER_COMMIT, [])
    return actions


def database_location(engine: Engine) -> str:
    """Return where a database is, without the password, which may also stand among the options."""
    return engine.url.set(query={}).render_as_string(hide_password=True)


@contextmanager
def _translate_error(engine: Engine) -> Iterator[None]:
    """Turn the errors of a database that is busy or cannot be reached into ours, with a remedy."""
    try:
        yield
    except (OperationalError, sqlite3.OperationalError, InterfaceError, InternalError, TimeoutError) as error:
        text = str(getattr(error, "orig", error)).strip()
        where = database_location(engine)
        if "locked" in text:
            raise Busy(f"The database {where} is locked by another process.", "Try again in a moment.") from error
        if "no such table" in text or "does not exist" in text:
            raise Unavailable(f"The database {where} is not set up.", "Run 'mailshot db upgrade'.") from error
        raise Unavailable(f"The database {where} does not answer: {text}", "See 'mailshot doctor'.") from error
    except DatabaseError as error:
        if getattr(error.orig, "sqlite_errorname", "") not in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
            raise
        where = database_location(engine)
        raise Unavailable(f"{where} is not a valid SQLite database: {error.orig}", "Restore a backup.") from error


def _sqlite(url: str) -> Engine:
    path = Path(url.removeprefix("sqlite:///"))
    if not path.parent.is_dir():
        raise Unavailable(
            f"The folder {path.parent} for the database does not exist.", "Create it, or run 'mailshot init'."
        )
    _keep_private(path)
    return _prepared(url)


def _prepared(url: str, **more: Any) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": 10, "check_same_thread": False}, **more)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "before_cursor_execute", _redirect, retval=True)
    return engine


def _keep_private(path: Path) -> None:
    """Make a new database file readable by its owner alone; SQLite gives its log and index the same mode."""
    if not path.name.startswith(":"):
        with suppress(OSError):  # connecting reports it better
            # Never opens one that is there: closing it would drop the locks this process holds on it (POSIX).
            safe_files.create_private(path)


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver must not begin transactions by itself: a reader that later writes could not be retried.
    connection.isolation_level = None
    for pragma in PRAGMAS:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("write"):
        connection.exec_driver_sql("BEGIN")
        return
    # Directly through the driver, for speed: this runs before each group of mails.
    driver: Any = connection.connection.driver_connection
    (patience,) = driver.execute("PRAGMA busy_timeout").fetchone()
    deadline = time.monotonic() + patience / 1000
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while not _has_begun(connection, last=time.monotonic() >= deadline):
            time.sleep(POLL_SECONDS)
    finally:
        driver.execute(f"PRAGMA busy_timeout={patience}")


def _has_begun(connection: Connection, last: bool) -> bool:
    """Begin to write and return True; while another connection writes, return False, or raise on the `last` try."""
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as error:
        if last or getattr(error.orig, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _redirect(
    connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
) -> tuple[str, Any]:
    """Point statements of connections with the option STAGED at the tables that an import fills in the background."""
    if connection.get_execution_options().get(STAGED):
        statement = _NAMES.sub(rf"\1{NEXT}", statement)
    return statement, parameters
