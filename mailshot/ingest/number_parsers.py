"""How a cell becomes an exact number, as DuckDB expressions, and which columns could mean two numbers by one text.

Numbers come out as ten-thousandths (store.columns.Exact). `1.234` is 1.234 in one country and 1234 in the next: unless
the mapping says which (`decimal:`), a file that shows signs of the decimal comma is refused, never guessed at.
"""

from __future__ import annotations

import re

from mailshot.ingest.column_mapping import ColumnSource
from mailshot.ingest.duckdb_sql import FLOATS, INTEGERS, TEXT, literal

SCALE = 10_000
#: Blank thousands separators (space, no-break and narrow no-break space), and the Swiss apostrophes.
THOUSANDS = {" ": r"[ \x{00A0}\x{202F}\x{2009}]", "'": r"['\x{2019}]", ",": ",", ".": r"\."}
_NUMBER = r"[+-]?(\d{1,14}(\.\d{0,4}0*)?|\.\d{1,4}0*)"
_ANY_NUMBER = r"[+-]?(\d+(\.\d*)?|\.\d+)"
_PLACES = r"[+-]?\d*\.\d{4}\d*[1-9]0*"
#: One to three digits, then a group of three: it could be thousands. A leading zero could not.
GROUP_OR_FRACTION = r"[+-]?[1-9]\d{0,2}\.\d{3}"
#: A dot that can only be a decimal one.
PLAIN_FRACTION = r"[+-]?(0\.\d+|\d*\.(\d{1,2}|\d{4,})|\d{4,}\.\d+)"
_MONEY = r"[^\d.,]{0,6}"
#: A comma that can only be a decimal one, with a currency sign or code before or behind.
DECIMAL_COMMA = (
    rf"{_MONEY}[+-]?(\d+,(\d{{1,2}}|\d{{4,}})|0,\d+|\d{{1,3}}([. \x{{00A0}}\x{{202F}}']\d{{3}})+,\d+){_MONEY}"
)


def parse_number(kind: str, raw: str, text: str, source: ColumnSource) -> tuple[str, str]:
    """Return the expressions of the value and of the reason when there is none."""
    if kind == TEXT and source.own_numbers:
        text = normalised(text, source)
    return _value(kind, raw, text), _fault(kind, raw, text, source)


def normalised(text: str, source: ColumnSource) -> str:
    """Return the expression that converts a number from the mapping's notation; NULL if it does not match."""
    point, thousands = re.escape(source.decimal_sign), THOUSANDS.get(source.thousands, "")
    plain = text
    if source.currency:
        signs = "|".join(re.escape(sign) for sign in sorted(source.currency, key=len, reverse=True))
        blank = THOUSANDS[" "] + "*"
        # '$12.50', '-$5', '$-5', '12,50 EUR'
        front = rf"^([+-]?){blank}(?:{signs}){blank}"
        plain = f"regexp_replace(regexp_replace({plain}, {literal(front)}, '\\1', 'i'), "
        plain += f"{literal(rf'{blank}(?:{signs})$')}, '', 'i')"
    shape = rf"[+-]?(\d+|\d{{1,3}}({thousands}\d{{3}})+)?({point}\d*)?" if thousands else rf"[+-]?\d*({point}\d*)?"
    ours = f"regexp_replace({plain}, {literal(thousands)}, '', 'g')" if thousands else plain
    if source.decimal_sign == ",":
        ours = f"replace({ours}, ',', '.')"
    return f"CASE WHEN regexp_full_match({plain}, {literal(shape)}) THEN {ours} END"


def format_example(source: ColumnSource) -> str:
    """Return a number in the mapping's way of writing."""
    return f"1{source.thousands}234{source.decimal_sign}56"


def _value(kind: str, raw: str, text: str) -> str:
    if kind in FLOATS:
        # Binary fractions: the nearest ten-thousandth is what was meant.
        return f"CASE WHEN isfinite({raw}) AND abs({raw}) < 1e14 THEN round({raw}::DOUBLE * {SCALE})::BIGINT END"
    if kind in INTEGERS:
        return f"CASE WHEN {raw} BETWEEN -99999999999999 AND 99999999999999 THEN {raw}::BIGINT * {SCALE} END"
    if kind.startswith("DECIMAL"):
        fits = f"{raw} = round({raw}, 4) AND abs({raw}) < 100000000000000"
        return f"CASE WHEN {fits} THEN (TRY_CAST({raw} AS DECIMAL(18, 4))::DECIMAL(24, 4) * {SCALE})::BIGINT END"
    return (
        f"CASE WHEN regexp_full_match({text}, {literal(_NUMBER)}) "
        f"THEN (TRY_CAST({text} AS DECIMAL(18, 4))::DECIMAL(24, 4) * {SCALE})::BIGINT END"
    )


def _fault(kind: str, raw: str, text: str, source: ColumnSource) -> str:
    if kind in FLOATS:
        return f"CASE WHEN isfinite({raw}) THEN 'is too large' ELSE 'is not a finite number' END"
    if kind in INTEGERS:
        return "'is too large'"
    exact = kind.startswith("DECIMAL")
    places = f"{raw} <> round({raw}, 4)" if exact else f"regexp_full_match({text}, {literal(_PLACES)})"
    any_number = "TRUE" if exact else f"regexp_full_match({text}, {literal(_ANY_NUMBER)})"
    reason = f"is not a number as in {format_example(source)}"
    if not source.own_numbers:
        reason += "; the mapping can name other ways of writing (decimal:, thousands:, currency:)"
    return (
        f"CASE WHEN {places} THEN 'has more than 4 decimal places' WHEN {any_number} THEN 'is too large' "
        f"ELSE {literal(reason)} END"
    )
