# ruff: noqa: RUF001 (YES_NO holds words in other alphabets)
"""Writes dates, numbers, money, countries, languages as people of a language do, from Unicode's CLDR by way of Babel.

Babel takes a tenth of a second to import, so it is imported where something is written; commands that only look never
wait for it. A language that CLDR does not know is no error: the next best is used, and English at last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from mailshot.errors import nearest

if TYPE_CHECKING:
    from babel import Locale


ENGLISH = "en"
FORMATS = ("short", "medium", "long", "full")
# What a pattern may be made of, with the greatest length of each (https://unicode.org/reports/tr35/tr35-dates.html).
_LETTERS = {"y": 4, "M": 5, "L": 5, "d": 2, "E": 5, "c": 5, "Q": 4, "w": 2}
_CLOCK = {"h": 2, "H": 2, "k": 2, "K": 2, "m": 2, "s": 2, "a": 3, "z": 4}
_TRAPS = {"Y": "y for the year", "D": "d for the day of the month", "S": "s for the second", "A": "a for AM or PM"}
_QUOTED = re.compile("'[^']*'")
_WORD = re.compile(r"[^\W\d_]+")
_RUN = re.compile(r"([A-Za-z])\1*")
_PLAIN = "For example 'long', 'd MMMM y' or 'EEEE'."
# CLDR puts a space between the letters of a currency and a digit; Babel leaves it out.
_SPACED = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")

# CLDR names these, but they are no countries: unknown, pseudo-locales, unions, outlying Oceania.
_NO_COUNTRIES = {"ZZ", "XA", "XB", "EU", "EZ", "UN", "QO"}
_NO_LANGUAGES = {"und", "mul", "zxx"}
_TAG = re.compile(r"(?P<language>[A-Za-z]{2,3})([-_](?P<script>[A-Za-z]{4}))?([-_](?P<region>[A-Za-z]{2}|[0-9]{3}))?")


# The decimals in a pattern of CLDR, such as '#,##0.###'.
_DECIMALS = re.compile(r"\.[#0]+")
MAX_DIGITS = 9
_USUAL_CURRENCIES = frozenset({"USD", "EUR", "GBP", "CHF", "NOK", "SEK", "DKK"})
#: By language, the word for true, then the one for false.
YES_NO = {
    "ar": ("نعم", "لا"), "bg": ("да", "не"), "ca": ("sí", "no"), "cs": ("ano", "ne"), "da": ("ja", "nej"),
    "de": ("ja", "nein"), "el": ("ναι", "όχι"), "en": ("yes", "no"), "es": ("sí", "no"), "et": ("jah", "ei"),
    "fi": ("kyllä", "ei"), "fr": ("oui", "non"), "he": ("כן", "לא"), "hi": ("हाँ", "नहीं"), "hr": ("da", "ne"),
    "hu": ("igen", "nem"), "is": ("já", "nei"), "it": ("sì", "no"), "ja": ("はい", "いいえ"), "ko": ("예", "아니요"),
    "lt": ("taip", "ne"), "lv": ("jā", "nē"), "nb": ("ja", "nei"), "nl": ("ja", "nee"), "nn": ("ja", "nei"),
    "no": ("ja", "nei"), "pl": ("tak", "nie"), "pt": ("sim", "não"), "ro": ("da", "nu"), "ru": ("да", "нет"),
    "sk": ("áno", "nie"), "sl": ("da", "ne"), "sr": ("да", "не"), "sv": ("ja", "nej"), "tr": ("evet", "hayır"),
    "uk": ("так", "ні"), "zh": ("是", "否"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LocaleFormat:
    """How one customer's mail writes things. `language` is the customer's own, empty when it is not known.

    `zone` is the customer's where known, else the company's. Money is written as the company does, but in a translation
    as its language does (`money_language`).
    """

    language: str = ""
    zone: ZoneInfo | None = None
    company_language: str = ENGLISH
    currency: str = "USD"
    money_language: str = ""

    def date(self, value: object, form: str = "long") -> str:
        """Write a date, moment or ISO text as a day of the zone, by a format's name or a pattern; None as nothing.

        Raises ValueError for what is no date, and for a pattern that `pattern_fault` refuses.
        """
        if value is None:
            return ""
        if fault := pattern_fault(form):
            raise ValueError(f"date: {' '.join(fault)}")
        return written_date(_moment(value), form, _locale(self.language, self.company_language), self.zone)

    def money(self, amount: object, currency: str | None = None) -> str:
        """Write an amount in the company's currency, or another by its ISO 4217 code; None as nothing.

        Raises ValueError for what is no amount.
        """
        if amount is None:
            return ""
        return written_money(
            _amount(amount), currency or self.currency, _locale(self.money_language, self.company_language)
        )

    def number(self, value: object, digits: int | None = None) -> str:
        """Write a number as people of the mail's language do: `1.250,5`; None as nothing.

        At most three decimals, or exactly `digits` of them. Raises ValueError for what is no number.
        """
        if value is None:
            return ""
        return written_number(_amount(value, "number"), digits, _locale(self.language, self.company_language))

    def yes_no(self, value: bool) -> str:
        """Write a truth value as yes or no of the mail's language, in English where its words are not known."""
        locale = _locale(self.language, self.company_language)
        return YES_NO.get(locale.language, YES_NO[ENGLISH])[0 if value else 1]


