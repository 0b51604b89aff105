"""Owns data files as they lie there: found, readable as a whole, with which columns; refuses to judge a single row.

What is wrong here is wrong with the file, so nothing of it is imported: a missing file, an unnamed encoding, no
header, a Parquet file without its footer, or one that would unpack to far more than it is.
"""

from __future__ import annotations

import codecs
import csv
import importlib.util
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path

import duckdb

from mailshot.errors import nearest

BLOCK = 1 << 20
MOST_LINE = 4 << 20
MOST_COLUMNS = 1_000
MOST_ROWS = 500_000_000
MOST_EXPANSION = 100
# Below this, no expansion hurts.
FREE_EXPANSION = 256 << 20
DELIMITERS = ",;\t|"
PACKAGE = "package:"
# Blanks between a quote and a delimiter; looked for across blocks, as far as SEAM.
_LOOSE_QUOTE = re.compile(rb'"[ \t]+(?:[,;\t|\r\n]|$)|(?:^|[,;\t|\r\n])[ \t]+"')
SEAM = 256
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NO_UTF8 = "Name its encoding in the mapping, as in 'encoding: cp1252', or save it as UTF-8."
# How Excel names the delimiter in a line above the header.
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


class Format(StrEnum):
    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"


FORMATS = {
    ".csv": Format.csv,
    ".tsv": Format.csv,
    ".txt": Format.csv,
    ".jsonl": Format.jsonl,
    ".ndjson": Format.jsonl,
    ".parquet": Format.parquet,
}


