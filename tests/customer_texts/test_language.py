"""Checks which language a customer gets, and what is written in it."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from mailshot.customer_texts import language
from mailshot.customer_texts.language import LANGUAGES, CustomerLanguage

OSLO = ZoneInfo("Europe/Oslo")


@pytest.mark.parametrize(
    ("asked", "own", "accepted", "company", "chosen"),
    [
        (None, None, "", "", "en"),
        (None, None, "", "fr-CA", "fr"),
        (None, None, "es", "fr", "es"),
        (None, "de-CH", "es", "fr", "de"),
        ("fr", "de", "es", "en", "fr"),
        # What we do not speak is skipped, whoever asks for it.
        ("nb", "de", "", "", "de"),
        ("", "nb", "sv, es;q=0.5", "fr", "es"),
        (None, "nb", "sv", "pt-BR", "en"),
        ("DE", None, "", "", "en"),
        (None, "not a language", "?!, ;;q=1, de", "", "de"),
        (None, "ES_mx", "", "", "es"),
    ],
)
def test_the_first_language_that_we_speak_is_chosen(
    asked: str | None, own: str | None, accepted: str, company: str, chosen: str
) -> None:
    result = language.choose(asked, own, accepted, company)
    assert (result.tag, result.asked) == (chosen, asked == chosen)


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("fr;q=0.5, de;q=0.9, es;q=0.1", "de"),
        ("en-GB,en;q=0.9,de;q=0.8", "en"),
        ("de;q=0, fr;q=0.1", "fr"),
        ("*", "en"),
        ("*, es;q=0.1", "es"),
        ("de ; q=0.2 , es ; Q=0.3", "es"),
        ("de;q=x, fr;q=nan, es;q=0.001", "es"),
        # Of equal weights, the first one.
        ("sv, fr, de", "fr"),
        ("sv," * 5000 + "de", "en"),
    ],
)
def test_a_browser_is_answered_in_the_language_it_weighs_most(header: str, chosen: str) -> None:
    assert language.choose(None, None, header).tag == chosen


def test_dates_follow_the_region_of_the_customer() -> None:
    day = date(2026, 1, 2)
    assert language.choose(None, "de-AT").date(day, OSLO, "en") == "2. Jänner 2026"
    assert language.choose(None, "de").date(day, OSLO, "en") == "2. Januar 2026"
    assert language.choose("de", "de-AT").date(day, OSLO, "en") == "2. Jänner 2026"
    assert language.choose("fr", "de-AT").date(day, OSLO, "en") == "2 janvier 2026"
    assert language.choose(None, "en").date(day, OSLO, "en-GB") == "2 January 2026"
    assert language.choose(None, None, "en-GB").date(day, OSLO, "en-US") == "2 January 2026"


def test_plurals_are_those_of_the_language() -> None:
    message = ("You got one mail in the last 30 days.", "You got %(count)s mails in the last 30 days.")
    for tag in LANGUAGES:
        forms = {count: language.translations(tag).ngettext(*message, count) for count in (1, 2, 5, 1000)}
        assert "%(count)s" not in forms[1]
        assert all("%(count)s" in forms[count] for count in (2, 5, 1000))


def test_an_address_repeats_the_language_only_when_it_was_asked_for() -> None:
    assert CustomerLanguage("de", "de").url("/p/x") == "/p/x"
    assert CustomerLanguage("de", "de", asked=True).url("/p/x", saved=1) == "/p/x?saved=1&lang=de"


def test_texts_of_the_shop_are_quoted_as_the_language_does() -> None:
    assert language.choose("de", None).quoted(["A", "B"]) == "„A“, „B“"
    assert language.choose("fr", None).quoted(["50 %"]) == "«\u00a050 %\u00a0»"


def test_a_tag_longer_than_any_real_one_is_not_read() -> None:
    assert language.choose(None, None, f"fr-CA-{'x' * 15_000},es").tag == "es"
