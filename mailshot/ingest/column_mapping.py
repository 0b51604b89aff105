"""The mapping of one column: where its cells come from, and how their contents are written.

key: customer_no                                    # a column
email: "{login}@shop.test"                          # a text with columns in it
country: {value: NO}                                # the same for every row
joined_at: {column: since, format: [%d.%m.%Y, excel]}
member: {column: Stammkunde, yes: [ja, x], no: [nein]}
points: {column: Punkte, decimal: ",", thousands: "."}
topic: {column: list, values: {Weekly Offers: offers}}
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

EXCEL = "excel"
_HOLE = re.compile(r"\{([^{}]*)\}")
#: Blanks around a word that are no difference: also no-break spaces and what is left of a byte order mark.
BLANKS = " \t\r\n\u00a0\u202f\u200b\ufeff"
_OPTIONS = ("format", "values", "yes", "no", "decimal", "thousands", "currency")
_DECIMALS = (".", ",")
_THOUSANDS = (".", ",", " ", "'")
_STRING = {"type": "string"}
_WORD = {"type": ["string", "number", "boolean"]}
_SOME = {"anyOf": [_WORD, {"type": "array", "items": _WORD, "minItems": 1}]}
#: JSON Schemas of the options, for an import as a whole and for one column.
SPELLINGS: dict[str, dict[str, Any]] = {
    "yes": {**_SOME, "description": "Words of the file that mean yes, as in [ja, x]"},
    "no": {**_SOME, "description": "Words of the file that mean no, as in [nein]"},
    "decimal": {"enum": list(_DECIMALS), "description": "The sign before the fraction of a number"},
    "thousands": {"enum": list(_THOUSANDS), "description": "The sign between thousands"},
    "currency": {**_SOME, "description": "Signs or codes around a number, as in [€, EUR]"},
}
SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "description": "A column, or a text with {column} in it"},
        {
            "type": "object",
            "properties": {"value": {**_WORD, "description": "The same for every row"}},
            "required": ["value"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "column": _STRING,
                "format": {
                    "anyOf": [_STRING, {"type": "array", "items": _STRING, "minItems": 1}],
                    "description": "How times are written; of several the first that fits. 'excel' reads serial days",
                    "examples": ["%d.%m.%Y", ["%d.%m.%Y", "excel"]],
                },
                "values": {
                    "type": "object",
                    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
                    "minProperties": 1,
                    "description": "Maps words in the file to values, for example {Weekly Offers: offers}",
                },
                **SPELLINGS,
            },
            "required": ["column"],
            "minProperties": 2,
            "additionalProperties": False,
        },
    ]
}


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """Where a field's value comes from: texts and column names in turn (`parts` begins with a text), or a constant."""

    parts: tuple[str, ...] = ()
    constant: str | None = None
    #: strptime formats of DuckDB, or 'excel' for serial days; tried in order. Empty: ISO 8601.
    formats: tuple[str, ...] = ()
    #: Words in the file (case-folded) and their values; None means unknown.
    values: tuple[tuple[str, str | None], ...] = ()
    #: Words of the file, folded, beside the usual ones.
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()
    decimal: str = ""
    thousands: str = ""
    currency: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return self.parts[1::2]

    @property
    def plain(self) -> bool:
        """Whether it is one column and nothing else, so that the column's own type counts."""
        return len(self.parts) == 3 and not self.parts[0] and not self.parts[2]

    @property
    def options(self) -> tuple[str, ...]:
        """The words by which the mapping says how the cells are written."""
        settings = {
            "format": self.formats,
            "values": self.values,
            **{word: getattr(self, word) for word in _OPTIONS[2:]},
        }
        return tuple(word for word, value in settings.items() if value)

    @property
    def own_numbers(self) -> bool:
        """Whether the mapping says how numbers are written."""
        return bool(self.decimal or self.thousands or self.currency)

    @property
    def decimal_sign(self) -> str:
        return self.decimal or ("," if self.thousands == "." else ".")

    def __str__(self) -> str:
        if self.constant is not None:
            return "(constant)"
        return " + ".join(self.columns)


