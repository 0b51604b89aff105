"""Opens data files: CSV, JSON Lines and Parquet.

Problems found here concern the whole file, so nothing of it is imported: a missing file, an unknown encoding, no
header, a Parquet file without its footer, or a decompression bomb.
"""

from __future__ import annotations

import codecs
import csv
import importlib.util
import os
import re
import sys
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from mailshot import safe_files, spreadsheet
from mailshot.errors import nearest
from mailshot.ingest import parquet

BLOCK = 1 << 20
MOST_LINE = 4 << 20
MOST_COLUMNS = 1_000
MOST_LINES = 500_000_000
#: Bytes of a text file: 500 million lines of an ordinary length.
MOST_BYTES = 64 << 30
DELIMITERS = ",;\t|"
PACKAGE = "package:"
#: The columns that import writes behind rejected rows. A file that has one of them was written by it.
REJECT_LINE, REJECT_REASON = "reject_line", "reject_reason"
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


class UnreadableFile(Exception):
    """The file as a whole cannot be used; `remedy` says what to do, `line` where (0: nowhere in particular)."""

    def __init__(self, message: str, remedy: str = "", line: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.line = line


class MissingColumn(UnreadableFile):
    """The mapping names a column that the file does not have."""

    def __init__(self, file: str, column: str, known: Iterable[str]) -> None:
        super().__init__(f"'{file}' has no column '{column}'", nearest(column, known))
        self.column = column


@dataclass(frozen=True, slots=True, weakref_slot=True)
class DataFile:
    """A file that can be read, open for as long as this is there.

    `name` is how errors call it, and `path` where it is read: where the system has such paths, that of the open file
    itself, so that nothing can take its place. `columns` are DuckDB's types by name; `lines` counts those of a text
    file (0: to be read with care); `skipped` those before its header. `protected` says that import wrote it, with
    an apostrophe before what a spreadsheet would run.
    """

    name: str
    path: Path
    format: Format
    columns: dict[str, str]
    delimiter: str = ","
    lines: int = 0
    skipped: int = 0
    protected: bool = False


def find(name: str, beside: Path, data: Path | None) -> Path:
    """Return where the file that a mapping names lies. Raises Unreadable."""
    tried = list(_places(name, beside, data))
    for place in tried:
        if place.is_file():
            return place
    looked = " or ".join(str(place) for place in tried)
    raise UnreadableFile(f"'{name}' is not there", f"Looked for {looked}." if looked else _install(name))


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
        raise UnreadableFile(
            f"'{path.name}' is of no kind we read", f"Known: {', '.join(FORMATS)}. Unpack a compressed file first."
        )
    try:
        # What a package brings may be a link into a store of its installer.
        file = safe_files.open_file(path, path.resolve().parent if _is_installed(path) else None)
    except OSError as error:
        remedy = getattr(error, "remedy", "")
        raise UnreadableFile(f"'{path.name}' cannot be read: {error.strerror}", remedy) from None
    try:
        found = _examine(file, path, kind, delimiter, encoding, folder, rather_utf8)
    except BaseException:
        file.close()
        raise
    weakref.finalize(found, file.close)
    return found


def _examine(
    file: BinaryIO,
    path: Path,
    kind: Format,
    delimiter: str | None,
    encoding: str | None,
    folder: Path,
    rather_utf8: bool,
) -> DataFile:
    opened = _path_of(file, path)
    try:
        if kind is Format.parquet:
            return DataFile(path.name, opened, kind, parquet.examine(file))
        if os.fstat(file.fileno()).st_size > MOST_BYTES:
            raise UnreadableFile(f"'{path.name}' has more than {MOST_BYTES >> 30} GB", "Spread it over several files.")
        text = _Text(path.name, opened)
        opened = _as_utf8(text, None if rather_utf8 and _is_utf8(opened) else encoding, folder)
        text = _Text(path.name, opened)
        lines = _lines_of_text(text)
        if kind is Format.jsonl:
            return DataFile(path.name, opened, kind, {}, lines=lines)
        return _csv(text, delimiter, lines)
    except parquet.Refusal as refusal:
        raise UnreadableFile(f"'{path.name}' {refusal.reason}", refusal.remedy) from None
    except OSError as error:
        raise UnreadableFile(f"'{path.name}' cannot be read: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class _Text:
    """A text file: how errors call it, and where it is read."""

    name: str
    path: Path


def _path_of(file: BinaryIO, path: Path) -> Path:
    """Return a path that leads to the open file itself, where the system has one, else its own."""
    found = Path(f"/proc/self/fd/{file.fileno()}")
    return found if found.exists() else path.resolve()


def _is_installed(path: Path) -> bool:
    """Say whether a file lies in a folder that Python imports from."""
    folders = (Path(entry).absolute() for entry in sys.path if entry)
    return any(path.absolute().is_relative_to(folder) for folder in folders if folder.name.endswith("-packages"))


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


def _as_utf8(text: _Text, encoding: str | None, folder: Path) -> Path:
    """Return the path of the file as UTF-8 text: its own, or that of a copy."""
    path = text.path
    with path.open("rb") as file:
        first = file.read(4)
    marked = next((named for mark, named in _MARKS.items() if first.startswith(mark)), None)
    chosen = codecs.lookup(marked or encoding or "utf-8").name
    if chosen in ("utf-8", "utf-8-sig", "ascii"):
        return path
    safe_files.make_private_folder(folder)
    copy, lines = folder / text.name, 1
    with path.open(encoding=chosen, newline="") as source, copy.open("w", encoding="utf-8", newline="") as target:
        try:
            while block := source.read(BLOCK):
                lines += block.count("\n")
                target.write(block)
        except UnicodeError:
            message = f"'{text.name}' is not {chosen} text from line {lines} on"
            raise UnreadableFile(
                message, "Name its encoding in the mapping, as in 'encoding: cp1252'.", lines
            ) from None
    return copy


def _lines_of_text(text: _Text) -> int:
    """Decode the whole file and return how many lines it has; 0 when it needs the careful reader.

    It does when a line ends in a lone CR, and when blanks stand around a quoted cell, which no two readers take alike.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = since = lone = 0
    last = seam = b""
    with text.path.open("rb") as file:
        while block := file.read(BLOCK):
            _decode(text.name, decoder, block, lines)
            lone += block.count(b"\r") - (last + block).count(b"\r\n") if b"\r" in last + block else 0
            lone += bool(b'"' in block and _LOOSE_QUOTE.search(seam + block))
            lines += block.count(b"\n")
            since = len(block) - block.rfind(b"\n") - 1 + (since if b"\n" not in block else 0)
            if since > MOST_LINE:
                raise UnreadableFile(
                    f"line {lines + 1} of '{text.name}' is longer than {MOST_LINE:,} bytes", "", lines + 1
                )
            if lines > MOST_LINES:
                raise UnreadableFile(
                    f"'{text.name}' has more than {MOST_LINES:,} lines", "Spread it over several files."
                )
            last, seam = block[-1:], block[-SEAM:]
    if decoder.getstate()[0]:
        raise UnreadableFile(f"'{text.name}' ends in the middle of a letter", "Is it cut off?", lines + 1)
    return 0 if lone else lines + bool(since)


def _decode(name: str, decoder: codecs.IncrementalDecoder, block: bytes, lines: int) -> None:
    pending = decoder.getstate()[0]
    try:
        decoder.decode(block)
    except UnicodeDecodeError as error:
        line = lines + (pending + block)[: error.start].count(b"\n") + 1
        message, remedy = f"'{name}' is not UTF-8 text in line {line}", _NO_UTF8
        raise UnreadableFile(message, remedy, line) from None


def _csv(text: _Text, delimiter: str | None, lines: int) -> DataFile:
    with text.path.open(encoding="utf-8-sig", newline="") as file:
        first, skipped, chosen = file.readline(BLOCK), 0, delimiter
        if named := _SEPARATOR.fullmatch(first):
            skipped, chosen, first = 1, delimiter or named[1], file.readline(BLOCK)
        chosen = chosen or max(DELIMITERS, key=first.count)
        file.seek(0)
        try:
            header = next(csv.reader(islice(file, skipped, None), delimiter=chosen, strict=True), [])
        except csv.Error as error:
            raise UnreadableFile(f"'{text.name}' has no readable header: {error}", line=1 + skipped) from None
    names = _names(text.name, header)
    protected = REJECT_LINE in names or REJECT_REASON in names
    names = [spreadsheet.restore(name) for name in names] if protected else names
    columns = dict.fromkeys(names, "VARCHAR")
    return DataFile(text.name, text.path, Format.csv, columns, chosen, lines, skipped, protected)


def _names(file: str, header: list[str]) -> list[str]:
    if not any(header):
        raise UnreadableFile(f"'{file}' is empty: not even a header is there", "The first line names the columns.", 1)
    if len(header) > MOST_COLUMNS:
        raise UnreadableFile(f"'{file}' has {len(header):,} columns; at most {MOST_COLUMNS:,} are read", line=1)
    # DuckDB tells names apart without regard to case.
    lowered = [name.strip().lower() for name in header]
    twice = [name for name in header if lowered.count(name.strip().lower()) > 1]
    if twice:
        raise UnreadableFile(f"'{file}' names the column '{twice[0]}' twice", "Give each column a name of its own.", 1)
    return [name.strip() or f"column {number}" for number, name in enumerate(header, 1)]
