"""How a cell becomes a moment or a day, as DuckDB expressions, and whether a format of the mapping means any.

Moments come out as microseconds since 1970 UTC, days as text ('2026-03-31').
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from mailshot.ingest.column_mapping import EXCEL, ColumnSource
from mailshot.ingest.duckdb_sql import TEXT, ZONED, literal

EARLIEST, LATEST = "1900-01-01", "2200-01-01"
_OFFSET = r".*\d{1,2}:\d{2}.*(Z|z|[+-]\d{2}(:?\d{2})?)"
#: A year has four digits: DuckDB also reads '1.1.80' by %Y, as the year 80, '12026-04-07' and 'infinity'.
_DAY = "[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
_ISO = r"\d{4}\D\d{1,2}\D\d{1,2}(\D.*)?"
#: Serial days of Excel: 61 is 1 March 1900 (before it, Excel counts a day that never was), the last is in 9999.
_FIRST_SERIAL, _LAST_SERIAL = 61, 2_958_465
_SERIAL = r"\d{1,7}(\.\d{1,15})?"
#: Two placeholders side by side: '1980112' is the 11th of February or the 1st of December.
_ADJACENT = re.compile(r"%-?[A-Za-z]%")
_EXAMPLE = datetime(2026, 3, 31, 18, 5)
_SAMPLES = ("2026-11-24 15:45:30.25", "1987-03-05 00:00:00")


@dataclass(frozen=True, slots=True)
class Moment:
    """Expressions of one cell: the value, the reason when there is none, and whether its clock skipped it."""

    value: str
    fault: str
    gap: str = "FALSE"


def check_of(form: str) -> str:
    """Return the query that is true when a format names a whole day: what it writes, it reads back the same.

    It raises duckdb.Error for a placeholder that DuckDB does not know.
    """
    rows = ", ".join(f"(TIMESTAMP {literal(sample)})" for sample in _SAMPLES)
    back = f"strptime(strftime(t, {literal(form)}), {literal(form)})::TIMESTAMP"
    cut = ", ".join(f"date_trunc('{part}', t)::TIMESTAMP" for part in ("second", "minute", "hour", "day"))
    return f"SELECT bool_and(coalesce({back} IN (t, {cut}), FALSE)) FROM (VALUES {rows}) AS samples(t)"


def instant(kind: str, source: ColumnSource, zone: str, raw: str, text: str) -> Moment:
    """Return the expressions of a moment; local times are those of `zone`."""
    ways = [_local(naive, zone, kind) for naive in _naive(kind, source, raw, text)]
    if kind == ZONED:
        ways = [(f"{raw}::TIMESTAMPTZ", "FALSE")]
    elif kind == TEXT and not source.formats:
        zoned = f"regexp_full_match({text}, {literal(_OFFSET)})"
        (local, gap), moment = ways[0], f"TRY_CAST({text} AS TIMESTAMPTZ)"
        ways = [(f"CASE WHEN {zoned} THEN {moment} ELSE {local} END", f"CASE WHEN {zoned} THEN FALSE ELSE {gap} END")]
    elif kind == TEXT:
        ways = [
            (f"{_parsed(text, form)}::TIMESTAMPTZ", "FALSE") if "%z" in form else way
            for form, way in zip(source.formats, ways, strict=True)
        ]
    bounded = [_within(moment) for moment, _ in ways]
    gaps = "".join(f" WHEN {value} IS NOT NULL THEN {gap}" for value, (_, gap) in zip(bounded, ways, strict=True))
    anything = _either([moment for moment, _ in ways])
    outside = f"'lies before {EARLIEST[:4]} or after {int(LATEST[:4]) - 1}'"
    fault = f"CASE WHEN ({anything}) IS NOT NULL THEN {outside} ELSE {_unreadable(source, kind, text, 'time')} END"
    gap = f"CASE{gaps} ELSE FALSE END" if any(gap != "FALSE" for _, gap in ways) else "FALSE"
    return Moment(_either(bounded), fault, gap)


def day(kind: str, source: ColumnSource, raw: str, text: str, of_person: bool = False) -> Moment:
    """Return the expressions of a date; `of_person`: limited to 1900-2199, otherwise any four-digit year."""
    ways = _naive(kind, source, raw, text)
    first, last = (int(EARLIEST[:4]), int(LATEST[:4]) - 1) if of_person else (1000, 9999)
    days = [f"strftime({naive}, '%Y-%m-%d')" for naive in ways]
    inside = f"BETWEEN '{first}-01-01' AND '{last}-12-31'"
    value = [f"CASE WHEN regexp_full_match({day}, '{_DAY}') AND {day} {inside} THEN {day} END" for day in days]
    outside = f"isfinite({_either(ways)}) THEN 'lies before {first} or after {last}'"
    return Moment(_either(value), f"CASE WHEN {outside} ELSE {_unreadable(source, kind, text, 'date')} END")


def _naive(kind: str, source: ColumnSource, raw: str, text: str) -> list[str]:
    """Return the expressions of a time without zone, one for each way it may be written."""
    if kind.startswith(("TIMESTAMP", "DATE")):
        return [f"{raw}::TIMESTAMP"]
    if kind != TEXT:
        return ["NULL::TIMESTAMP"]
    if not source.formats:
        return [f"TRY_CAST({text} AS TIMESTAMP)"]
    return [_excel(text) if form == EXCEL else f"{_parsed(text, form)}::TIMESTAMP" for form in source.formats]


def _parsed(text: str, form: str) -> str:
    parsed = f"try_strptime({text}, {literal(form)})"
    exact = f" AND strftime({parsed}, {literal(form)}) = {text}" if _ADJACENT.search(form) and "%z" not in form else ""
    # A year below 1000 comes of two digits: it is left to a format with %y.
    return f"CASE WHEN year({parsed}) BETWEEN 1000 AND 9999{exact} THEN {parsed} END"


def _excel(text: str) -> str:
    days = f"TRY_CAST({text} AS DOUBLE)"
    fits = f"regexp_full_match({text}, '{_SERIAL}') AND {days} BETWEEN {_FIRST_SERIAL} AND {_LAST_SERIAL}"
    return f"CASE WHEN {fits} THEN TIMESTAMP '1899-12-30' + to_seconds(round({days} * 86400)) END"


def _local(naive: str, zone: str, kind: str) -> tuple[str, str]:
    """Return a local time as a moment, and whether its clock skipped it."""
    local = f"({naive}) AT TIME ZONE {literal(zone)}"
    days = ", ".join(f"DATE {literal(day)}" for day in _days_of_change(zone))
    if not days or kind == ZONED:
        return local, "FALSE"
    # Only on these days can a time be skipped; looking nowhere else saves converting every time there and back.
    there_and_back = f"({local}) AT TIME ZONE {literal(zone)} <> ({naive})"
    return local, f"CASE WHEN ({naive})::DATE IN ({days}) THEN {there_and_back} ELSE FALSE END"


@cache
def _days_of_change(zone: str) -> tuple[str, ...]:
    """Return the days, 1970 to 2039, on which or around which the zone's clock went forward."""
    days: set[date] = set()
    clock, noon = ZoneInfo(zone), datetime(1970, 1, 1, 12)
    before = noon.replace(tzinfo=clock).utcoffset()
    while noon.year < 2040:
        noon += timedelta(days=1)
        now = noon.replace(tzinfo=clock).utcoffset()
        if before is not None and now is not None and now > before:
            days |= {noon.date() - timedelta(days=1), noon.date()}
        before = now
    return tuple(sorted(day.isoformat() for day in days))


