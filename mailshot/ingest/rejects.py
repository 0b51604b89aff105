"""What is wrong with an imported file: counted by reason, and written down so that it can be found and fixed.

Two files per import, in the project's rejects/ folder:

- `<mapping>-<kind>-<n>.csv` holds the rows that were rejected or came in without some of their values, as they stood in
  the source, with `reject_line` and `reject_reason` behind. Fixed, it is read by the same mapping (import --file).
- `<mapping>-<kind>-<n>.notes.csv` lists every fault and warning: line, column, value, reason.

A file of rejected rows may have been corrected by hand: one that is there is never overwritten, but kept under
another name, and a look that keeps nothing (import --check) writes to `….check.csv` instead.
"""

from __future__ import annotations

import csv
import filecmp
import heapq
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from mailshot import safe_files, spreadsheet
from mailshot.errors import Unavailable
from mailshot.ingest.data_files import REJECT_LINE, REJECT_REASON
from mailshot.ingest.duckdb_sql import FLOATS, TEXT, literal, name, text_of
from mailshot.ingest.fields import Kind
from mailshot.ingest.parse_file import Reading
from mailshot.ingest.staging_database import StagingDatabase

REMARK = "warning: "
# What differs from row to row in reasons of one kind.
_QUOTED, _LINE = ":? '.*'", r" \(line \d+\)"
BATCH = 500
LINE, REASON = REJECT_LINE, REJECT_REASON
REJECTED, PARTIAL = "rejected: ", "taken without: "
SIBLING = "no error in this row: keep it in the file, because it may belong with a rejected row"
#: Of a row whose keys are all unreadable nothing can be said about the rows it counts with.
IN_SOURCE = "correct this row in the source file and import that file"
NOTES_SUFFIX = ".notes.csv"
_REFUSALS = (Kind.consents, Kind.suppressions)
# Rows that agree on all of these fields are told apart by their turn in the file.
_TURNS = {
    Kind.purchases: ("customer", "order", "product"),
    Kind.events: ("customer", "at", "name"),
    Kind.interactions: ("customer", "at", "kind"),
    Kind.conversions: ("customer", "at", "campaign"),
}
# Of rows that agree on all of these fields the last counts.
_LAST = {
    Kind.customers: ("key",),
    Kind.products: ("key",),
    Kind.campaigns: ("key",),
    Kind.referrals: ("customer", "referred"),
    **dict.fromkeys((Kind.events, Kind.interactions, Kind.conversions), ("customer", "key")),
}
# Fields that so many rows agree on that they narrow nothing down by themselves.
_COMMON = {"product", "name", "kind", "campaign"}


def by_reason(stage: StagingDatabase, table: str) -> dict[str, int]:
    """Count notes by column and reason, without what a reason quotes; the most frequent first."""
    # Whole sentences are left: a quotation goes with the colon before it, a reason that goes on loses its full stop.
    plain = f"regexp_replace(regexp_replace(reason, {literal(_QUOTED)}, ''), {literal(_LINE)}, '')"
    plain = f"rtrim({plain}, '.') || CASE WHEN field IS NULL THEN '' ELSE ': taken without it' END"
    shown = f"""coalesce("column" || ' ', '') || {plain}"""
    found = stage.run(f"SELECT {shown}, count(*) FROM {table} GROUP BY 1 ORDER BY 2 DESC, 1")
    return {str(reason): int(count) for reason, count in found}


def withdrawals(stage: StagingDatabase, reading: Reading) -> int:
    """Count the rejected rows by which somebody said, or may have said, that they want no mail."""
    lines = f"SELECT DISTINCT line FROM {reading.faults}"
    if reading.item.kind is Kind.consents:
        lines += f' WHERE line NOT IN (SELECT "#line" FROM {reading.rows} WHERE given)'
    return stage.one(f"SELECT count(*) FROM ({lines})") if reading.item.kind in _REFUSALS else 0


def settle(stage: StagingDatabase, reading: Reading) -> None:
    """Move what was told of lost cells to the faults where the row was rejected after all."""
    lost = f"FROM {reading.warnings} WHERE field IS NOT NULL AND line IN (SELECT line FROM {reading.faults})"
    stage.run(f"INSERT INTO {reading.faults} SELECT * REPLACE (NULL AS field) {lost}")
    stage.run(f"DELETE {lost}")
    stage.run(f"UPDATE {reading.faults} SET field = NULL WHERE field IS NOT NULL")


