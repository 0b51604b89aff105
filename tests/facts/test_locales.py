"""Dates, money, countries and languages as people write them, in every language that CLDR knows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from babel import localedata

from mailshot.facts import locales
from mailshot.facts.locales import LocaleFormat

LATE = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)
DAY = date(2026, 3, 31)
# (language of the customer, language of the company, the long date)
LANGUAGES = [
    ("en", "en", "March 31, 2026"),
    ("en-GB", "en", "31 March 2026"),
    ("en", "en-GB", "31 March 2026"),
    ("en-US", "en-GB", "March 31, 2026"),
    ("EN_us.utf8", "nb", "March 31, 2026"),
    ("nb", "en", "31. mars 2026"),
    ("no", "en", "31. mars 2026"),
    ("nn-NO", "en", "31. mars 2026"),
    ("de-CH-1996", "en", "31. März 2026"),
    ("fr", "en", "31 mars 2026"),
    ("pt-BR", "en", "31 de março de 2026"),
    ("zh-TW", "en", "2026年3月31日"),
    ("en-XX", "nb", "March 31, 2026"),
    ("", "nb", "31. mars 2026"),
    ("tlh", "nb", "31. mars 2026"),
    ("English", "nb", "31. mars 2026"),
    ("*", "de", "31. März 2026"),
    ("../../x", "de", "31. März 2026"),
    ("a" * 5_000, "de", "31. März 2026"),
    ("C", "de", "31. März 2026"),
    ("-", "nb", "31. mars 2026"),
    ("\x00", "tlh", "March 31, 2026"),
]


@pytest.mark.parametrize(("own", "company", "written"), LANGUAGES)
def test_a_language_that_is_not_known_falls_back(own: str, company: str, written: str) -> None:
    assert LocaleFormat(own, company_language=company).date(DAY) == written


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("short", "31.03.2026"),
        ("medium", "31. mars 2026"),
        ("full", "tirsdag 31. mars 2026"),
        ("d. MMMM", "31. mars"),
        ("EEEE 'den' d.", "tirsdag den 31."),
        ("dd.MM.yyyy", "31.03.2026"),
        ("y", "2026"),
        ("LLLL y", "mars 2026"),
    ],
)
def test_formats(form: str, written: str) -> None:
    assert LocaleFormat("nb").date(DAY, form) == LocaleFormat("nb").date("2026-03-31", form) == written


def test_a_moment_is_a_day_and_an_hour_of_the_zone() -> None:
    oslo, york = (LocaleFormat("en-GB", ZoneInfo(name)) for name in ("Europe/Oslo", "America/New_York"))
    assert (oslo.date(LATE), york.date(LATE)) == ("1 April 2026", "31 March 2026")
    assert oslo.date(LATE, "d MMMM, HH:mm") == "1 April, 00:30"
    assert york.date("2026-03-31T22:30:00+00:00", "d MMMM, h:mm a") == "31 March, 6:30 pm"
    assert LocaleFormat("en-GB").date(LATE) == "31 March 2026"
    assert (oslo.date(None), oslo.money(None)) == ("", "")
    with pytest.raises(ValueError, match="which has no time"):
        oslo.date(DAY, "HH:mm")


@pytest.mark.parametrize("value", ["soon", "", "2026-02-30", "31.03.2026", 5, True, [DAY], "2026-03-31x"])
def test_what_is_no_date(value: object) -> None:
    with pytest.raises(ValueError, match="is not a date such as 2026-03-31"):
        LocaleFormat().date(value)


FAULTS = {
    "lnog": "Did you mean 'long'?",
    "Long": "Did you mean 'long'?",
    "medum": "Did you mean 'medium'?",
    "%d.%m.%Y": "instead of %d %B %Y",
    "DD.MM.YYYY": "Write d for the day of the month.",
    "YYYY-MM-dd": "Write y for the year.",
    "dd.mm.yyyy": "Write M for the month.",
    "d 'of MMMM": "in single quotes",
    "d. von MMMM": "in single quotes",
    "dddd": "in single quotes",
    "MMMMMMM": "in single quotes",
    "jeden d.": "in single quotes",
    "": "For example 'long'",
    "--": "For example 'long'",
    "'today'": "For example 'long'",
    "d år": "in single quotes",
}


@pytest.mark.parametrize("form", FAULTS)
def test_a_format_that_would_print_nonsense_is_refused_with_a_remedy(form: str) -> None:
    fault = locales.pattern_fault(form)
    assert fault
    assert FAULTS[form] in fault[1]
    with pytest.raises(ValueError, match=r"^date: "):
        LocaleFormat().date(DAY, form)


@pytest.mark.parametrize(
    ("language", "currency", "amount", "written"),
    [
        ("en", "USD", Decimal("1234.5"), "$1,234.50"),
        ("en", "USD", Decimal("-5"), "-$5.00"),
        ("en", "NOK", 1234.5, "NOK 1,234.50"),
        ("nb", "NOK", 1234567, "1 234 567,00 kr"),
        ("de", "EUR", "1234.50", "1.234,50 €"),
        ("en", "JPY", Decimal("1234.5"), "¥1,235"),
        ("en", "KWD", Decimal("1.2345"), "KWD 1.235"),
        ("en", "USD", Decimal("0.005"), "$0.01"),
        ("en", "USD", Decimal("99999999999.99"), "$99,999,999,999.99"),
        ("en", "USD", 0.1 + 0.2, "$0.30"),
        ("en", "USD", 1.005, "$1.01"),
        ("hi", "INR", 1234567, "₹12,34,567.00"),
        ("tlh", "USD", 1, "$1.00"),
        ("en", "XYZ", 1, "XYZ 1.00"),
    ],
)
def test_money(language: str, currency: str, amount: object, written: str) -> None:
    text = LocaleFormat("fr", company_language=language, currency=currency).money(amount)
    assert text.replace("\u00a0", " ").replace("\u202f", " ") == written


def test_money_in_another_currency() -> None:
    assert LocaleFormat(company_language="en").money(5, "EUR") == "€5.00"


@pytest.mark.parametrize(
    "amount", ["abc", "", "1,5", True, float("nan"), float("inf"), "1e400", [1], Decimal(10) ** 40]
)
def test_what_is_no_amount(amount: object) -> None:
    with pytest.raises(ValueError, match=r"^money: "):
        LocaleFormat().money(amount)


def test_every_language_writes_every_format() -> None:
    for name in localedata.locale_identifiers():
        manner = LocaleFormat(name.replace("_", "-"), ZoneInfo("Asia/Tokyo"), name.replace("_", "-"), "EUR")
        for form in (*locales.FORMATS, "EEEE d. MMMM y HH:mm"):
            assert manner.date(LATE, form)
        assert manner.money(Decimal("1234.5"))


def test_countries_and_languages_have_names() -> None:
    assert (locales.country("NO"), locales.country("no "), locales.country("ZZZ")) == ("Norway", "Norway", "ZZZ")
    assert (locales.language_name("nb"), locales.language_name("pt-BR")) == (
        "Norwegian Bokmål",
        "Portuguese (Brazil)",
    )
    assert locales.language_name("tlh") == "tlh"
    assert [locales.is_language(code) for code in ("en", "nb", "pt-BR", "Norwegian", "", "tlh")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
