"""Parses one file into the staging database: every cell, with every bad row reported.

Import number n then has four tables:

- rows_n: #line, each field by name (NULL where the cell cannot be read), #lost (the fields whose cell could not be
  read; the row is imported without them; NULL: none), #notes and #gap.
- faults_n and warnings_n: line, column, value, reason, and `field` where a cell was lost. A row with a fault is
  rejected; all its problems are among the faults. Valid rows are those whose line has no fault.
- source_n: #line and the file's original columns, for the reject file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import duckdb

from mailshot import spreadsheet
from mailshot.errors import nearest
from mailshot.ingest import cell_parsers, lenient_reader
from mailshot.ingest.cell_parsers import NO_TOPIC, Parsed
from mailshot.ingest.column_mapping import ColumnSource
from mailshot.ingest.data_files import DataFile, Format, MissingColumn
from mailshot.ingest.duckdb_sql import TEXT, literal, name, text_of
from mailshot.ingest.fields import MAX_CHARACTERS, Field
from mailshot.ingest.mapping import FileMapping
from mailshot.ingest.staging_database import StagingDatabase, Writer, read_csv

NOTES = {"line": "BIGINT", "column": "VARCHAR", "value": "VARCHAR", "reason": "VARCHAR", "field": "VARCHAR"}
MAX_VALUE_CHARACTERS = 200
#: Unknown topics that get a suggestion. With more, the column does not contain topics.
MAX_TOPICS = 500


@dataclass(frozen=True, slots=True)
class Reading:
    """One import of a mapping with its file and fields."""

    number: int
    item: FileMapping
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
    def source(self) -> str:
        return f"source_{self.number}"

    @property
    def lines(self) -> str:
        """The table behind source_n, if the lenient reader filled one."""
        return f"lines_{self.number}"

    @property
    def columns(self) -> list[str]:
        """The file's columns that the mapping uses, each once."""
        used = (column for source in self.item.columns.values() for column in source.columns)
        return list(dict.fromkeys(used))

    def label(self, field: str) -> str:
        """Return the column that a field's value comes from."""
        return str(self.item.columns[field]) if field in self.item.columns else field


def cells(stage: StagingDatabase, reading: Reading, field: str) -> str:
    """Return a query of a field's cells as text: #line and cell."""
    types = {row[0]: str(row[1]) for row in stage.run(f"DESCRIBE SELECT * FROM {reading.source}")}
    source = reading.item.columns[field]
    kind = types[source.columns[0]] if source.plain else TEXT
    cell = text_of(f"({cell_parsers.raw_cell(source, types)})", TEXT if kind.startswith(("ENUM", "UUID")) else kind)
    return f'SELECT "#line", left({cell}, {MAX_VALUE_CHARACTERS}) AS cell FROM {reading.source}'


def stage_file(stage: StagingDatabase, reading: Reading) -> int:
    """Parse the file into the staging database and return its number of rows. Raises UnreadableFile."""
    for table in (reading.faults, reading.warnings):
        stage.replace(table, NOTES, [])
    if reading.file.format is Format.csv:
        _read_csv(stage, reading)
    elif reading.file.format is Format.jsonl:
        _read_cleaned(stage, reading)
    else:
        stage.run(f"CREATE OR REPLACE VIEW {reading.source} AS {_parquet(reading)}")
        _parse(stage, reading, reading.file.columns)
    broken = stage.one(f"SELECT count(*) FROM {reading.faults}")
    _note(stage, reading)
    skipped = literal(f"the clock in {reading.zone} skipped this time: taken as one hour later")
    stage.run(
        f'INSERT INTO {reading.warnings} SELECT "#line", NULL, NULL, {skipped}, NULL FROM {reading.rows} '
        f'WHERE "#gap" AND "#line" NOT IN (SELECT line FROM {reading.faults})'
    )
    return broken + stage.one(f"SELECT count(*) FROM {reading.rows}")


