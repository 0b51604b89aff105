"""Examines a Parquet file in a process of its own, before it is imported: all of it is read there, within bounds.

A few kilobytes of Parquet can stand for gigabytes of cells, and sizes in it can lie. So what the footer claims is
looked at first, then every page is unpacked and every text measured by a process whose memory and time the system
bounds. A file that ends that process never reaches this one. What passes is read here from the same open file.

The process is this module run as a script: the file is its standard input, one line of JSON its answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import duckdb

from mailshot.ingest.duckdb_sql import TEXT, literal, name, readable

MAX_ROWS = 500_000_000
MAX_COLUMNS = 1_000
MAX_CHUNKS = 2_000_000
MAX_EXPANSION = 100
#: Bytes. Below this, no expansion hurts.
FREE_EXPANSION = 256 << 20
#: Bytes of the part that lists columns and row groups. Unpacked, it takes some ten times as much.
MAX_FOOTER = 16 << 20
#: Bytes of one cell, as in the other formats.
MAX_CELL = 64 << 10
#: Bytes that one cell of the narrowest column counts for: so much it takes here.
LEAST_CELL = 8
#: Bytes of address space that reading may take beyond what the process has when it begins (torture.md S11: 300 MB).
MEMORY = 192 << 20
MAX_SECONDS = 900
MAGIC, TAIL = b"PAR1", 8
_CUT = "Is the file truncated?"
_SMALLER = "Write it with smaller pages and row groups, or as CSV."
_TOO_MUCH = "would unpack to far more than a file of its size should"


class Refusal(Exception):
    """Why a file is not read, as what follows its name in a sentence, and what to do."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


def examine_parquet(file: BinaryIO) -> dict[str, str]:
    """Return the columns of an open Parquet file with DuckDB's types. Raises Refusal."""
    file.seek(0)
    # -P: the folder we are called in may hold anything, also a module of a name we import.
    command = [sys.executable, "-P", "-m", __name__]
    try:
        done = subprocess.run(
            command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=MAX_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise Refusal(f"takes longer than {MAX_SECONDS // 60} minutes to read", _SMALLER) from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        # The system ended it, or it could not even say that its memory was used up.
        raise Refusal("needs more memory or time to read than an import may take", _SMALLER) from None
    if "reason" in answer:
        raise Refusal(answer["reason"], answer["remedy"])
    return dict(answer["columns"])


def main() -> None:
    """Examine standard input and print the answer."""
    session = duckdb.connect(":memory:", config={"threads": 1, "temp_directory": ""})
    session.execute("SET autoinstall_known_extensions = false")
    _bound()
    try:
        answer: dict[str, Any] = {"columns": _look(session, sys.stdin.buffer)}
    except Refusal as refusal:
        answer = {"reason": refusal.reason, "remedy": refusal.remedy}
    except (MemoryError, duckdb.OutOfMemoryException):
        answer = {"reason": "needs more memory to read than an import may take", "remedy": _SMALLER}
    print(json.dumps(answer))


def _bound() -> None:
    """Bound this process's memory and time, where the system can."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _look(session: duckdb.DuckDBPyConnection, file: BinaryIO) -> dict[str, str]:
    size = os.fstat(file.fileno()).st_size
    _look_at_footer(file, size)
    path = next(
        (str(candidate) for candidate in map(Path, ("/proc/self/fd/0", "/dev/fd/0")) if candidate.exists()),
        "/dev/stdin",
    )
    with _in_words():
        claimed = session.execute("SELECT num_rows, num_row_groups FROM parquet_file_metadata($1)", [path]).fetchall()
        rows, groups = (sum(row[at] for row in claimed) for at in range(2))
        described = session.execute("DESCRIBE SELECT * FROM read_parquet($1)", [path]).fetchall()
    columns = {str(row[0]): str(row[1]) for row in described}
    if not 0 <= rows <= MAX_ROWS or len(columns) > MAX_COLUMNS or groups * len(columns) > MAX_CHUNKS:
        claim = f"{rows:,} rows of {len(columns):,} columns in {groups:,} row groups"
        raise Refusal(f"claims {claim}: more than is read at once", "Spread it over several files.")
    most = max(MAX_EXPANSION * size, FREE_EXPANSION)
    with _in_words():
        unpacked = "SELECT sum(total_uncompressed_size) FROM parquet_metadata($1)"
        pages = int((session.execute(unpacked, [path]).fetchone() or (0,))[0] or 0)
    cells = rows * len(columns) * LEAST_CELL
    if max(pages, cells) > most:
        raise Refusal(f"{_TOO_MUCH}: {max(pages, cells):,} bytes from {size:,}", _SMALLER)
    _measure(session, path, columns, rows, most)
    return columns


def _look_at_footer(file: BinaryIO, size: int) -> None:
    file.seek(max(size - TAIL, 0))
    tail = file.read(TAIL)
    length = int.from_bytes(tail[:4], "little")
    if size < TAIL + len(MAGIC) or tail[4:] != MAGIC or length > size - TAIL:
        raise Refusal("is not a whole Parquet file: it does not end as one", _CUT)
    if length > MAX_FOOTER:
        raise Refusal(f"has {length:,} bytes of descriptions; at most {MAX_FOOTER:,} are read", _SMALLER)


def _measure(session: duckdb.DuckDBPyConnection, path: str, columns: dict[str, str], rows: int, most: int) -> None:
    """Unpack every page and measure every text."""
    if not columns:
        raise Refusal("has no columns")
    lengths = {column: _length(column, kind) for column, kind in columns.items()}
    measured = ", ".join(f"coalesce(sum({length}), 0), coalesce(max({length}), 0)" for length in lengths.values())
    with _in_words():
        query = f"SELECT count(*), {measured} FROM read_parquet({literal(path)})"
        counted, *sizes = session.execute(query).fetchall()[0]
    if counted != rows:
        raise Refusal(f"claims {rows:,} rows and has {counted:,}", _CUT)
    total = sum(sizes[::2])
    if total > most:
        raise Refusal(f"{_TOO_MUCH}: {total:,} bytes of cells", _SMALLER)
    for (column, kind), longest in zip(columns.items(), sizes[1::2], strict=True):
        if readable(kind) and longest > MAX_CELL:
            remedy = "Leave the column out, or shorten its texts."
            raise Refusal(
                f"has a cell of {longest:,} bytes in column '{column}'; at most {MAX_CELL:,} are read", remedy
            )


def _length(column: str, kind: str) -> str:
    """Return the expression of how many bytes a cell takes, which makes its pages be read."""
    if kind == TEXT:
        return f"strlen({name(column)})"
    if kind == "BLOB":
        return f"octet_length({name(column)})"
    if readable(kind):
        return f"CASE WHEN {name(column)} IS NULL THEN 0 ELSE {LEAST_CELL} END"
    return f"strlen({name(column)}::VARCHAR)"


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].partition(": ")[2].replace("/proc/self/fd/0", "the file")
        if "alloc" in reason.lower():
            raise MemoryError from None
        raise Refusal(f"is not a whole Parquet file: {reason or 'it is damaged'}", _CUT) from None


if __name__ == "__main__":
    main()
