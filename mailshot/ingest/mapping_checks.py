"""Checks a mapping against its data file before anything is written; problems point to the mapping's line."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from mailshot.documents import Document, Problems
from mailshot.ingest import date_parsers, iso_codes, number_parsers, parse_file
from mailshot.ingest.column_mapping import EXCEL, ColumnSource
from mailshot.ingest.data_files import Format, MissingColumn
from mailshot.ingest.duckdb_sql import INTEGERS, TEXT, literal, name, readable, text_of
from mailshot.ingest.fields import Type
from mailshot.ingest.parse_file import Reading
from mailshot.ingest.staging_database import StagingDatabase

_FORMAT_HELP = (
    "Use %d for the day, %m for the month, %Y for the year (%y for two digits), as in %d.%m.%Y; or 'excel' for "
    "Excel serial dates."
)


def check_columns(stage: StagingDatabase, reading: Reading, document: Document, problems: Problems) -> None:
    """Report missing columns, columns with nested values, and invalid constants and formats."""
    for field, source in reading.item.columns.items():
        place = document.at("imports", reading.number, "columns", field)
        for column in source.columns if reading.file.columns else ():
            if column not in reading.file.columns:
                missing = MissingColumn(reading.file.name, column, reading.file.columns)
                problems.add(place, missing.message, missing.remedy)
            elif not readable(reading.file.columns[column]):
                problems.add(place, f"column '{column}' contains {reading.file.columns[column]}, not single values")
        if source.constant is not None and (reason := _invalid_reason(stage, reading, field, source.constant)):
            problems.add(place, f"'{source.constant}' {reason}")
        for word, ours in source.values:
            if ours is not None and (reason := _invalid_reason(stage, reading, field, ours)):
                at = document.at("imports", reading.number, "columns", field, "values")
                problems.add(at, f"'{word}' is mapped to '{ours}', which {reason}")
        _check_formats(stage, reading, field, source, document, problems)


def _invalid_reason(stage: StagingDatabase, reading: Reading, field: str, text: str) -> str:
    """Return why a value in the mapping is invalid for its field, or ''."""
    return parse_file.faulty_constant(stage, reading, field, text) or (
        iso_codes.fault(reading, field, text) if text.strip() else ""
    )


def _check_formats(
    stage: StagingDatabase, reading: Reading, field: str, source: ColumnSource, document: Document, problems: Problems
) -> None:
    kind = reading.file.columns.get(source.columns[0], TEXT) if source.plain else TEXT
    place = document.at("imports", reading.number, "columns", field, "format")
    if source.formats and kind.startswith(("DATE", "TIMESTAMP")):
        problems.add(place, f"'{source.columns[0]}' already contains dates ({kind}), without a format", "Remove it.")
    elif source.formats and kind not in (TEXT, *INTEGERS) and not kind.startswith("ENUM"):
        problems.add(place, f"'{source.columns[0]}' contains {kind}, which cannot be read with 'format'", "Remove it.")
    for form in source.formats:
        if form != EXCEL and not _is_date_format(stage, form):
            problems.add(place, f"'{form}' is not a date format: it must contain day, month and year", _FORMAT_HELP)


def _is_date_format(stage: StagingDatabase, form: str) -> bool:
    try:
        return bool(stage.one(date_parsers.check_of(form)))
    except duckdb.Error:
        return False


@dataclass(frozen=True, slots=True)
class _Cell:
    line: int
    value: str
    column: str


def check_ambiguous_numbers(stage: StagingDatabase, reading: Reading, document: Document, problems: Problems) -> None:
    """Reject a column in which '1.234' would be read as 1.234 although the file seems to mean 1234."""
    for field, target in reading.fields.items():
        source = reading.item.columns[field]
        if target.type is not Type.number or not source.plain or source.own_numbers:
            continue
        doubtful = _first(stage, reading, source.columns[0], number_parsers.GROUP_OR_FRACTION)
        if doubtful is None or not (sign := _decimal_comma_evidence(stage, reading)):
            continue
        value, whole = doubtful.value, doubtful.value.replace(".", "")
        message = f"'{value}' in column '{doubtful.column}' (line {doubtful.line}) could mean {value} or {whole}"
        message += f": {sign}"
        column = f"column: {doubtful.column}"
        remedy = f"""Write {{{column}, decimal: ",", thousands: "."}} or {{{column}, decimal: "."}}."""
        problems.add(document.at("imports", reading.number, "columns", field), message, remedy)


def _decimal_comma_evidence(stage: StagingDatabase, reading: Reading) -> str:
    """Return evidence that the file uses decimal commas, or ''."""
    for field, source in reading.item.columns.items():
        if source.decimal_sign == "," and reading.fields[field].type is Type.number:
            return f"'{source.columns[0]}' has a decimal comma according to the mapping"
    types = _types(stage, reading)
    texts = [column for column, kind in types.items() if kind == TEXT]
    for column in texts:
        if comma := _first(stage, reading, column, number_parsers.DECIMAL_COMMA):
            return f"'{comma.value}' in column '{column}' (line {comma.line}) has a decimal comma"
    if reading.file.format is not Format.csv or reading.file.delimiter != ";":
        return ""
    plain = [source.columns[0] for source in reading.item.columns.values() if source.plain]
    fraction = any(_first(stage, reading, column, number_parsers.PLAIN_FRACTION) for column in plain if column in texts)
    return "" if fraction else "files delimited by semicolons usually have decimal commas"


def _types(stage: StagingDatabase, reading: Reading) -> dict[str, str]:
    rows = stage.run(f"DESCRIBE SELECT * FROM {reading.source}")
    return {row[0]: str(row[1]) for row in rows if row[0] not in ("#line", "file_row_number")}


def _first(stage: StagingDatabase, reading: Reading, column: str, pattern: str) -> _Cell | None:
    """Return the first cell of a text column that fully matches a pattern."""
    if _types(stage, reading).get(column) != TEXT:
        return None
    text = text_of(name(column), TEXT)
    rows = stage.run(
        f'SELECT "#line", {text} FROM {reading.source} WHERE regexp_full_match({text}, {literal(pattern)}) '
        'ORDER BY "#line" LIMIT 1'
    )
    return _Cell(int(rows[0][0]), str(rows[0][1]), column) if rows else None
