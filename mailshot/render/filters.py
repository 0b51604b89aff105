"""The Jinja filters that a mail may use: a selection of Jinja's, and our own.

Filters that draw random values or mark text as safe HTML are not among them.

To add a filter: write a function here that limits its arguments (as `_checked_width` does), and add it to `OWN`. If it
is slow, or its result can be much larger than its input, add it to `COSTS` or `GROWING`, too. List it in
docs/templates.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date as date_type
from decimal import Decimal
from functools import lru_cache
from typing import Any

from jinja2 import pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, StrictUndefined
from markupsafe import Markup, escape

from mailshot.facts.locales import LocaleFormat

WIDEST = 80
LONGEST_CACHED = 200
"""Longest text whose title case is cached; caching thousands of long ones would use too much memory."""
# Whole numbers from here on are grouped: 10,000.
YEARS_END = 10_000
# The name of a mail's LocaleFormat among its values. No template can use names that begin with an underscore.
LOCALE_FORMAT = "_manner"
JINJA = frozenset(
    {
        "abs", "batch", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items",
        "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse",
        "round", "select", "selectattr", "slice", "sort", "string", "striptags", "sum", "title", "trim", "truncate",
        "unique", "upper", "urlencode", "wordcount",
    }
)  # fmt: skip
SHALLOW = frozenset(
    {
        "batch", "count", "d", "default", "first", "items", "last", "length", "list", "map", "reject", "rejectattr",
        "reverse", "select", "selectattr", "slice", "sum",
    }
)  # fmt: skip
"""Filters that do not read the items of a list, or let other filters do it, which are charged themselves."""
SHALLOW_TESTS = frozenset(
    {
        "boolean", "callable", "defined", "even", "false", "float", "integer", "iterable", "mapping", "none", "number",
        "odd", "sameas", "sequence", "string", "true", "undefined",
    }
)  # fmt: skip
GROWING = ("indent", "join", "listing", "replace", "striptags")
"""Filters that may cost more than the size of their arguments."""
_OF_TEXT = ("indent", "replace", "striptags")
COSTS = {"date": 400, "money": 400, "number": 400}
"""Budget units of filters that are slow even for small values."""
_SMALL = frozenset(
    {
        "a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with",
    }
)  # fmt: skip
_UNITS = frozenset(
    {
        "oz", "lb", "lbs", "ct", "pk", "ml", "kg", "gal", "qt", "pt",
    }
)  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")


def titlecase(text: object) -> str:
    """Change a product name in CAPITALS to title case: `CRUSHED ICE` becomes `Crushed Ice`. Others stay the same."""
    name = text if type(text) is str else str(text or "")
    return _cached_titlecase(name) if len(name) <= LONGEST_CACHED else _titlecase(name)


def _titlecase(text: str) -> str:
    name = " ".join(text.split())
    if any(letter.islower() for letter in name):
        return name
    name = re.sub(r"\s+-\s+", " \u2013 ", re.sub(r"(?<=\w)/(?=\w)|(?<=\w\w)&(?=\w\w)", r" \g<0> ", name))
    first = True

    def calm(match: re.Match[str]) -> str:
        nonlocal first
        word, opening = match[0].lower(), first
        first = False
        return word if word in _UNITS or (word in _SMALL and not opening) else word[0].upper() + word[1:]

    return _WORD.sub(calm, name)


_cached_titlecase = lru_cache(maxsize=8192)(_titlecase)


def initials(text: object) -> str:
    """Take the first letters of the first two words: `Fresh Herbs` becomes `FH`."""
    return "".join(word[0] for word in _WORD.findall(str(text or ""))[:2]).upper()


@pass_context
def date(context: Context, value: Any, form: str = "long") -> str:
    """Write a date in the customer's language, in their time zone: `31 March 2026`. An unknown date prints nothing.

    `form` is short, medium, long, full or a pattern of CLDR such as `d MMMM`.
    """
    return locale_format(context).date(_defined(value), form)


@pass_context
def money(context: Context, amount: Any, currency: str | None = None) -> str:
    """Format an amount in the company's currency and language: `$1,234.50`; an unknown one prints nothing."""
    return locale_format(context).money(_defined(amount), currency)