def write_notes(stage: StagingDatabase, reading: Reading, path: Path) -> str:
    """Write every fault and warning as one file, or see to it that none is left; return its name."""
    note = f"CASE WHEN field IS NULL THEN {literal(REMARK)} ELSE {literal(REMARK + PARTIAL)} END || reason"
    query = f"""SELECT line, "column", value, reason FROM (
        SELECT * FROM {reading.faults}
        UNION ALL BY NAME SELECT * REPLACE ({note} AS reason) FROM {reading.warnings}) ORDER BY line, reason"""
    return _write(stage, path, ["line", "column", "value", "reason"], _rows(stage, query), ",")


def collect(stage: StagingDatabase, reading: Reading) -> int:
    """Make the table `rejected` of the lines that must be fixed and read again, and return how many they are."""
    said = """string_agg(coalesce("column" || ' ', '') || reason, '; ' ORDER BY "column", reason)"""
    # A line that is no row has no cells: what it says stands in its reason.
    whole = """CASE WHEN "column" IS NULL THEN reason || coalesce(': ' || value, '') ELSE reason END"""
    faults, lost = f"(SELECT * REPLACE ({whole} AS reason) FROM {reading.faults})", "field IS NOT NULL"
    stage.run(
        f"""CREATE OR REPLACE TABLE rejected AS
        SELECT line, {literal(REJECTED)} || {said} AS reason FROM {faults} GROUP BY line
        UNION ALL SELECT line, {literal(PARTIAL)} || {said} FROM {reading.warnings} WHERE {lost} GROUP BY line"""
    )
    _add_siblings(stage, reading)
    return stage.one("SELECT count(*) FROM rejected")


def write_rows(stage: StagingDatabase, reading: Reading, path: Path, used: bool) -> tuple[str, str]:
    """Write the rows that `collect` found, to be fixed and read again; return the file's name and the former one's.

    A former file with other rows is kept under the name that is returned, '' without one; not one that was `used`,
    which is this import's own source.
    """
    kinds = {row[0]: str(row[1]) for row in stage.run(f"DESCRIBE SELECT * FROM {reading.source}")}
    columns = [column for column in kinds if column not in ("#line", "file_row_number", LINE, REASON)]
    cells = "".join(f"{_cell(column, kinds[column])} AS {name(column)}, " for column in columns)
    # Asked for in the order of the file: sorting whole rows would take more memory than reading them.
    kept = f'{cells}j.line, j.reason FROM {reading.source} AS s JOIN rejected AS j ON s."#line" = j.line'
    empty = "".join("NULL, " for _ in columns)
    none = f'SELECT {empty}line, reason FROM rejected WHERE line NOT IN (SELECT "#line" FROM {reading.source})'
    lines = (_rows(stage, query) for query in (f"SELECT {kept}", f"{none} ORDER BY line"))
    rows = heapq.merge(*lines, key=lambda row: row[-2])
    former = None if used or not path.exists() else path.rename(path.with_name(path.name + ".former"))
    # Whatever encoding the mapping names, this file is UTF-8, and its mark says so.
    written = _write(stage, path, [*columns, LINE, REASON], rows, reading.file.delimiter, mark="\ufeff")
    if former is None:
        return written, ""
    if not written or filecmp.cmp(former, path, shallow=False):
        former.unlink()
        return written, ""
    moment = datetime.fromtimestamp(former.stat().st_mtime, tz=UTC)
    return written, str(former.rename(path.with_name(f"{path.stem}.{moment:%Y%m%d-%H%M%S-%f}.csv")))


def _add_siblings(stage: StagingDatabase, reading: Reading) -> None:
    """Add the good rows that may count together with a row of `rejected`, once that one is corrected.

    A turn, and which row is the last, follow from the rows of one key together: read again alone, a corrected row would
    take the place of a good one. A cell that is wrong may become anything, so the rows must agree on the other cells.
    """
    if not stage.one("SELECT count(*) FROM rejected"):
        return
    turns = _TURNS.get(reading.item.kind, ())
    for keys in (turns, _LAST.get(reading.item.kind, ())):
        fields = [field for field in keys if field in reading.fields]
        if fields and len(fields) == len(keys):
            _add_agreeing(stage, reading, fields)
    if turns:
        lost = f"reason <> {literal(SIBLING)} AND line NOT IN ({_known_by(reading, turns)})"
        mark = literal("; " + IN_SOURCE)
        stage.run(
            f"UPDATE rejected SET reason = reason || {mark} WHERE {lost} AND NOT contains(reason, {literal(IN_SOURCE)})"
        )