def _note(stage: StagingDatabase, reading: Reading) -> None:
    """Tell every cell that cannot be read: among the faults when it or another one costs the row."""
    if not stage.one(f'SELECT count(*) FROM {reading.rows} WHERE "#notes" IS NOT NULL'):
        return
    for table, rejected in ((reading.faults, "TRUE"), (reading.warnings, "FALSE")):
        stage.run(
            f'INSERT INTO {table} SELECT "#line", n.name, n.value, n.reason, n.lost FROM (SELECT "#line", '
            f'unnest("#notes") AS n, list_bool_or(list_transform("#notes", lambda x: x.lost IS NULL)) AS rejected '
            f'FROM {reading.rows} WHERE "#notes" IS NOT NULL) WHERE rejected = {rejected}'
        )
    _name_nearest(stage, reading)


def _name_nearest(stage: StagingDatabase, reading: Reading) -> None:
    """Add to the reason of an unknown topic the nearest known one."""
    unknown = f"FROM {reading.faults} WHERE reason = {literal(NO_TOPIC)}"
    if topic := reading.fields.get("topic"):
        topics = stage.run(f"SELECT DISTINCT value {unknown} ORDER BY 1 LIMIT {MAX_TOPICS}")
        for (word,) in topics:
            reason = literal(no_topic(str(word), topic.known))
            stage.run(
                f"UPDATE {reading.faults} SET reason = {reason} "
                f"WHERE reason = {literal(NO_TOPIC)} AND value IS NOT DISTINCT FROM {literal(str(word))}"
            )


def no_topic(word: str, topics: Collection[str]) -> str:
    """Return why a word is no topic, with the nearest ones there are."""
    known = nearest(word.strip(), topics).replace("'", "").rstrip(".?")
    return f"{NO_TOPIC} ({known}); correct it, or map it to a topic in the mapping (values:)"


def faulty_constant(stage: StagingDatabase, reading: Reading, field: str, constant: str) -> str:
    """Return why a value that the mapping gives is no value for its field, or ''."""
    parsed = cell_parsers.parse_field(
        reading.fields[field], ColumnSource(constant=constant), {}, reading.zone, "r", "v"
    )
    rows = f"SELECT r, {parsed.value} AS v FROM (SELECT {parsed.raw} AS r)"
    reason = str(stage.run(f"SELECT {parsed.fault} FROM ({rows})")[0][0] or "")
    return no_topic(constant, reading.fields[field].known) if reason == NO_TOPIC else reason


def _read_csv(stage: StagingDatabase, reading: Reading) -> None:
    """Take the fast way where the file is clean, else the careful one: its lines are then known for certain."""
    file, above = reading.file, reading.file.skipped + 1
    source = read_csv(file.path, file.columns, header=True, delimiter=file.delimiter, skipped=file.skipped)
    cells = ", ".join(_as_it_was(column) for column in file.columns) if file.protected else "*"
    numbered = f'SELECT row_number() OVER () + {above} AS "#line", {cells} FROM {source}'
    try:
        stage.run(f"CREATE OR REPLACE VIEW {reading.source} AS {numbered}")
        _parse(stage, reading, file.columns)
        rows = stage.one(f"SELECT count(*) FROM {source if reading.item.distinct else reading.rows}")
    except duckdb.Error:
        return _read_cleaned(stage, reading)
    if rows + above != file.lines:
        # Some row spans lines, or some line is blank: the lines of a reject file would be wrong.
        _read_cleaned(stage, reading)


def _read_cleaned(stage: StagingDatabase, reading: Reading) -> None:
    file, wanted, seen = reading.file, reading.columns, set(reading.file.columns)
    if file.format is Format.csv:
        names = list(file.columns)
        rows = lenient_reader.csv_rows(file.path, file.delimiter, len(names), file.skipped, file.protected)
    else:
        names = wanted
        rows = lenient_reader.json_rows(file.path, wanted, seen)
    types = {"#line": "BIGINT", **dict.fromkeys(names, "VARCHAR")}
    with stage.writer("broken") as broken:
        stage.replace(reading.lines, types, _whole(rows, broken))
    stage.run(f"CREATE OR REPLACE VIEW {reading.source} AS SELECT * FROM {reading.lines}")
    stage.load(reading.faults, NOTES, "broken")
    if file.format is Format.jsonl and stage.one(f"SELECT count(*) FROM {reading.source}"):
        for column in wanted:
            if column not in seen:
                raise MissingColumn(file.name, column, seen)
    _parse(stage, reading, dict.fromkeys(names, "VARCHAR"))


