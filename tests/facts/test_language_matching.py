"""Checks which language a customer gets of those that a mail has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailshot.facts import language_matching
from mailshot.facts.language_matching import Languages, key, regional, same_language

# (the customer's language, the mail's with that of the files without a tag first, the company's list, the choice)
CHOICES = [
    # exactly
    ("nb", "en nb de", "", "nb"),
    ("NB", "en nb de", "", "nb"),
    ("pt_br", "en pt-BR pt-PT", "", "pt-BR"),
    ("PT-br", "en pt pt-BR", "", "pt-BR"),
    ("zh-hant", "en zh-Hans zh-Hant", "", "zh-Hant"),
    ("en_GB.utf8", "nb en-GB en", "", "en-GB"),
    ("de-CH-1996", "en de de-CH", "", "de-CH"),
    ("en", "en nb", "nb en", "en"),
    # more general
    ("en-ZA", "nb en", "", "en"),
    ("en-ZA", "nb en en-GB", "", "en"),
    ("en-ZA", "en-US en-001", "", "en-001"),
    ("de-AT", "en de", "", "de"),
    ("es-MX", "en es es-419", "", "es-419"),
    ("es-ES", "en es es-419", "", "es"),
    ("pt-AO", "en pt pt-PT", "", "pt-PT"),
    ("zh-TW", "en zh-Hans zh-Hant", "", "zh-Hant"),
    ("zh-CN", "en zh-Hant zh-Hans", "", "zh-Hans"),
    ("zh-Hant-HK", "en zh zh-HK", "", "zh-HK"),
    ("zh-TW", "en zh", "", "zh"),
    ("sr-ME", "en sr-Cyrl sr-Latn", "", "sr-Latn"),
    ("en-UK", "nb en-GB en-US", "", "en-GB"),
    ("deu", "en de", "", "de"),
    ("iw", "en he", "", "he"),
    # Norwegian
    ("no", "en nb", "", "nb"),
    ("nb", "en no", "", "no"),
    ("nb-NO", "en no", "", "no"),
    ("no-NO", "en nb", "", "nb"),
    ("nn", "en nb nn", "", "nn"),
    ("nn-NO", "en nb", "", "nb"),
    # Mautic gives the first translation of the language in its list; here the company's list decides.
    ("en", "nb en-GB", "", "en-GB"),
    ("en", "nb en-ZA en-GB", "nb en-GB en-ZA", "en-GB"),
    ("en", "nb en-GB en-ZA", "nb en-ZA en-GB", "en-ZA"),
    ("en", "nb en-GB en-US", "", "en-US"),
    ("en-AU", "nb en-GB en-US", "", "en-GB"),
    ("en-AU", "nb en-GB en-US", "en-US", "en-US"),
    ("en-ZA", "en-GB nb", "nb", "en-GB"),
    ("pt", "en pt-PT pt-BR", "", "pt-BR"),
    ("pt-MZ", "en pt-BR", "", "pt-BR"),
    ("zh-HK", "en zh-CN zh-TW", "zh-CN zh-TW", "zh-TW"),
    # another language: the first of the list that the mail has, else the files without a tag
    ("sv", "en nb de", "", "en"),
    ("sv", "en nb de", "nb en", "nb"),
    ("sv", "en nb de", "en nb", "en"),
    ("sv", "en nb de", "fi de nb", "de"),
    ("sv", "en nb-NO de", "no en", "nb-NO"),
    ("sv", "en nb", "fi", "en"),
    ("klingon", "en nb", "nb", "nb"),
    # not known
    ("", "en nb de", "nb", "en"),
    ("  ", "en nb de", "nb", "en"),
    (None, "en nb de", "nb", "en"),
]
TAGS = ["en", "en-GB", "en-US", "en-ZA", "de", "de-AT", "nb", "nn", "no-SE", "pt", "pt-BR", "zh-Hans", "zh-Hant", "ar",
        "sr-Latn", "es-419", "he", "fil"]  # fmt: skip
AVAILABLE = st.lists(st.sampled_from(TAGS), min_size=1, max_size=6, unique_by=key)
LISTED = st.lists(st.sampled_from(TAGS), max_size=4, unique_by=key)
WANTED = st.one_of(st.sampled_from([*TAGS, "no", "zh-TW", "en-AU", "es-MX", "sv", "fr-CA", "iw"]), st.text(max_size=60))


@pytest.mark.parametrize(("wanted", "available", "preferred", "chosen"), CHOICES)
def test_the_choice(wanted: str | None, available: str, preferred: str, chosen: str) -> None:
    tags = available.split()
    assert Languages(tuple(tags), tags[0], tuple(preferred.split())).choose(wanted) == chosen


@given(AVAILABLE, LISTED, WANTED)
def test_one_of_the_languages_is_chosen_in_whatever_order_they_are(
    tags: list[str], preferred: list[str], wanted: str
) -> None:
    languages = Languages(tuple(tags), tags[0], tuple(preferred))
    chosen = languages.choose(wanted)
    assert chosen in tags
    assert Languages(tuple(reversed(tags)), tags[0], tuple(preferred)).choose(wanted) == chosen
    if not wanted.strip():
        assert chosen == tags[0]
    elif own := languages.own(wanted):
        assert chosen == own
    else:
        had = [languages.own(listed) for listed in preferred]
        assert chosen == next(filter(None, had), tags[0])


@given(AVAILABLE, LISTED, st.data())
def test_their_exact_language_goes_first(tags: list[str], preferred: list[str], data: st.DataObject) -> None:
    tag = data.draw(st.sampled_from(tags))
    spelled = data.draw(st.sampled_from([tag, tag.lower(), tag.upper(), tag.replace("-", "_")]))
    assert Languages(tuple(tags), tags[0], tuple(preferred)).choose(spelled) == tag


@given(AVAILABLE, LISTED, st.sampled_from(TAGS))
def test_a_text_in_their_language_goes_before_any_other(tags: list[str], preferred: list[str], wanted: str) -> None:
    theirs = [tag for tag in tags if same_language(tag, wanted)]
    if theirs:
        assert Languages(tuple(tags), tags[0], tuple(preferred)).choose(wanted) in theirs


@pytest.mark.parametrize(
    "wanted", ["a" * 5_000, "\x00", "-", "._@", "en-", "🙂", "../../x", "*", "x-private", "i-klingon"]
)
def test_any_text_is_survived(wanted: str) -> None:
    assert Languages(("de", "nb"), "de").choose(wanted) == "de"


@pytest.mark.parametrize(
    ("wanted", "version", "expected"),
    [
        ("en-GB", "en", "en-GB"),
        ("en", "en-GB", "en-GB"),
        ("de", "en", "en"),
        ("de-AT", "de", "de-AT"),
        ("pt", "pt-BR", "pt-BR"),
        ("no", "nb", "nb"),
        ("zh-TW", "zh-Hans", "zh-Hans"),
        ("", "en", "en"),
    ],
)
def test_dates_are_in_the_language_of_the_text_as_their_region_writes_them(
    wanted: str, version: str, expected: str
) -> None:
    assert regional(wanted, version) == expected


@pytest.mark.parametrize(
    ("text", "tag"),
    [("nbb", "nb"), ("norsk", "no"), ("Deutsch", "de"), ("german", "de"), ("iw", "he"), ("eng", "en"), ("xyzzy", "")],
)
def test_the_nearest_tag_is_suggested(text: str, tag: str) -> None:
    assert language_matching.nearest(text) == tag
