"""Writes CSV cells so that no spreadsheet runs them as a formula, and reads them back as they were.

A text that begins like a formula gets an apostrophe in front (ASVS 1.2.10), and so does one that begins with
apostrophes or blanks and then like a formula: so `restore` reads exactly what `escape_formula` wrote. Numbers are left
alone, for -5 is no formula.
"""

from __future__ import annotations

import re

#: Blanks in front, which some spreadsheets drop.
_BLANKS = " \x0b\x0c\u00a0\u3000\ufeff"
#: Also the wide signs that Japanese programs take for these.
_SIGNS = "=+\\-@\\t\\r\\n\\x00\uff1d\uff0b\uff0d\uff20"
#: Patterns for Python's `re` and for RE2, which DuckDB uses; each is replaced by its first group.
PROTECTED = rf"\A'(['{_BLANKS}]*[{_SIGNS}])"
FORMULA = rf"\A(['{_BLANKS}]*[{_SIGNS}])"
_PROTECTED, _FORMULA = re.compile(PROTECTED), re.compile(FORMULA)


def escape_formula(cell: str) -> str:
    """Return a text as a cell that is no formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def restore(cell: str) -> str:
    """Return the text that `escape_formula` made a cell of."""
    return cell[1:] if _PROTECTED.match(cell) else cell


def harmless(value: object) -> object:
    """Return a value as a cell: a text protected, anything else as it is."""
    return escape_formula(value) if isinstance(value, str) else value