def _whole(rows: Iterable[lenient_reader.Row | lenient_reader.Broken], broken: Writer) -> Iterator[Sequence[object]]:
    for row in rows:
        if isinstance(row, lenient_reader.Row):
            yield (row.line, *row.cells)
        else:
            broken.writerow((row.line, "", row.value, row.reason, ""))


def _as_it_was(column: str) -> str:
    """Return the expression of a cell without the apostrophe that import put before it."""
    return f"regexp_replace({name(column)}, {literal(spreadsheet.PROTECTED)}, '\\1') AS {name(column)}"


def _parquet(reading: Reading) -> str:
    path = literal(str(reading.file.path))
    return f'SELECT file_row_number + 1 AS "#line", * FROM read_parquet({path}, file_row_number = true)'


def _parse(stage: StagingDatabase, reading: Reading, columns: dict[str, str]) -> None:
    """Fill rows_n from source_n: raw cells, then values, then what is wrong, each layer over the one below."""
    parsed = [
        cell_parsers.parse_field(field, reading.item.columns[key], columns, reading.zone, f"r{at}", f"v{at}")
        for at, (key, field) in enumerate(reading.fields.items())
    ]
    raw = ", ".join(f"{expressions.raw} AS r{at}" for at, expressions in enumerate(parsed))
    raws = f'SELECT "#line", {raw} FROM {reading.source}'
    if reading.item.distinct:
        cells = ", ".join(f"r{at}" for at in range(len(parsed)))
        raws = f'SELECT min("#line") AS "#line", {cells} FROM ({raws}) GROUP BY {cells}'
    read = ", ".join(f"{expressions.value} AS v{at}" for at, expressions in enumerate(parsed))
    faults = ", ".join(f"{expressions.fault} AS f{at}" for at, expressions in enumerate(parsed))
    named = ", ".join(f"{_value(field, at)} AS {name(key)}" for at, (key, field) in enumerate(reading.fields.items()))
    gaps = " OR ".join(expressions.gap for expressions in parsed if expressions.gap != "FALSE") or "FALSE"
    notes, lost = _notes(reading, parsed)
    stage.run(
        f"CREATE OR REPLACE TABLE {reading.rows} AS "
        f'SELECT "#line", {named}, {notes} AS "#notes", {lost} AS "#lost", {gaps} AS "#gap" '
        f"FROM (SELECT *, {faults} FROM (SELECT *, {read} FROM ({raws})))"
    )


def _value(field: Field, at: int) -> str:
    """Return the expression of a valid value: only a text can have a value and a fault."""
    return f"CASE WHEN f{at} IS NULL THEN v{at} END" if field.losable and field.type in MAX_CHARACTERS else f"v{at}"


def _notes(reading: Reading, parsed: list[Parsed]) -> tuple[str, str]:
    """Return the expressions of a row's problems, and of its dropped fields; NULL: none."""
    notes, lost = [], []
    for at, (key, field) in enumerate(reading.fields.items()):
        losable = literal(key) if field.losable else "NULL::VARCHAR"
        notes.append(
            f"{{'name': {literal(reading.label(key))}, 'value': left(r{at}::VARCHAR, {MAX_VALUE_CHARACTERS}), "
            f"'reason': f{at}, 'lost': {losable}}}"
        )
        if field.losable:
            lost.append((f"f{at} IS NOT NULL", f"CASE WHEN f{at} IS NOT NULL THEN {literal(key)} END"))
    wrong = " OR ".join(f"f{at} IS NOT NULL" for at in range(len(parsed)))
    all_notes = f"CASE WHEN {wrong} THEN list_filter([{', '.join(notes)}], lambda x: x.reason IS NOT NULL) END"
    if not lost:
        return all_notes, "NULL::VARCHAR[]"
    names = ", ".join(field_name for _, field_name in lost)
    some = " OR ".join(condition for condition, _ in lost)
    return all_notes, f"CASE WHEN {some} THEN list_filter([{names}], lambda x: x IS NOT NULL) END"
