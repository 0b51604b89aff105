"""Problems of an imported file: counted by reason, and written to files, so that users can fix them.

Two files per import, in the project's rejects/ folder:

- `<mapping>-<kind>-<n>.csv` has the rows that were rejected or imported without some values, as they are in the source,
  with the columns `reject_line` and `reject_reason`. After correction, the same mapping imports it (import --file).
- `<mapping>-<kind>-<n>.notes.csv` lists every fault and warning: line, column, value, reason.

Users may be correcting a file of rejected rows, so an existing one is never overwritten, but renamed. A check (import
--check) writes to `….check.csv` instead.
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
# The parts of a reason that differ from row to row.
_QUOTED, _LINE = ":? '.*'", r" \(line \d+\)"
BATCH = 500
LINE, REASON = REJECT_LINE, REJECT_REASON
REJECTED, PARTIAL = "rejected: ", "imported without: "
SIBLING = "no error in this row: keep it in the file, because it may belong with a rejected row"
#: For a row with unreadable keys: it is unknown which rows it belongs with.
IN_SOURCE = "correct this row in the source file and import that file"
NOTES_SUFFIX = ".notes.csv"
_REFUSALS = (Kind.consents, Kind.suppressions)
# Rows that agree on all of these fields are numbered in the order of the file.
_TURNS = {
    Kind.purchases: ("customer", "order", "product"),
    Kind.events: ("customer", "at", "name"),
    Kind.interactions: ("customer", "at", "kind"),
    Kind.conversions: ("customer", "at", "campaign"),
}
# Of rows that agree on all of these fields, the last one is used.
_LAST = {
    Kind.customers: ("key",),
    Kind.products: ("key",),
    Kind.campaigns: ("key",),
    Kind.referrals: ("customer", "referred"),
    **dict.fromkeys((Kind.events, Kind.interactions, Kind.conversions), ("customer", "key")),
}
# Fields that many rows agree on, so they are not selective by themselves.
_COMMON = {"product", "name", "kind", "campaign"}


def by_reason(db: StagingDatabase, table: str) -> dict[str, int]:
    """Count notes by column and reason, without quoted values; the most frequent first."""
    # Keep whole sentences: remove a quoted value with the colon before it, and a full stop before more text.
    plain = f"regexp_replace(regexp_replace(reason, {literal(_QUOTED)}, ''), {literal(_LINE)}, '')"
    plain = f"rtrim({plain}, '.') || CASE WHEN field IS NULL THEN '' ELSE ': imported without it' END"
    label = f"""coalesce("column" || ' ', '') || {plain}"""
    rows = db.run(f"SELECT {label}, count(*) FROM {table} GROUP BY 1 ORDER BY 2 DESC, 1")
    return {str(reason): int(count) for reason, count in rows}


def count_withdrawals(db: StagingDatabase, reading: Reading) -> int:
    """Count the rejected rows that are, or may be, withdrawals or suppressions."""
    lines = f"SELECT DISTINCT line FROM {reading.faults}"
    if reading.item.kind is Kind.consents:
        lines += f' WHERE line NOT IN (SELECT "#line" FROM {reading.rows} WHERE given)'
    return db.one(f"SELECT count(*) FROM ({lines})") if reading.item.kind in _REFUSALS else 0


def move_dropped_values(db: StagingDatabase, reading: Reading) -> None:
    """Move the warnings about dropped values to the faults, for rows that were rejected after all."""
    lost = f"FROM {reading.warnings} WHERE field IS NOT NULL AND line IN (SELECT line FROM {reading.faults})"
    db.run(f"INSERT INTO {reading.faults} SELECT * REPLACE (NULL AS field) {lost}")
    db.run(f"DELETE {lost}")
    db.run(f"UPDATE {reading.faults} SET field = NULL WHERE field IS NOT NULL")


def write_notes(db: StagingDatabase, reading: Reading, path: Path) -> str:
    """Write all faults and warnings to one file, or delete it if there are none; return its name."""
    note = f"CASE WHEN field IS NULL THEN {literal(REMARK)} ELSE {literal(REMARK + PARTIAL)} END || reason"
    query = f"""SELECT line, "column", value, reason FROM (
        SELECT * FROM {reading.faults}
        UNION ALL BY NAME SELECT * REPLACE ({note} AS reason) FROM {reading.warnings}) ORDER BY line, reason"""
    return _write(db, path, ["line", "column", "value", "reason"], _rows(db, query), ",")


def collect(db: StagingDatabase, reading: Reading) -> int:
    """Fill the table `rejected` with the lines to fix and import again, and return their number."""
    reasons = """string_agg(coalesce("column" || ' ', '') || reason, '; ' ORDER BY "column", reason)"""
    # A line that is not a row has no cells: its text is in its reason.
    whole = """CASE WHEN "column" IS NULL THEN reason || coalesce(': ' || value, '') ELSE reason END"""
    faults, lost = f"(SELECT * REPLACE ({whole} AS reason) FROM {reading.faults})", "field IS NOT NULL"
    db.run(
        f"""CREATE OR REPLACE TABLE rejected AS
        SELECT line, {literal(REJECTED)} || {reasons} AS reason FROM {faults} GROUP BY line
        UNION ALL SELECT line, {literal(PARTIAL)} || {reasons} FROM {reading.warnings} WHERE {lost} GROUP BY line"""
    )
    _add_siblings(db, reading)
    return db.one("SELECT count(*) FROM rejected")


def write_rows(db: StagingDatabase, reading: Reading, path: Path, used: bool) -> tuple[str, str]:
    """Write the rows that `collect` found. Return the file's name, and the new name of an earlier file with other rows.

    The second is '' if there was none, or if the earlier file was `used` as this import's own source.
    """
    kinds = {row[0]: str(row[1]) for row in db.run(f"DESCRIBE SELECT * FROM {reading.source}")}
    columns = [column for column in kinds if column not in ("#line", "file_row_number", LINE, REASON)]
    cells = "".join(f"{_cell(column, kinds[column])} AS {name(column)}, " for column in columns)
    # Selected in the order of the file: sorting whole rows would take more memory than reading them.
    kept = f'{cells}j.line, j.reason FROM {reading.source} AS s JOIN rejected AS j ON s."#line" = j.line'
    empty = "".join("NULL, " for _ in columns)
    none = f'SELECT {empty}line, reason FROM rejected WHERE line NOT IN (SELECT "#line" FROM {reading.source})'
    lines = (_rows(db, query) for query in (f"SELECT {kept}", f"{none} ORDER BY line"))
    rows = heapq.merge(*lines, key=lambda row: row[-2])
    former = None if used or not path.exists() else path.rename(path.with_name(path.name + ".former"))
    # This file is UTF-8 with a byte order mark, whatever encoding the mapping names.
    written = _write(db, path, [*columns, LINE, REASON], rows, reading.file.delimiter, mark="\ufeff")
    if former is None:
        return written, ""
    if not written or filecmp.cmp(former, path, shallow=False):
        former.unlink()
        return written, ""
    moment = datetime.fromtimestamp(former.stat().st_mtime, tz=UTC)
    return written, str(former.rename(path.with_name(f"{path.stem}.{moment:%Y%m%d-%H%M%S-%f}.csv")))


def _add_siblings(db: StagingDatabase, reading: Reading) -> None:
    """Add valid rows that may belong with a row of `rejected` once that one is corrected.

    Numbers of rows, and which row is the last, depend on all rows of one key. Imported alone, a corrected row would
    replace a valid one. An invalid cell may become anything, so the rows must agree on the other cells.
    """
    if not db.one("SELECT count(*) FROM rejected"):
        return
    turns = _TURNS.get(reading.item.kind, ())
    for keys in (turns, _LAST.get(reading.item.kind, ())):
        fields = [field for field in keys if field in reading.fields]
        if fields and len(fields) == len(keys):
            _add_agreeing(db, reading, fields)
    if turns:
        lost = f"reason <> {literal(SIBLING)} AND line NOT IN ({_known_by(reading, turns)})"
        mark = literal("; " + IN_SOURCE)
        db.run(
            f"UPDATE rejected SET reason = reason || {mark} WHERE {lost} AND NOT contains(reason, {literal(IN_SOURCE)})"
        )


def _known_by(reading: Reading, turns: tuple[str, ...]) -> str:
    """Return the query of the rejected lines with enough readable cells to know which rows they belong with."""
    sure = [f"NOT ({_wrong(reading, field)})" for field in turns if field not in _COMMON]
    known = f"({' OR '.join(sure)})"
    if "key" in reading.fields:
        # A row with its own key belongs with rows of the same customer and key.
        known += f" AND NOT ({_wrong(reading, 'customer')} AND {_wrong(reading, 'key')})"
    rejected = f'{reading.rows} AS r WHERE r."#line" IN (SELECT line FROM rejected)'
    return f'SELECT "#line" FROM {rejected} AND {known}'


def _wrong(reading: Reading, field: str) -> str:
    """Return the condition, over rows called r, that a field's cell is invalid."""
    label = literal(reading.label(field))
    return f'EXISTS (FROM {reading.faults} AS f WHERE f.line = r."#line" AND f."column" = {label})'


