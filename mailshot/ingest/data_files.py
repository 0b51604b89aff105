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

BLOCK_BYTES = 1 << 20
MAX_LINE_BYTES = 4 << 20
MAX_COLUMNS = 1_000
MAX_LINES = 500_000_000
#: 64 GB: 500 million lines of ordinary length.
MAX_FILE_BYTES = 64 << 30
DELIMITERS = ",;\t|"
PACKAGE = "package:"
#: The columns that import writes behind rejected rows. A file that has one of them was written by it.
REJECT_LINE, REJECT_REASON = "reject_line", "reject_reason"
# Blanks between a quote and a delimiter; searched across blocks, up to SEAM_BYTES.
_LOOSE_QUOTE = re.compile(rb'"[ \t]+(?:[,;\t|\r\n]|$)|(?:^|[,;\t|\r\n])[ \t]+"')
SEAM_BYTES = 256
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
    """The file cannot be used. `remedy` says what to do; `line` is 0 if no line is to blame."""

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
    """A readable file, open as long as this object exists.

    `name` is its name in errors. `path` is the path of the open file itself if the system has one (/proc), so no other
    file can take its place. `columns` are DuckDB's types by name; `lines` counts the lines of a text file (0: use the
    lenient reader); `skipped` those before its header. `protected`: import wrote it, with an apostrophe before texts
    that a spreadsheet would run.
    """

    name: str
    path: Path
    format: Format
    columns: dict[str, str]
    delimiter: str = ","
    lines: int = 0
    skipped: int = 0
    protected: bool = False


def find_file(name: str, beside: Path, data: Path | None) -> Path:
    """Return the path of a file that a mapping names. Raises UnreadableFile."""
    tried = list(_places(name, beside, data))
    for place in tried:
        if place.is_file():
            return place
    places = " or ".join(str(place) for place in tried)
    raise UnreadableFile(f"'{name}' does not exist", f"Searched: {places}." if places else _install_remedy(name))


def _places(name: str, beside: Path, data: Path | None) -> Iterator[Path]:
    if not name.startswith(PACKAGE):
        yield beside / name
        if data:
            yield data / name
        return
    package, _, inside = name.removeprefix(PACKAGE).partition("/")
    if data:
        yield data / Path(inside).name
    # Only finds the package: importing it would need its dependencies.
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(folder) / inside


def _install_remedy(name: str) -> str:
    return f"Install the Python package '{name.removeprefix(PACKAGE).partition('/')[0]}', or give its folder by --data."


def examine_file(
    path: Path, delimiter: str | None, encoding: str | None, folder: Path, prefer_utf8: bool = False
) -> DataFile:
    """Check that the whole file can be imported. Raises UnreadableFile.

    Text that is not UTF-8 is copied into `folder` as UTF-8; a byte order mark counts more than `encoding`, and with
    `prefer_utf8`, being UTF-8 does.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UnreadableFile(
            f"'{path.name}' has an unknown file type", f"Known: {', '.join(FORMATS)}. Unpack a compressed file first."
        )
    try:
        # Files of a package may be links into a cache of its installer.
        file = safe_files.open_file(path, path.resolve().parent if _is_installed(path) else None)
    except OSError as error:
        remedy = getattr(error, "remedy", "")
        raise UnreadableFile(f"'{path.name}' cannot be read: {error.strerror}", remedy) from None
    try:
        data_file = _examine(file, path, kind, delimiter, encoding, folder, prefer_utf8)
    except BaseException:
        file.close()
        raise
    weakref.finalize(data_file, file.close)
    return data_file


def _examine(
    file: BinaryIO,
    path: Path,
    kind: Format,
    delimiter: str | None,
    encoding: str | None,
    folder: Path,
    prefer_utf8: bool,
) -> DataFile:
    opened = _path_of(file, path)
    try:
        if kind is Format.parquet:
            return DataFile(path.name, opened, kind, parquet.examine_parquet(file))
        if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
            raise UnreadableFile(
                f"'{path.name}' has more than {MAX_FILE_BYTES >> 30} GB", "Spread it over several files."
            )
        text = _Text(path.name, opened)
        opened = _as_utf8(text, None if prefer_utf8 and _is_utf8(opened) else encoding, folder)
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
    """A text file: its name in errors, and its path."""

    name: str
    path: Path


def _path_of(file: BinaryIO, path: Path) -> Path:
    """Return the path of the open file itself where the system has one (/proc), else its own path."""
    open_path = Path(f"/proc/self/fd/{file.fileno()}")
    return open_path if open_path.exists() else path.resolve()


def _is_installed(path: Path) -> bool:
    """Return whether a file is in a folder of installed packages."""
    folders = (Path(entry).absolute() for entry in sys.path if entry)
    return any(path.absolute().is_relative_to(folder) for folder in folders if folder.name.endswith("-packages"))


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
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
            while block := source.read(BLOCK_BYTES):
                lines += block.count("\n")
                target.write(block)
        except UnicodeError:
            message = f"'{text.name}' is not {chosen} text from line {lines} on"
            raise UnreadableFile(
                message, "Name its encoding in the mapping, as in 'encoding: cp1252'.", lines
            ) from None
    return copy


def _lines_of_text(text: _Text) -> int:
    """Decode the whole file and return its number of lines; 0 if it needs the lenient reader.

    It does if a line ends in a lone CR, or if blanks surround a quoted cell, which parsers treat differently.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = since = needs_lenient_reader = 0
    last = seam = b""
    with text.path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            _decode(text.name, decoder, block, lines)
            needs_lenient_reader += block.count(b"\r") - (last + block).count(b"\r\n") if b"\r" in last + block else 0
            needs_lenient_reader += bool(b'"' in block and _LOOSE_QUOTE.search(seam + block))
            lines += block.count(b"\n")
            since = len(block) - block.rfind(b"\n") - 1 + (since if b"\n" not in block else 0)
            if since > MAX_LINE_BYTES:
                raise UnreadableFile(
                    f"line {lines + 1} of '{text.name}' is longer than {MAX_LINE_BYTES:,} bytes", "", lines + 1
                )
            if lines > MAX_LINES:
                raise UnreadableFile(
                    f"'{text.name}' has more than {MAX_LINES:,} lines", "Spread it over several files."
                )
            last, seam = block[-1:], block[-SEAM_BYTES:]
    if decoder.getstate()[0]:
        raise UnreadableFile(f"'{text.name}' ends in the middle of a character", "Is the file truncated?", lines + 1)
    return 0 if needs_lenient_reader else lines + bool(since)


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
        first, skipped, chosen = file.readline(BLOCK_BYTES), 0, delimiter
        if named := _SEPARATOR.fullmatch(first):
            skipped, chosen, first = 1, delimiter or named[1], file.readline(BLOCK_BYTES)
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
        raise UnreadableFile(f"'{file}' is empty, without a header", "The first line names the columns.", 1)
    if len(header) > MAX_COLUMNS:
        raise UnreadableFile(f"'{file}' has {len(header):,} columns; at most {MAX_COLUMNS:,} are read", line=1)
    # DuckDB's names are case-insensitive.
    lowered = [name.strip().lower() for name in header]
    duplicates = [name for name in header if lowered.count(name.strip().lower()) > 1]
    if duplicates:
        raise UnreadableFile(
            f"'{file}' names the column '{duplicates[0]}' twice", "Give each column a name of its own.", 1
        )
    return [name.strip() or f"column {number}" for number, name in enumerate(header, 1)]