def fold_word(word: str) -> str:
    """Return a word as words of a file are compared: without blanks around it, in lower case."""
    return word.strip(BLANKS).lower()


def read_source(value: Any) -> ColumnSource:
    """Return the source that a mapping's entry of one column describes. Raises ValueError."""
    if isinstance(value, ColumnSource):
        return value
    if isinstance(value, str):
        return ColumnSource(tuple(_HOLE.split(value))) if _HOLE.search(value) else ColumnSource(("", value, ""))
    if isinstance(value, dict) and set(value) == {"value"} and isinstance(value["value"], str):
        return ColumnSource(constant=value["value"])
    if not isinstance(value, dict) or not isinstance(value.get("column"), str) or set(value) == {"column"}:
        raise ValueError("must be a column, a text with {column}, {value: …}, or {column: …, format: …}; name a column")
    if unknown := next((word for word in value if word not in ("column", *_OPTIONS)), None):
        raise ValueError(f"'{unknown}' says nothing of a column; choose {', '.join(_OPTIONS)}")
    options = {word: option(word, setting) for word, setting in value.items() if word != "column"}
    return spelt(ColumnSource(("", value["column"], "")), **options)


def option(word: str, setting: Any) -> object:
    """Return what a mapping says behind one of the option words. Raises ValueError."""
    return _READERS[word](word, setting)


def spelt(source: ColumnSource, **options: Any) -> ColumnSource:
    """Return the source with these options, as `option` gives them. Raises ValueError."""
    if "format" in options:
        options["formats"] = options.pop("format")
    source = replace(source, **{word: setting for word, setting in options.items() if setting})
    if twice := set(source.yes) & set(source.no):
        raise ValueError(f"'{min(twice)}' cannot be both yes and no; keep one")
    if source.thousands and source.thousands == source.decimal_sign:
        raise ValueError("'thousands' and 'decimal' cannot be the same sign; choose two of them")
    return source


def _texts(word: str, setting: Any) -> tuple[str, ...]:
    listed = setting if isinstance(setting, list) else [setting]
    if not listed or not all(isinstance(text, str) and text.strip() for text in listed):
        raise ValueError(f"'{word}' must be a text, or a list of texts; write at least one")
    return tuple(listed)


def _folded(word: str, setting: Any) -> tuple[str, ...]:
    return tuple(fold_word(text) for text in _texts(word, setting))


def _sign(word: str, setting: Any) -> str:
    allowed = _DECIMALS if word == "decimal" else _THOUSANDS
    if setting not in allowed:
        raise ValueError(f"'{word}' must be one sign; write one of {' '.join(repr(sign) for sign in allowed)}")
    return str(setting)


def _currency(word: str, setting: Any) -> tuple[str, ...]:
    signs = tuple(sign.strip() for sign in _texts(word, setting))
    if any(re.search(r"[\d.,+-]", sign) for sign in signs):
        raise ValueError(f"'{word}' must be a sign or code without digits; write it as in [€, EUR]")
    return signs


def _values(_word: str, setting: Any) -> tuple[tuple[str, str | None], ...]:
    if not isinstance(setting, dict) or not setting:
        raise ValueError("'values' must map words in the file to values, for example {Weekly Offers: offers}")
    if not all(value is None or isinstance(value, str) for value in setting.values()):
        raise ValueError("'values' must pair each word with one value; write it as in {Weekly Offers: offers}")
    pairs: dict[str, str | None] = {}
    for word, value in setting.items():
        if pairs.get(fold_word(word), value) != value:
            raise ValueError(f"'values' names '{word}' twice with different values; keep one")
        pairs[fold_word(word)] = value or None
    return tuple(pairs.items())


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "format": _texts,
    "values": _values,
    "yes": _folded,
    "no": _folded,
    "decimal": _sign,
    "thousands": _sign,
    "currency": _currency,
}