def _add_agreeing(db: StagingDatabase, reading: Reading, fields: list[str]) -> None:
    """Add the valid rows that agree with a row of `rejected` on the fields with valid cells."""
    cells = ", ".join(f"r.{name(field)}" for field in fields)
    wrong = ", ".join(f"{_wrong(reading, field)} AS w{at}" for at, field in enumerate(fields))
    flags = ", ".join(f"w{at}" for at in range(len(fields)))
    db.run(
        f"CREATE OR REPLACE TABLE partial_keys AS SELECT {cells}, {wrong} FROM {reading.rows} AS r "
        f'WHERE r."#line" IN (SELECT line FROM rejected WHERE reason <> {literal(SIBLING)})'
    )
    for pattern in db.run(f"SELECT DISTINCT {flags} FROM partial_keys"):
        sure = [field for field, faulty in zip(fields, pattern, strict=True) if not faulty]
        if not set(sure) - _COMMON:
            continue
        same = ", ".join(map(name, sure))
        which = " AND ".join(f"w{at} = {faulty}" for at, faulty in enumerate(pattern))
        db.run(
            f"""INSERT INTO rejected SELECT "#line", {literal(SIBLING)} FROM {reading.rows}
            WHERE "#line" NOT IN (SELECT line FROM rejected)
            AND ({same}) IN (SELECT ({same}) FROM partial_keys WHERE {which})"""
        )


