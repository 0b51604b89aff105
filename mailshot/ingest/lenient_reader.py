"""Reads text files line by line: JSON Lines, and CSV files with broken rows.

CSV files that follow RFC 4180 are read by DuckDB instead. Here, broken rows are reported with their line, and reading
continues with the next line.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from mailshot import spreadsheet

MAX_CELL = 64 * 1024
MAX_LINE = 8 << 20
MAX_SHOWN = 200
MAX_NAMES = 1_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row and the line it begins in."""

    line: int
    cells: list[str | None]


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that is no row."""

    line: int
    value: str
    reason: str


def csv_rows(
    path: Path, delimiter: str, width: int, skipped: int = 0, protected: bool = False
) -> Iterator[Row | Broken]:
    """Give every row of a CSV file below its header, and every line that is none; `skipped` lines stand above it.

    With `protected`, what `spreadsheet.escape_formula` put before a cell is taken off.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = _Lines(file)
        for _ in range(skipped):
            next(lines)
        csv.field_size_limit(MAX_CELL)
        for number, row in enumerate(_records(lines, delimiter, width)):
            if protected and isinstance(row, Row):
                row = Row(row.line, [spreadsheet.restore(cell or "") for cell in row.cells])
            if number:
                yield row


def _records(lines: _Lines, delimiter: str, width: int) -> Iterator[Row | Broken]:
    while True:
        begin = lines.number + 1
        lines.taken.clear()
        reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
        try:
            cells = next(reader, None)
        except csv.Error as error:
            excerpt = _excerpt(lines.taken[0])
            lines.back_to_second()
            yield Broken(begin, excerpt, f"is not valid CSV: {error}")
            continue
        if cells is None:
            return
        if not cells:
            continue
        while len(cells) > width and not cells[-1]:
            # Delimiters at the end of the line, as some programs write them; DuckDB overlooks them too.
            cells.pop()
        if len(cells) == width:
            yield Row(begin, list(cells))
        else:
            excerpt = _excerpt(lines.taken[0])
            lines.back_to_second()
            yield Broken(begin, excerpt, f"has {len(cells)} values; the header names {width}")


class _Lines:
    """Lines of a file that can be given a second time, so that one stray quote does not swallow the rows after it."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.number = 0
        self.taken: list[str] = []
        self.waiting: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self.waiting.pop() if self.waiting else self.file.readline(MAX_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        self.taken.append(line)
        return line

    def back_to_second(self) -> None:
        """Give all lines of the last record again but its first."""
        again = self.taken[1:]
        self.waiting += reversed(again)
        self.number -= len(again)


def json_rows(path: Path, wanted: list[str], seen: set[str]) -> Iterator[Row | Broken]:
    """Give the values of `wanted` of every object of a JSON Lines file, adding every name in it to `seen`."""
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), ""), 1):
            if not line.strip():
                continue
            try:
                # Numbers stay the text that was written, so that amounts are exact.
                record = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
                if not isinstance(record, dict):
                    raise ValueError("it is a list or a single value")
                if len(record) > MAX_NAMES:
                    raise ValueError(f"it has {len(record):,} names; at most {MAX_NAMES:,} are read")
                # Names are only suggested from; a file may have new ones in every line.
                seen.update(record if len(seen) < MAX_NAMES else record.keys() & set(wanted))
                yield Row(number, [_cell(name, record.get(name)) for name in wanted])
            except json.JSONDecodeError as error:
                yield Broken(number, _excerpt(line), f"is not valid JSON: {error.msg}")
            except RecursionError:
                yield Broken(number, _excerpt(line), "is not a row: it is nested too deeply")
            except ValueError as error:
                yield Broken(number, _excerpt(line), f"is not a row: {error}")


def _cell(name: str, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise ValueError(f"'{name}' is a list or an object")
    if len(value) > MAX_CELL:
        raise ValueError(f"'{name}' is longer than {MAX_CELL:,} characters")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError(f"'{name}' has half a letter (a lone surrogate)")
    return value


def _excerpt(line: str) -> str:
    return line.rstrip("\r\n")[:MAX_SHOWN]
