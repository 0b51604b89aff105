"""Owns the way of one file onto the workbench: every cell parsed, every bad row told; refuses to look into the store.

Import number n then has three tables: rows_n (#line, each field by name, #fault, #gap), faults_n and warnings_n (line,
column, value, reason). Good rows are those whose line is in no fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import duckdb

from mailshot.ingest import cleaned, values
from mailshot.ingest.fields import Field
from mailshot.ingest.files import DataFile, Format, MissingColumn
from mailshot.ingest.mapping import Import
from mailshot.ingest.stage import Stage, Writer, read_csv
from mailshot.ingest.values import Parsed, literal, name

NOTES = {"line": "BIGINT", "column": "VARCHAR", "value": "VARCHAR", "reason": "VARCHAR"}


@dataclass(frozen=True, slots=True)
class Reading:
    """One import of a mapping with its file and fields."""

    number: int
    item: Import
    file: DataFile
    fields: dict[str, Field]
    zone: str

    @property
    def rows(self) -> str:
        return f"rows_{self.number}"

    @property
    def faults(self) -> str:
        return f"faults_{self.number}"

    @property
    def warnings(self) -> str:
        return f"warnings_{self.number}"

    @property
    def columns(self) -> list[str]:
        """The file's columns that the mapping uses, each once."""
        used = (column for source in self.item.columns.values() for column in source.columns)
        return list(dict.fromkeys(used))

    def label(self, field: str) -> str:
        """Say where a field's value stands in the file."""
        return str(self.item.columns[field]) if field in self.item.columns else field


def read(stage: Stage, reading: Reading) -> int:
    """Put the file's rows, faults and warnings on the workbench; return how many rows it has. Raises Unreadable."""
    for table in (reading.faults, reading.warnings):
        stage.replace(table, NOTES, [])
    if reading.file.format is Format.csv:
        _read_csv(stage, reading)
    elif reading.file.format is Format.jsonl:
        _read_cleaned(stage, reading)
    else:
        _parse(stage, reading, _parquet(reading), reading.file.columns)
    broken = stage.one(f"SELECT count(*) FROM {reading.faults}")
    stage.run(
        f'INSERT INTO {reading.faults} SELECT "#line", "#fault".name, "#fault".value, "#fault".reason '
        f'FROM {reading.rows} WHERE "#fault" IS NOT NULL'
    )
    skipped = literal(f"the clock in {reading.zone} skipped this time: taken as one hour later")
    stage.run(
        f'INSERT INTO {reading.warnings} SELECT "#line", NULL, NULL, {skipped} FROM {reading.rows} '
        'WHERE "#gap" AND "#fault" IS NULL'
    )
    return broken + stage.one(f"SELECT count(*) FROM {reading.rows}")


def faulty_constant(stage: Stage, reading: Reading, field: str) -> str:
    """Return why a constant of the mapping is no value for its field, or ''."""
    source = reading.item.columns[field]
    parsed = values.parse(reading.fields[field], source, {}, reading.zone, "r", "v")
    rows = f"SELECT r, {parsed.value} AS v FROM (SELECT {parsed.raw} AS r)"
    return str(stage.run(f"SELECT {parsed.fault} FROM ({rows})")[0][0] or "")


def _read_csv(stage: Stage, reading: Reading) -> None:
    """Take the fast way where the file is clean, else the careful one: its lines are then known for certain."""
    file = reading.file
    source = read_csv(file.path, file.columns, header=True, delimiter=file.delimiter)
    try:
        _parse(stage, reading, f'SELECT row_number() OVER () + 1 AS "#line", * FROM {source}', file.columns)
    except duckdb.Error:
        return _read_cleaned(stage, reading)
    rows = stage.one(f"SELECT count(*) FROM {source if reading.item.distinct else reading.rows}")
    if rows + 1 != file.lines:
        # Some row spans lines, or some line is blank: the lines of a reject file would be wrong.
        _read_cleaned(stage, reading)


def _read_cleaned(stage: Stage, reading: Reading) -> None:
    file, wanted, seen = reading.file, reading.columns, set(reading.file.columns)
    if file.format is Format.csv:
        names = list(file.columns)
        found = cleaned.csv_rows(file.path, file.delimiter, len(names))
    else:
        names = wanted
        found = cleaned.json_rows(file.path, wanted, seen)
    types = {"#line": "BIGINT", **dict.fromkeys(names, "VARCHAR")}
    table = f"cleaned_{reading.number}"
    with stage.writer("broken") as broken:
        stage.replace(table, types, _whole(found, broken))
    stage.load(reading.faults, NOTES, "broken")
    if file.format is Format.jsonl and stage.one(f"SELECT count(*) FROM {table}"):
        for column in wanted:
            if column not in seen:
                raise MissingColumn(file.path.name, column, seen)
    _parse(stage, reading, f"SELECT * FROM {table}", dict.fromkeys(names, "VARCHAR"))
    stage.run(f"DROP TABLE {table}")


def _whole(found: Iterable[cleaned.Row | cleaned.Broken], broken: Writer) -> Iterator[Sequence[object]]:
    for row in found:
        if isinstance(row, cleaned.Row):
            yield (row.line, *row.cells)
        else:
            broken.writerow((row.line, "", row.value, row.reason))


def _parquet(reading: Reading) -> str:
    path = literal(str(reading.file.path))
    return f'SELECT file_row_number + 1 AS "#line", * FROM read_parquet({path}, file_row_number = true)'


def _parse(stage: Stage, reading: Reading, source: str, columns: dict[str, str]) -> None:
    """Fill rows_n: raw cells, then values, then the first fault of each row, each layer over the one below."""
    parsed = [
        values.parse(field, reading.item.columns[key], columns, reading.zone, f"r{at}", f"v{at}")
        for at, (key, field) in enumerate(reading.fields.items())
    ]
    raw = ", ".join(f"{each.raw} AS r{at}" for at, each in enumerate(parsed))
    raws = f'SELECT "#line", {raw} FROM ({source})'
    if reading.item.distinct:
        cells = ", ".join(f"r{at}" for at in range(len(parsed)))
        raws = f'SELECT min("#line") AS "#line", {cells} FROM ({raws}) GROUP BY {cells}'
    read = ", ".join(f"{each.value} AS v{at}" for at, each in enumerate(parsed))
    named = ", ".join(f"v{at} AS {name(key)}" for at, key in enumerate(reading.fields))
    gaps = " OR ".join(each.gap for each in parsed if each.gap != "FALSE") or "FALSE"
    stage.run(
        f"CREATE OR REPLACE TABLE {reading.rows} AS "
        f'SELECT "#line", {named}, {_fault(reading, parsed)} AS "#fault", {gaps} AS "#gap" '
        f"FROM (SELECT *, {read} FROM ({raws}))"
    )


def _fault(reading: Reading, parsed: list[Parsed]) -> str:
    cases = []
    for at, (key, each) in enumerate(zip(reading.fields, parsed, strict=True)):
        label = literal(reading.label(key))
        fault = f"{{'name': {label}, 'value': left(r{at}::VARCHAR, 200), 'reason': {each.fault}}}"
        cases.append(f"WHEN ({each.fault}) IS NOT NULL THEN {fault}")
    return f"CASE {' '.join(cases)} END"