def reject_uncorrectable(db: StagingDatabase, reading: Reading) -> None:
    """Reject corrected rows whose reason says that they can only be corrected in the source file."""
    if REASON in reading.file.columns:
        lines = f'SELECT "#line" FROM {reading.source} WHERE contains({name(REASON)}, {literal(IN_SOURCE)})'
        db.run(f"INSERT INTO {reading.faults} SELECT *, NULL, NULL, {literal(IN_SOURCE)}, NULL FROM ({lines})")


def _cell(column: str, kind: str) -> str:
    return text_of(f"s.{name(column)}", kind) if kind in FLOATS else f"s.{name(column)}::{TEXT}"


def _rows(db: StagingDatabase, query: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query, a few at a time: each may be as long as a line of the file."""
    with db.session.cursor() as cursor:
        cursor.execute(query)
        while rows := cursor.fetchmany(BATCH):
            yield from rows


def _write(
    db: StagingDatabase,
    path: Path,
    header: list[str],
    rows: Iterable[tuple[Any, ...]],
    delimiter: str,
    mark: str = "",
) -> str:
    """Write rows to a CSV file, replacing an existing one; without rows, delete it. Return its name, or ''."""
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        path.unlink(missing_ok=True)
        return ""
    _make_folder(path.parent)
    temporary = db.folder / path.name
    safe_files.create_private(temporary)
    with temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(mark)
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(map(spreadsheet.harmless, header))
        writer.writerows(map(spreadsheet.harmless, row) for row in chain((first,), rows))
    os.replace(temporary, path)
    return str(path)


def _make_folder(folder: Path) -> None:
    """Create the folder of rejected rows, which contain personal data. Raises Unavailable if it is not a folder."""
    safe_files.make_private_folder(folder)
    if not folder.is_dir():
        raise Unavailable(
            f"Rejected rows cannot be written: '{folder}' is not a folder.", "Move it away, and import again."
        )
