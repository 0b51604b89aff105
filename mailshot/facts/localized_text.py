"""Texts that a shop writes for its customers in one language or several: the titles of topics, questions and facts.

    title: Weekly offers
    title: {en: Weekly offers, de: Angebote der Woche}

The first language listed is the shop's own: customers of other languages get it, and so do commands and plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import PlainValidator

from mailshot.facts import language_matching
from mailshot.facts.language_matching import Languages


class LocalizedText(str):
    """A text with its translations. As a string it is the text in the first language listed."""

    #: By BCP 47 tag, at least one.
    translations: Mapping[str, str]

    def __new__(cls, translations: Mapping[str, str]) -> Self:
        made = super().__new__(cls, next(iter(translations.values())))
        made.translations = dict(translations)
        return made

    def __getnewargs__(self) -> tuple[Mapping[str, str]]:  # type: ignore[override]  # for copies and pickles
        return (self.translations,)


def in_language(text: str, language: str) -> str:
    """Return a text in a language (BCP 47) or the nearest it has, else in the first one listed."""
    if not isinstance(text, LocalizedText):
        return text
    available = languages_of(text)
    return text.translations[Languages(available, available[0]).choose(language)]


def languages_of(text: str) -> tuple[str, ...]:
    """Return the languages that a text is written in, the shop's own first; none for a text that is written once."""
    return tuple(text.translations) if isinstance(text, LocalizedText) else ()


def _read(value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict) or not value:
        raise ValueError("must be a text, or a text for each language; write for example '{en: Recipes, de: Rezepte}'")
    tags = language_matching.check_distinct(tuple(language_matching.read_tag(str(code)) for code in value))
    for code, text in value.items():
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"must have a text for '{code}'; write it, or remove the language")
    return LocalizedText(dict(zip(tags, value.values(), strict=True)))


#: The type of a field of a YAML file that holds such a text.
ShopText = Annotated[str, PlainValidator(_read, json_schema_input_type=str | dict[str, str])]
