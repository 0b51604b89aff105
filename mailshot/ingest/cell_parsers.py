"""Parses cells into values, as DuckDB expressions over many rows.

Values come out as the store keeps them: an exact number as ten-thousandths, a time as microseconds since 1970 UTC,
yes and no as a boolean, everything else as text. An unreadable cell gives NULL and a reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailshot.ingest import date_parsers, number_parsers
from mailshot.ingest.column_mapping import BLANKS, ColumnSource
from mailshot.ingest.duckdb_sql import INTEGERS, TEXT, literal, literals, name, text_of
from mailshot.ingest.fields import MAX_CHARACTERS, Field, Type

#: The reason of a topic that rules/topics.yaml does not have; `reading` adds the nearest one.
NO_TOPIC = "is no topic in rules/topics.yaml"
NO_BOOLEAN = "is neither yes nor no; the mapping can name its words (yes:, no:)"


@dataclass(frozen=True, slots=True)
class Parsed:
    """Expressions over the columns r (raw) and v (value) of one field: `raw`, then `value`, then `fault`, and `gap`.

    `fault` gives a reason or NULL. `gap` tells whether a local time was skipped by its clock going forward.
    """

    raw: str
    value: str
    fault: str
    gap: str = "FALSE"


def parse_field(field: Field, source: ColumnSource, columns: dict[str, str], zone: str, raw: str, value: str) -> Parsed:
    """Return the expressions for one field; `raw` and `value` are what r and v are called in them."""
    kind = columns[source.columns[0]] if source.plain else TEXT
    if kind in ("UUID",) or kind.startswith("ENUM"):
        kind = TEXT
    text = text_of(raw, kind)
    if source.values or (source.formats and kind in INTEGERS):
        # The cell is read as text, whatever its column's type.
        text, kind = _replaced(text, source), TEXT
    read, fault, gap = _reader(field, kind, source, zone, raw, text)
    missing = "'is missing'" if field.required else "NULL"
    # Only texts can be blank, too long or hold a NUL.
    seen, limits = (text, _limits(field, value)) if kind == TEXT else (raw, "")
    reason = f"WHEN {seen} IS NULL THEN {missing} WHEN {value} IS NULL THEN {fault}{limits}"
    return Parsed(raw_cell(source, columns), read, f"CASE {reason} END", gap)


def raw_cell(source: ColumnSource, columns: dict[str, str]) -> str:
    """Return the expression of a field's cell, in the column's own type."""
    if source.constant is not None:
        return literal(source.constant)
    if source.plain:
        column = source.columns[0]
        return f"{name(column)}::VARCHAR" if columns[column].startswith(("ENUM", "UUID")) else name(column)
    texts = [literal(part) for part in source.parts]
    for position, column in enumerate(source.columns):
        texts[2 * position + 1] = text_of(name(column), columns[column])
    return " || ".join(part for part in texts if part != "''")


def _folded(text: str) -> str:
    """Return the expression of a text as sources.fold compares it."""
    return f"lower(trim({text}, {literal(BLANKS)}))"


def _replaced(text: str, source: ColumnSource) -> str:
    """Return the expression of a text with the words that the mapping names replaced by those they stand for."""
    if not source.values:
        return text
    cases = " ".join(
        f"WHEN {literal(word)} THEN {'NULL' if ours is None else literal(ours)}" for word, ours in source.values
    )
    return f"CASE {_folded(text)} {cases} ELSE {text} END"


def _reader(field: Field, kind: str, source: ColumnSource, zone: str, raw: str, text: str) -> tuple[str, str, str]:
    """Return the expressions of the value, of the reason when there is none, and of the gap."""
    if field.type is Type.number:
        return *number_parsers.parse_number(kind, raw, text, source), "FALSE"
    if field.type is Type.boolean:
        return (
            _boolean(field, source, text),
            literal(NO_BOOLEAN),
            "FALSE",
        )
    if field.type is Type.instant:
        moment = date_parsers.instant(kind, source, zone, raw, text)
        return moment.value, moment.fault, moment.gap
    if field.type is Type.date:
        moment = date_parsers.day(kind, source, raw, text, field.of_person)
        return moment.value, moment.fault, moment.gap
    if field.known:
        cases = " ".join(f"WHEN {literal(word.lower())} THEN {literal(word)}" for word in field.known)
        return f"CASE {_folded(text)} {cases} ELSE {text} END", "'is missing'", "FALSE"
    return text, "'is missing'", "FALSE"


def _boolean(field: Field, source: ColumnSource, text: str) -> str:
    """Return the expression of a yes or no; the mapping's own words come first."""
    word, own = _folded(text), (*source.yes, *source.no)
    yes = (*source.yes, *(spelling for spelling in field.yes if spelling not in own))
    no = (*source.no, *(spelling for spelling in field.no if spelling not in own))
    return f"CASE WHEN {word} IN ({literals(yes)}) THEN TRUE WHEN {word} IN ({literals(no)}) THEN FALSE END"


def _limits(field: Field, value: str) -> str:
    most = MAX_CHARACTERS.get(field.type)
    if most is None:
        return ""
    if field.choices is not None:
        reason = f"is none of: {', '.join(field.choices[:8]) or 'nothing is declared in rules/facts.yaml'}"
        reason = NO_TOPIC if field.known else reason
        return f" WHEN {value} NOT IN ({literals(('', *field.choices))}) THEN {literal(reason)}"
    return (
        f" WHEN length({value}) > {most} THEN 'is longer than {most} characters'"
        f" WHEN contains({value}, chr(0)) THEN 'has a NUL in it'"
    )