def written_number(number: Decimal, digits: int | None, locale: Locale) -> str:
    """Write a number, rounded half up. Raises ValueError for one that is too large, or more than 9 digits."""
    from babel import numbers

    if digits is not None and not 0 <= digits <= MAX_DIGITS:
        raise ValueError(f"number: from 0 to {MAX_DIGITS} decimals")
    try:
        exact = number.quantize(Decimal(1).scaleb(-(3 if digits is None else digits)), ROUND_HALF_UP)
    except InvalidOperation:
        raise ValueError("number: it is too large") from None
    pattern = locale.decimal_formats[None].pattern
    if digits is not None:
        pattern = _DECIMALS.sub("." + "0" * digits if digits else "", pattern)
    return numbers.format_decimal(exact, pattern, locale=locale)


def is_currency(code: str) -> bool:
    """Say whether this is the ISO 4217 code of a currency, as in 'EUR'."""
    if code in _USUAL_CURRENCIES:  # without waiting for Babel
        return True
    from babel import numbers

    return bool(numbers.is_currency(code))


def written_date(value: date | datetime, form: str, locale: Locale, zone: ZoneInfo | None) -> str:
    """Write a day, or a moment as it is in `zone` (UTC without one). Raises ValueError for the time of a mere day."""
    from babel import dates

    if isinstance(value, datetime):
        local = value.astimezone(zone or UTC) if value.tzinfo else value
        value = local.date() if form in FORMATS else local
    elif any(run[0] in _CLOCK for run in _RUN.findall(_QUOTED.sub(" ", form))) and form not in FORMATS:
        raise ValueError("date: this is a day, which has no time; leave the hours out of the format")
    if isinstance(value, datetime):
        return dates.format_datetime(value, form, locale=locale)
    return dates.format_date(value, form, locale=locale)


def written_money(amount: Decimal, currency: str, locale: Locale) -> str:
    """Write an amount with its currency's decimals, rounded half up. Raises ValueError for one beyond any price."""
    from babel import numbers

    digits = numbers.get_currency_precision(currency)
    try:
        exact = amount.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    except InvalidOperation:
        raise ValueError("money: the amount is too large") from None
    return _SPACED.sub("\u00a0", numbers.format_currency(exact, currency, locale=locale))


def country(code: str, language: str = ENGLISH) -> str:
    """Return a country's name, or the code where none is known."""
    return _locale(language, ENGLISH).territories.get(code.strip().upper()) or code


def language_name(code: str, language: str = ENGLISH) -> str:
    """Return a language's name, or the code where none is known."""
    locale = _parsed(code)
    return (locale.get_display_name(_locale(language, ENGLISH)) if locale else None) or code


def cldr(table: str) -> Mapping[str, str]:
    """Return one of CLDR's tables that are about tags: `likely_subtags`, `parent_exceptions`, `language_aliases`."""
    from babel.core import get_global

    names: Mapping[str, str] = get_global(table)  # type: ignore[arg-type]
    return names


def is_language(code: str) -> bool:
    """Say whether CLDR knows this language, as in 'nb', 'pt-BR' or 'zh-Hant-TW' (BCP 47)."""
    return code == ENGLISH or _parsed(code) is not None


