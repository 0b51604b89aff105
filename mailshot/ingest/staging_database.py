"""The staging database of an import: DuckDB with bounded memory, in a temporary folder.

Rows of the files and keys of the store are tables here, so that checks, joins and sorts process many rows at a time
and spill to disk when necessary.
"""

from __future__ import annotations

import csv
import errno
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import duckdb

from mailshot.errors import Unavailable
from mailshot.ingest import temporary_folder
from mailshot.ingest.duckdb_sql import literal, name

MEMORY = "192MB"
THREADS = 2
BATCH = 10_000
BLOCK = 1 << 18
PAUSE = 0.005
MAX_LINE = 8 << 20
#: The system's ways to say that memory or disk is used up.
USED_UP = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM)


class Writer(Protocol):
    """What writes one row after the other."""

    def writerow(self, row: Iterable[Any], /) -> object: ...

    def writerows(self, rows: Iterable[Iterable[Any]], /) -> object: ...


class StagingDatabase:
    """One workbench. `folder` is gone when it is closed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # In memory up to the limit, then in the folder; a database file would be compressed, at twice the time.
        self.session = duckdb.connect(":memory:")
        for setting in (
            f"memory_limit = '{MEMORY}'",
            f"threads = {THREADS}",
            f"temp_directory = {literal(str(folder / 'spill'))}",
            "TimeZone = 'UTC'",
            "autoinstall_known_extensions = false",
            "enable_progress_bar = false",
        ):
            self.session.execute(f"SET {setting}")

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows, which should be few."""
        return self.session.execute(statement).fetchall()

    def one(self, statement: str) -> int:
        """Return the one number that a statement gives."""
        return int(self.run(statement)[0][0] or 0)

    def stream(self, statement: str) -> Iterator[list[tuple[Any, ...]]]:
        """Give the rows of a query in batches, the next one fetched while the last is being used."""
        with self.session.cursor() as cursor, ThreadPoolExecutor(1) as beside:
            cursor.execute(statement)
            coming = beside.submit(cursor.fetchmany, BATCH)
            while batch := coming.result():
                coming = beside.submit(cursor.fetchmany, BATCH)
                yield batch

    def export(self, query: str, path: Path) -> Iterator[bytes]:
        """Give a query's rows as CSV in blocks, read from a file while it is written; the file is left there whole."""
        with self.session.cursor() as cursor, ThreadPoolExecutor(1) as beside:
            copy = f"COPY ({query}) TO {literal(str(path))} (FORMAT csv, HEADER false, USE_TMP_FILE false)"
            # Empty before anybody reads: an earlier load may have left it.
            path.write_bytes(b"")
            writing = beside.submit(cursor.execute, copy)
            with path.open("rb") as file:
                while True:
                    # Asked before reading: what was written up to the end is then read.
                    ended = writing.done()
                    if block := file.read(BLOCK):
                        yield block
                    elif ended:
                        break
                    else:
                        time.sleep(PAUSE)
                writing.result()
                if file.tell() != path.stat().st_size:
                    raise OSError(f"{path} was replaced while it was read")

    @contextmanager
    def writer(self, file: str) -> Iterator[Writer]:
        """Give a writer of rows into a file in the staging database."""
        with (self.folder / file).open("w", encoding="utf-8", newline="") as opened:
            yield csv.writer(opened, quoting=csv.QUOTE_ALL, lineterminator="\n")

    def load(self, table: str, types: dict[str, str], file: str) -> None:
        """Append what a writer wrote to a table; None and '' become NULL."""
        source = read_csv(self.folder / file, types, header=False, ends=r"\n")
        self.run(f"INSERT INTO {table} SELECT * FROM {source}")
        (self.folder / file).unlink()

    def replace(self, table: str, types: dict[str, str], rows: Iterable[Sequence[Any]]) -> None:
        """Replace the rows of a table."""
        columns = ", ".join(f"{name(column)} {kind}" for column, kind in types.items())
        self.run(f"CREATE OR REPLACE TABLE {table} ({columns})")
        with self.writer(table) as writer:
            writer.writerows(rows)
        self.load(table, types, table)


@contextmanager
def opened(within: Path | None = None) -> Iterator[StagingDatabase]:
    """Give a workbench for as long as it is needed, over a folder in `within` (None: where the system has such)."""
    with temporary_folder.folder(within) as folder:
        stage = StagingDatabase(folder)
        try:
            yield stage
        finally:
            stage.session.close()


def read_csv(
    path: Path, types: dict[str, str], header: bool, delimiter: str = ",", ends: str = "", skipped: int = 0
) -> str:
    """Return the table expression of a CSV file that keeps RFC 4180 to the letter; `ends` is how its lines end."""
    ends = f"new_line = {literal(ends)}, " if ends else ""
    columns = ", ".join(f"{literal(column)}: {literal(kind)}" for column, kind in types.items())
    return (
        f"read_csv({literal(str(path))}, auto_detect = false, header = {header}, delim = {literal(delimiter)}, "
        f"""quote = '"', escape = '"', strict_mode = true, null_padding = false, max_line_size = {MAX_LINE}, """
        f"{ends}skip = {skipped}, columns = {{{columns}}})"
    )


class StagedRows:
    """The rows of a query in the staging database, on their way into the store.

    `instants` are its columns of times; `fixed` its constant columns, which SQLite gets once.
    """

    def __init__(
        self,
        stage: StagingDatabase,
        query: str,
        instants: Sequence[str],
        fixed: Sequence[str],
        moved: Callable[[int], None],
    ) -> None:
        self.stage = stage
        self.query = query
        self.instants = instants
        self.fixed = fixed
        self.moved = moved

    def tuples(self) -> Iterator[list[tuple[Any, ...]]]:
        """Give them in batches, as SQLite takes them, without the fixed columns."""
        sent = 0
        query = (
            f"SELECT * EXCLUDE ({', '.join(map(name, self.fixed))}) FROM ({self.query})" if self.fixed else self.query
        )
        for batch in self.stage.stream(query):
            yield batch
            sent += len(batch)
            self.moved(sent)

    def csv(self) -> Iterator[bytes]:
        """Give them as text in blocks, as PostgreSQL's COPY takes them."""
        instants = ", ".join(f"make_timestamp({name(at)})::VARCHAR || '+00' AS {name(at)}" for at in self.instants)
        query = f"SELECT * REPLACE ({instants}) FROM ({self.query})" if instants else self.query
        sent = 0
        for block in self.stage.export(query, self.stage.folder / "load.csv"):
            yield block
            sent += block.count(b"\n")
            self.moved(sent)


@contextmanager
def within_means() -> Iterator[None]:
    """Say plainly that memory or disk did not suffice; what one file brought in before that stays in."""
    try:
        yield
    except (MemoryError, OSError, duckdb.OutOfMemoryException, duckdb.IOException) as error:
        if isinstance(error, OSError) and error.errno not in USED_UP:
            raise
        message = str(error).partition("\n")[0]
        reason = getattr(error, "strerror", "") or message.partition(": ")[2] or "memory is used up"
        raise Unavailable(
            f"The import needs more memory or disk than it may take: {reason}.",
            "Spread the file over several ones, or free space on the disk; what was imported already is not doubled.",
        ) from None
