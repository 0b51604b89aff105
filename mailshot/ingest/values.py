"""Owns how a cell becomes a value, as DuckDB expressions over many rows; refuses to run them.

Values come out as the store keeps them: an exact number as ten-thousandths, a time as microseconds since 1970 UTC, a
yes or no as a boolean, all else as text. A cell that cannot be read gives no value and a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from mailshot.ingest.fields import MOST, Field, Type
from mailshot.ingest.mapping import Source

SCALE = 10_000
YES = ("yes", "y", "true", "t", "1", "on", "given")
NO = ("no", "n", "false", "f", "0", "off", "withdrawn")
_EARLIEST, _LATEST = "1900-01-01", "2200-01-01"
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_FLOATS = ("FLOAT", "DOUBLE")
_ZONED = "TIMESTAMP WITH TIME ZONE"
_NUMBER = r"[+-]?(\d{1,14}(\.\d{0,4}0*)?|\.\d{1,4}0*)"
_ANY_NUMBER = r"[+-]?(\d+(\.\d*)?|\.\d+)"
_OFFSET = r".*\d{1,2}:\d{2}.*(Z|z|[+-]\d{2}(:?\d{2})?)"


@dataclass(frozen=True, slots=True)
class Parsed:
    """Expressions over the columns r (raw) and v (value) of one field: `raw`, then `value`, then `fault`, and `gap`.

    `fault` gives a reason or NULL. `gap` tells whether a local time was skipped by its clock going forward.
    """

    raw: str
    value: str
    fault: str
    gap: str = "FALSE"


def readable(kind: str) -> bool:
    """Whether a column of this DuckDB type holds single values."""
    texts = kind in ("VARCHAR", "UUID", "BOOLEAN", "DATE", _ZONED) or kind.startswith("ENUM")
    return texts or kind in (*_INTEGERS, *_FLOATS) or kind.startswith(("DECIMAL", "TIMESTAMP"))


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def parse(field: Field, source: Source, columns: dict[str, str], zone: str, raw: str, value: str) -> Parsed:
    """Return the expressions for one field; `raw` and `value` are what r and v are called in them."""
    kind = columns[source.columns[0]] if source.plain else "VARCHAR"
    if kind in ("UUID",) or kind.startswith("ENUM"):
        kind = "VARCHAR"
    read, fault, gap = _reader(field, kind, source.format, zone, raw)
    missing = "'is missing'" if field.required else "NULL"
    # Only texts can be blank, too long or hold a NUL.
    seen, limits = (_text(raw, kind), _limits(field, value)) if kind == "VARCHAR" else (raw, "")
    told = f"WHEN {seen} IS NULL THEN {missing} WHEN {value} IS NULL THEN {fault}{limits}"
    return Parsed(_raw(source, columns), read, f"CASE {told} END", gap)


def _raw(source: Source, columns: dict[str, str]) -> str:
    if source.constant is not None:
        return literal(source.constant)
    if source.plain:
        column = source.columns[0]
        return f"{name(column)}::VARCHAR" if columns[column].startswith(("ENUM", "UUID")) else name(column)
    texts = [literal(part) for part in source.parts]
    for position, column in enumerate(source.columns):
        texts[2 * position + 1] = _text(name(column), columns[column])
    return " || ".join(part for part in texts if part != "''")


def _text(raw: str, kind: str) -> str:
    """Show a value as text; a whole number that came as a float keeps no '.0', or keys would not meet again."""
    if kind in _FLOATS:
        return (
            f"CASE WHEN {raw} = trunc({raw}) AND abs({raw}) < 1e15 THEN {raw}::BIGINT::VARCHAR ELSE {raw}::VARCHAR END"
        )
    return f"nullif(trim({raw}, E' \\t\\r\\n'), '')" if kind == "VARCHAR" else f"{raw}::VARCHAR"


def _reader(field: Field, kind: str, form: str | None, zone: str, raw: str) -> tuple[str, str, str]:
    """Return the expressions of the value, of the reason when there is none, and of the gap."""
    text = _text(raw, kind)
    if field.type is Type.number:
        return _number(kind, raw, text), _number_fault(kind, raw, text), "FALSE"
    if field.type is Type.boolean:
        yes, no = (", ".join(map(literal, words)) for words in (YES, NO))
        value = f"CASE WHEN lower({text}) IN ({yes}) THEN TRUE WHEN lower({text}) IN ({no}) THEN FALSE END"
        return value, "'is neither yes nor no'", "FALSE"
    if field.type is Type.instant:
        value, gap = _instant(kind, form, zone, raw, text)
        return value, f"'is not a time between {_EARLIEST[:4]} and {_LATEST[:4]}, as in 2026-03-31 18:05'", gap
    if field.type is Type.date:
        day = f"strftime({_naive(kind, form, raw, text)}, '%Y-%m-%d')"
        # DuckDB also reads '12026-04-07', 'infinity' and years before our era, which no rule compares rightly.
        value = f"CASE WHEN regexp_full_match({day}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') THEN {day} END"
        return value, "'is not a date, as in 2026-03-31'", "FALSE"
    return text, "'is missing'", "FALSE"


def _limits(field: Field, value: str) -> str:
    most = MOST.get(field.type)
    if most is None:
        return ""
    if field.choices is not None:
        known = ", ".join(map(literal, ("", *field.choices)))
        reason = literal(f"is none of: {', '.join(field.choices[:8]) or 'nothing is declared in rules/facts.yaml'}")
        return f" WHEN {value} NOT IN ({known}) THEN {reason}"
    return (
        f" WHEN length({value}) > {most} THEN 'is longer than {most} characters'"
        f" WHEN contains({value}, chr(0)) THEN 'has a NUL in it'"
    )


def _number(kind: str, raw: str, text: str) -> str:
    if kind in _FLOATS:
        # Binary fractions: the nearest ten-thousandth is what was meant.
        return f"CASE WHEN isfinite({raw}) AND abs({raw}) < 1e14 THEN round({raw}::DOUBLE * {SCALE})::BIGINT END"
    if kind in _INTEGERS:
        return f"CASE WHEN {raw} BETWEEN -99999999999999 AND 99999999999999 THEN {raw}::BIGINT * {SCALE} END"
    if kind.startswith("DECIMAL"):
        fits = f"{raw} = round({raw}, 4) AND abs({raw}) < 100000000000000"
        return f"CASE WHEN {fits} THEN (TRY_CAST({raw} AS DECIMAL(18, 4))::DECIMAL(24, 4) * {SCALE})::BIGINT END"
    return (
        f"CASE WHEN regexp_full_match({text}, {literal(_NUMBER)}) "
        f"THEN (TRY_CAST({text} AS DECIMAL(18, 4))::DECIMAL(24, 4) * {SCALE})::BIGINT END"
    )


def _number_fault(kind: str, raw: str, text: str) -> str:
    if kind in _FLOATS:
        return f"CASE WHEN isfinite({raw}) THEN 'is too large' ELSE 'is not a finite number' END"
    if kind in _INTEGERS:
        return "'is too large'"
    places = f"{raw} <> round({raw}, 4)" if kind.startswith("DECIMAL") else f"regexp_full_match({text}, {_places()})"
    number = "TRUE" if kind.startswith("DECIMAL") else f"regexp_full_match({text}, {literal(_ANY_NUMBER)})"
    return (
        f"CASE WHEN {places} THEN 'has more than 4 decimal places' WHEN {number} THEN 'is too large' "
        "ELSE 'is not a number, as in 1234.56' END"
    )


def _places() -> str:
    return literal(r"[+-]?\d*\.\d{4}\d*[1-9]0*")


def _naive(kind: str, form: str | None, raw: str, text: str) -> str:
    """Return the expression of a time without zone."""
    if kind.startswith(("TIMESTAMP", "DATE")):
        return f"{raw}::TIMESTAMP"
    if kind != "VARCHAR":
        return "NULL::TIMESTAMP"
    return f"try_strptime({text}, {literal(form)})" if form else f"TRY_CAST({text} AS TIMESTAMP)"


def _instant(kind: str, form: str | None, zone: str, raw: str, text: str) -> tuple[str, str]:
    if kind == _ZONED or (form and "%z" in form):
        moment = raw if kind == _ZONED else f"try_strptime({text}, {literal(form or '')})"
        return _within(f"{moment}::TIMESTAMPTZ"), "FALSE"
    naive = _naive(kind, form, raw, text)
    local = f"{naive} AT TIME ZONE {literal(zone)}"
    gap, days = "FALSE", ", ".join(f"DATE {literal(day)}" for day in _days_of_change(zone))
    if days:
        # Only on these days can a time be skipped; looking nowhere else saves converting every time there and back.
        there_and_back = f"({local}) AT TIME ZONE {literal(zone)} <> {naive}"
        gap = f"CASE WHEN {naive}::DATE IN ({days}) THEN {there_and_back} ELSE FALSE END"
    if kind != "VARCHAR" or form:
        return _within(local), gap
    zoned = f"regexp_full_match({text}, {literal(_OFFSET)})"
    moment = f"CASE WHEN {zoned} THEN TRY_CAST({text} AS TIMESTAMPTZ) ELSE {local} END"
    return _within(moment), f"CASE WHEN {zoned} THEN FALSE ELSE {gap} END"


@cache
def _days_of_change(zone: str) -> tuple[str, ...]:
    """Return the days, 1970 to 2039, on which or around which the zone's clock went forward."""
    found: set[date] = set()
    clock, noon = ZoneInfo(zone), datetime(1970, 1, 1, 12)
    before = noon.replace(tzinfo=clock).utcoffset()
    while noon.year < 2040:
        noon += timedelta(days=1)
        now = noon.replace(tzinfo=clock).utcoffset()
        if before is not None and now is not None and now > before:
            found |= {noon.date() - timedelta(days=1), noon.date()}
        before = now
    return tuple(sorted(day.isoformat() for day in found))


def _within(moment: str) -> str:
    bounds = f"TIMESTAMPTZ '{_EARLIEST} 00:00:00+00' AND TIMESTAMPTZ '{_LATEST} 00:00:00+00'"
    return f"CASE WHEN ({moment}) BETWEEN {bounds} THEN epoch_us({moment}) END"