@lru_cache(maxsize=4096)
def country_code(text: str) -> str | None:
    """Return the ISO 3166 code that a text means in any case, also 'UK' and three letters ('NOR'); None without one."""
    from babel.core import get_global

    code = text.strip().upper()
    if len(code) == 3 or code == "UK":
        codes = get_global("territory_aliases").get(code, []) if code.isalpha() else []
        code = codes[0] if len(codes) == 1 else ""
    known = len(code) == 2 and code not in _NO_COUNTRIES and code in _locale(ENGLISH, ENGLISH).territories
    return code if known else None


@lru_cache(maxsize=4096)
def language_tag(text: str) -> str | None:
    """Return the BCP 47 tag that a text is in any case, also with underscores ('en_GB'); None: there is none."""
    match = _TAG.fullmatch(text.strip())
    if match is None:
        return None
    language = _language(match["language"].lower())
    region = match["region"] and (match["region"] if match["region"].isdigit() else country_code(match["region"]))
    if language is None or (match["region"] and not region):
        return None
    return "-".join(filter(None, (language, match["script"] and match["script"].title(), region)))


def _language(code: str) -> str | None:
    """Return the code of a language, of two letters where it has one; None for what is no language."""
    from babel.core import get_global

    if len(code) == 3:
        code = str(get_global("language_aliases").get(code, code))
    return code if code in _locale(ENGLISH, ENGLISH).languages and code not in _NO_LANGUAGES else None


def pattern_fault(form: str) -> tuple[str, str] | None:
    """Return what is wrong with the format of a date, and the remedy; None when it can be used."""
    if form in FORMATS:
        return None
    if "%" in form:
        return f"'{form}' uses %, which means nothing here.", "Write d MMMM y instead of %d %B %Y."
    bare = _QUOTED.sub(" ", form)
    if "'" in bare:
        return f"a quote in '{form}' is never closed.", "Put words in single quotes, as in d 'of' MMMM."
    for word in _WORD.findall(bare):
        if fault := _word_fault(word, form):
            return fault
    letters = {run[0] for run in _RUN.findall(bare)}
    if "m" in letters and not letters & set("hHkK"):
        return f"m in '{form}' is the minute.", "Write M for the month."
    return None if letters else (f"'{form}' shows no part of the date.", _PLAIN)


def _word_fault(word: str, form: str) -> tuple[str, str] | None:
    known = {**_LETTERS, **_CLOCK}
    for run in _RUN.finditer(word):
        letter, length = run[1], len(run[0])
        if letter in _TRAPS:
            return f"'{run[0]}' in '{form}' is not what it looks like.", f"Write {_TRAPS[letter]}."
        if letter not in known or length > known[letter]:
            break
    else:
        if _RUN.sub("", word) == "":
            return None
    likely = nearest(form, FORMATS)
    remedy = likely if likely.startswith("Did you mean") else f"Put words in single quotes. {_PLAIN}"
    return f"'{word}' in '{form}' is no part of a date.", remedy


def _moment(value: object) -> date | datetime:
    if isinstance(value, date):
        return value
    try:
        text = str(value).strip()
        return date.fromisoformat(text) if len(text) == len("2026-03-31") else datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"date: '{value}' is not a date such as 2026-03-31") from None


def _amount(value: object, what: str = "money") -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite():
        raise ValueError(f"{what}: '{value}' is not {'an amount' if what == 'money' else 'a number'} such as 12.50")
    return amount


@lru_cache(maxsize=512)
def _locale(language: str, company: str) -> Locale:
    """Return the locale of a customer's language, else the company's, else English.

    A language without a region is written as the company does, where that is the same: `en` as en-GB for a shop that
    says en-GB.
    """
    house = _parsed(company)
    own = _parsed(language)
    if own is not None and house is not None and own.territory is None and own.language == house.language:
        return house if own.script in (None, house.script) else own
    chosen = own or house or _parsed(ENGLISH)
    assert chosen is not None
    return chosen


def _parsed(code: str) -> Locale | None:
    """Read a language tag, without its last parts as far as these are not known."""
    from babel import Locale, UnknownLocaleError

    parts = code.strip().replace("_", "-").split(".")[0].split("@")[0].split("-")[:4]
    while parts and parts[0]:
        try:
            return Locale.parse("-".join(parts), sep="-")
        except (UnknownLocaleError, ValueError, TypeError):
            parts.pop()
    return None