@pass_context
def number(context: Context, value: Any, digits: int | None = None) -> str:
    """Format a number for the mail's language: `1.250,5`; an unknown one prints nothing.

    `digits` is how many decimals it gets; without it as many as it has, at most three.
    """
    return locale_format(context).number(_defined(value), digits)


def as_people_write(context: Context, value: object) -> object:
    """Return dates, numbers and booleans formatted for people; other values unchanged.

    A whole number below 10,000 keeps its digits together: it may be a year.
    """
    if isinstance(value, date_type):
        return locale_format(context).date(value)
    if isinstance(value, bool):
        return locale_format(context).yes_no(value)
    if isinstance(value, float | Decimal) or (isinstance(value, int) and abs(value) >= YEARS_END):
        return locale_format(context).number(value)
    return value


def as_machines_write(value: object) -> object:
    """Return a number in machine format, for an HTML attribute: 80, 1250.5."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return value
    text = f"{Decimal(str(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


as_machines_write.mail_function = True  # type: ignore[attr-defined]


def locale_format(context: Context) -> LocaleFormat:
    """Return the format of dates and money of the mail being rendered."""
    locale_format = context.get(LOCALE_FORMAT)
    return locale_format if isinstance(locale_format, LocaleFormat) else LocaleFormat()


def _defined(value: Any) -> object:
    if isinstance(value, StrictUndefined):
        str(value)  # raises, with the name of what is missing
    return value


def listing(items: Any, last: str = "and") -> str:
    """Join with commas and a last word: `peas, beans and corn`."""
    words = [str(item) for item in items]
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


def center(text: object, width: int = 40) -> str:
    """Centre in a field of at most 80."""
    return str(text).center(_checked_width("center", width))


def indent(text: str, width: int = 4) -> str:
    """Indent every line after the first by at most 80."""
    return str(text).replace("\n", "\n" + " " * _checked_width("indent", width))


def growth(name: str, value: Any, *others: Any) -> int:
    """Return what a filter in `GROWING` may cost beyond the size of its arguments, in budget units.

    A text that is given besides may be repeated for each character or item, and taking out a tag copies the text.
    """
    if name in _OF_TEXT and not isinstance(value, str):
        value = str(value)  # as the filter does with a list
    size = len(value) if isinstance(value, str | list | tuple | dict) else 1
    if name == "indent":
        return int(value.count("\n")) * WIDEST
    if name == "striptags":
        return int(value.count("<")) * (size // 64)
    return sum(size * len(other) for other in others if isinstance(other, str))


def _checked_width(name: str, width: int) -> int:
    if not 0 <= width <= WIDEST:
        raise SecurityError(f"{name}: a width from 0 to {WIDEST}")
    return width


def _small(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Limit a filter's arguments, other than its value, to short texts and small numbers."""
    skip = 2 if hasattr(function, "jinja_pass_arg") else 1

    def small(*arguments: Any, **options: Any) -> object:
        for value in (*arguments[skip:], *options.values()):
            if (isinstance(value, str) and len(value) > 200) or (isinstance(value, int) and abs(value) > 1000):
                raise SecurityError(f"{name}: the argument is too large")
        if name == "sum" and len(arguments) + len(options) > skip + 1:
            raise SecurityError("sum: only the attribute can be given")
        return function(*arguments, **options)

    if hasattr(function, "jinja_pass_arg"):
        small.jinja_pass_arg = function.jinja_pass_arg  # type: ignore[attr-defined]
    return small


def _escape(text: object) -> Markup:
    return escape("" if text is None else text)


OWN: dict[str, Callable[..., Any]] = {
    "center": center,
    "date": date,
    "indent": indent,
    "initials": initials,
    "listing": listing,
    "money": money,
    "number": number,
    "titlecase": titlecase,
}
NAMES = JINJA | OWN.keys() | {"e", "escape"}


def allowed(jinja: Mapping[str, Callable[..., Any]], autoescape: bool) -> dict[str, Callable[..., Any]]:
    """Choose the filters of an environment; in plain text `escape` changes nothing."""
    chosen = {name: _small(function, name) for name, function in jinja.items() if name in JINJA}
    escaping: Callable[..., Any] = _escape if autoescape else str
    return {**chosen, **OWN, "e": escaping, "escape": escaping}