class Unreadable(Exception):
    """The file as a whole cannot be used; `remedy` says what to do, `line` where (0: nowhere in particular)."""

    def __init__(self, message: str, remedy: str = "", line: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.line = line


class MissingColumn(Unreadable):
    """The mapping names a column that the file does not have."""

    def __init__(self, file: str, column: str, known: Iterable[str]) -> None:
        super().__init__(f"'{file}' has no column '{column}'", nearest(column, known))
        self.column = column


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file that can be read.

    `columns` are DuckDB's types by name; `lines` counts those of a text file; `skipped` those before its header.
    """

    path: Path
    format: Format
    columns: dict[str, str]
    delimiter: str = ","
    lines: int = 0
    skipped: int = 0


def find(name: str, beside: Path, data: Path | None) -> Path:
    """Return where the file that a mapping names lies. Raises Unreadable."""
    tried = list(_places(name, beside, data))
    for place in tried:
        if place.is_file():
            return place
    looked = " or ".join(str(place) for place in tried)
    raise Unreadable(f"'{name}' is not there", f"Looked for {looked}." if looked else _install(name))


def _places(name: str, beside: Path, data: Path | None) -> Iterator[Path]:
    if not name.startswith(PACKAGE):
        yield beside / name
        if data:
            yield data / name
        return
    package, _, inside = name.removeprefix(PACKAGE).partition("/")
    if data:
        yield data / Path(inside).name
    # Only asks where the package lies: importing it would want all that it needs.
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(folder) / inside


def _install(name: str) -> str:
    return f"Install the Python package '{name.removeprefix(PACKAGE).partition('/')[0]}', or give its folder by --data."


def examine(
    path: Path, delimiter: str | None, encoding: str | None, folder: Path, rather_utf8: bool = False
) -> DataFile:
    """Read as much of the file as it takes to know that the whole of it can be imported. Raises Unreadable.

    Text that is not UTF-8 is copied into `folder` as UTF-8; a byte order mark counts more than `encoding`, and with
    `rather_utf8`, being UTF-8 does.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise Unreadable(
            f"'{path.name}' is of no kind we read", f"Known: {', '.join(FORMATS)}. Unpack a compressed file first."
        )
    try:
        if kind is Format.parquet:
            return DataFile(path, kind, _parquet(path))
        path = _as_utf8(path, None if rather_utf8 and _is_utf8(path) else encoding, folder)
        lines = _lines_of_text(path)
        if kind is Format.jsonl:
            return DataFile(path, kind, {}, lines=lines)
        return _csv(path, delimiter, lines)
    except OSError as error:
        raise Unreadable(f"'{path.name}' cannot be read: {error.strerror}") from None


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _as_utf8(path: Path, encoding: str | None, folder: Path) -> Path:
    """Return the path of the file as UTF-8 text: its own, or that of a copy."""
    with path.open("rb") as file:
        first = file.read(4)
    marked = next((named for mark, named in _MARKS.items() if first.startswith(mark)), None)
    chosen = codecs.lookup(marked or encoding or "utf-8").name
    if chosen in ("utf-8", "utf-8-sig", "ascii"):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    copy, lines = folder / path.name, 1
    with path.open(encoding=chosen, newline="") as source, copy.open("w", encoding="utf-8", newline="") as target:
        try:
            while block := source.read(BLOCK):
                lines += block.count("\n")
                target.write(block)
        except UnicodeError:
            message = f"'{path.name}' is not {chosen} text from line {lines} on"
            raise Unreadable(message, "Name its encoding in the mapping, as in 'encoding: cp1252'.", lines) from None
    return copy


def _lines_of_text(path: Path) -> int:
    """Decode the whole file and return how many lines it has; 0 when it needs the careful reader.

    It does when a line ends in a lone CR, and when blanks stand around a quoted cell, which no two readers take alike.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = since = lone = 0
    last = seam = b""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            _decode(path, decoder, block, lines)
            lone += block.count(b"\r") - (last + block).count(b"\r\n") if b"\r" in last + block else 0
            lone += bool(b'"' in block and _LOOSE_QUOTE.search(seam + block))
            lines += block.count(b"\n")
            since = len(block) - block.rfind(b"\n") - 1 + (since if b"\n" not in block else 0)
            if since > MOST_LINE:
                raise Unreadable(f"line {lines + 1} of '{path.name}' is longer than {MOST_LINE:,} bytes", "", lines + 1)
            last, seam = block[-1:], block[-SEAM:]
    if decoder.getstate()[0]:
        raise Unreadable(f"'{path.name}' ends in the middle of a letter", "Is it cut off?", lines + 1)
    return 0 if lone else lines + bool(since)


def _decode(path: Path, decoder: codecs.IncrementalDecoder, block: bytes, lines: int) -> None:
    pending = decoder.getstate()[0]
    try:
        decoder.decode(block)
    except UnicodeDecodeError as error:
        line = lines + (pending + block)[: error.start].count(b"\n") + 1
        message, remedy = f"'{path.name}' is not UTF-8 text in line {line}", _NO_UTF8
        raise Unreadable(message, remedy, line) from None


def _csv(path: Path, delimiter: str | None, lines: int) -> DataFile:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first, skipped, chosen = file.readline(BLOCK), 0, delimiter
        if named := _SEPARATOR.fullmatch(first):
            skipped, chosen, first = 1, delimiter or named[1], file.readline(BLOCK)
        chosen = chosen or max(DELIMITERS, key=first.count)
        file.seek(0)
        try:
            header = next(csv.reader(islice(file, skipped, None), delimiter=chosen, strict=True), [])
        except csv.Error as error:
            raise Unreadable(f"'{path.name}' has no readable header: {error}", line=1 + skipped) from None
    if not any(header):
        raise Unreadable(f"'{path.name}' is empty: not even a header is there", "The first line names the columns.", 1)
    if len(header) > MOST_COLUMNS:
        raise Unreadable(f"'{path.name}' has {len(header):,} columns; at most {MOST_COLUMNS:,} are read", line=1)
    # DuckDB tells names apart without regard to case.
    lowered = [name.strip().lower() for name in header]
    twice = [name for name in header if lowered.count(name.strip().lower()) > 1]
    if twice:
        raise Unreadable(f"'{path.name}' names the column '{twice[0]}' twice", "Give each column a name of its own.", 1)
    names = [name.strip() or f"column {number}" for number, name in enumerate(header, 1)]
    return DataFile(path, Format.csv, dict.fromkeys(names, "VARCHAR"), chosen, lines, skipped)


def _parquet(path: Path) -> dict[str, str]:
    with duckdb.connect() as session:
        try:
            session.execute("SELECT num_rows FROM parquet_file_metadata($1)", [str(path)])
            rows = sum(row[0] for row in session.fetchall())
            session.execute("SELECT sum(total_uncompressed_size) FROM parquet_metadata($1)", [str(path)])
            unpacked = int((session.fetchone() or (0,))[0] or 0)
            session.execute("DESCRIBE SELECT * FROM read_parquet($1)", [str(path)])
            columns = {name: kind for name, kind, *_ in session.fetchall()}
        except duckdb.Error as error:
            reason = str(error).splitlines()[0].partition(": ")[2] or "it is damaged"
            raise Unreadable(f"'{path.name}' is not a whole Parquet file: {reason}", "Is it cut off?") from None
    size = path.stat().st_size
    if rows > MOST_ROWS or len(columns) > MOST_COLUMNS:
        raise Unreadable(f"'{path.name}' claims {rows:,} rows of {len(columns):,} columns: more than is read at once")
    if unpacked > max(MOST_EXPANSION * size, FREE_EXPANSION):
        raise Unreadable(f"'{path.name}' would unpack from {size:,} to {unpacked:,} bytes: that is refused")
    return columns