def _within(moment: str) -> str:
    bounds = f"TIMESTAMPTZ '{EARLIEST} 00:00:00+00' AND TIMESTAMPTZ '{LATEST} 00:00:00+00'"
    return f"CASE WHEN ({moment}) BETWEEN {bounds} THEN epoch_us({moment}) END"


def _either(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"


def _unreadable(source: ColumnSource, kind: str, text: str, what: str) -> str:
    """Return the expression of the reason: the shape was right and the day does not exist, or the shape is another."""
    if kind != TEXT:
        return f"'is not a {what}'"
    if not source.formats:
        example = "2026-03-31" if what == "date" else "2026-03-31 18:05"
        shapes, no_such = [_ISO], f"is no {what} that exists"
        other = f"is not a {what} as in {example}; the mapping can name how it is written (format:)"
    else:
        formats = [form for form in source.formats if form != EXCEL]
        shapes, tried = [_shape(form) for form in formats], ", ".join(source.formats)
        no_such = f"is no {what} that exists (formats tried: {tried})"
        examples = " or ".join([_example(form) for form in formats] + ["46112"] * (EXCEL in source.formats))
        other = f"is not a {what} as in {examples} (formats tried: {tried})"
    if not shapes:
        return literal(other)
    shaped = " OR ".join(f"regexp_full_match({text}, {literal(shape)})" for shape in shapes)
    return f"CASE WHEN {shaped} THEN {literal(no_such)} ELSE {literal(other)} END"


def _example(form: str) -> str:
    try:
        return _EXAMPLE.strftime(form)
    except ValueError:
        return form


def _shape(form: str) -> str:
    """Return the pattern of texts that look as if they were written by the format."""
    pieces = re.split(r"(\d+)", _example(form))
    return "".join(_digits(piece) if piece.isdigit() else re.escape(piece) for piece in pieces)


def _digits(piece: str) -> str:
    return r"\d{4}" if len(piece) == 4 else r"\d{1,2}" if len(piece) <= 2 else rf"\d{{{len(piece)}}}"