def _known_by(reading: Reading, turns: tuple[str, ...]) -> str:
    """Return the query of the rejected lines with readable cells that narrow down which rows they count with."""
    sure = [f"NOT ({_wrong(reading, field)})" for field in turns if field not in _COMMON]
    known = f"({' OR '.join(sure)})"
    if "key" in reading.fields:
        # A row with a key of its own counts with those of the same customer and key.
        known += f" AND NOT ({_wrong(reading, 'customer')} AND {_wrong(reading, 'key')})"
    rejected = f'{reading.rows} AS r WHERE r."#line" IN (SELECT line FROM rejected)'
    return f'SELECT "#line" FROM {rejected} AND {known}'


def _wrong(reading: Reading, field: str) -> str:
    """Return the condition, over rows called r, that a field's cell is at fault."""
    label = literal(reading.label(field))
    return f'EXISTS (FROM {reading.faults} AS f WHERE f.line = r."#line" AND f."column" = {label})'


def _add_agreeing(stage: StagingDatabase, reading: Reading, fields: list[str]) -> None:
    """Add the good rows that agree with a row of `rejected` on those of the fields whose cells are not at fault."""
    cells = ", ".join(f"r.{name(field)}" for field in fields)
    wrong = ", ".join(f"{_wrong(reading, field)} AS w{at}" for at, field in enumerate(fields))
    flags = ", ".join(f"w{at}" for at in range(len(fields)))
    stage.run(
        f"CREATE OR REPLACE TABLE partial_keys AS SELECT {cells}, {wrong} FROM {reading.rows} AS r "
        f'WHERE r."#line" IN (SELECT line FROM rejected WHERE reason <> {literal(SIBLING)})'
    )
    for pattern in stage.run(f"SELECT DISTINCT {flags} FROM partial_keys"):
        sure = [field for field, faulty in zip(fields, pattern, strict=True) if not faulty]
        if not set(sure) - _COMMON:
            continue
        same = ", ".join(map(name, sure))
        which = " AND ".join(f"w{at} = {faulty}" for at, faulty in enumerate(pattern))
        stage.run(
            f"""INSERT INTO rejected SELECT "#line", {literal(SIBLING)} FROM {reading.rows}
            WHERE "#line" NOT IN (SELECT line FROM rejected)
            AND ({same}) IN (SELECT ({same}) FROM partial_keys WHERE {which})"""
        )


def refuse_hopeless(stage: StagingDatabase, reading: Reading) -> None:
    """Reject again the corrected rows that say of themselves that they can only be corrected in the source file."""
    if REASON in reading.file.columns:
        lines = f'SELECT "#line" FROM {reading.source} WHERE contains({name(REASON)}, {literal(IN_SOURCE)})'
        stage.run(f"INSERT INTO {reading.faults} SELECT *, NULL, NULL, {literal(IN_SOURCE)}, NULL FROM ({lines})")


def _cell(column: str, kind: str) -> str:
    return text_of(f"s.{name(column)}", kind) if kind in FLOATS else f"s.{name(column)}::{TEXT}"


def _rows(stage: StagingDatabase, query: str) -> Iterator[tuple[Any, ...]]:
    """Give the rows of a query, a few at a time: each may hold as much text as a line of the file."""
    with stage.session.cursor() as cursor:
        cursor.execute(query)
        while rows := cursor.fetchmany(BATCH):
            yield from rows


def _write(
    stage: StagingDatabase,
    path: Path,
    header: list[str],
    rows: Iterable[tuple[Any, ...]],
    delimiter: str,
    mark: str = "",
) -> str:
    """Write rows as a whole CSV file in place of the former one; without rows, none. Return its name."""
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        path.unlink(missing_ok=True)
        return ""
    _make_folder(path.parent)
    beside = stage.folder / path.name
    safe_files.create_private(beside)
    with beside.open("w", encoding="utf-8", newline="") as file:
        file.write(mark)
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(map(spreadsheet.harmless, header))
        writer.writerows(map(spreadsheet.harmless, row) for row in chain((first,), rows))
    os.replace(beside, path)
    return str(path)


def _make_folder(folder: Path) -> None:
    """Make the folder for rejected rows, which are about people still. Raises Unavailable when it is something else."""
    safe_files.make_private_folder(folder)
    if not folder.is_dir():
        raise Unavailable(
            f"Rejected rows cannot be written: '{folder}' is no folder.", "Move it away, and import again."
        )
