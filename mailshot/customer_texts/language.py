"""One of the languages that customers can read our pages in, and the choice among them for a request.

The compiled catalogues are read by the standard library; Babel is needed only to make them.
"""

from __future__ import annotations

import gettext as catalogues
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from mailshot.facts import language_matching, locales, localized_text
from mailshot.facts.language_matching import Languages

DOMAIN = "mailshot"
FOLDER = Path(__file__).parent
#: By BCP 47 tag, each with its own name.
LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español"}
#: The parameter of a page's address that chooses a language.
PARAMETER = "lang"
_AVAILABLE = Languages(tuple(LANGUAGES), locales.ENGLISH)
# More languages, and longer tags, are not read from a header: anyone can make it long, and what was read is cached.
_MAX_ACCEPTED, _MAX_TAG_CHARACTERS = 20, 40


@dataclass(frozen=True, slots=True)
class CustomerLanguage:
    """A language with everything that is written differently in it.

    `tag` is one of LANGUAGES. Dates are written as in `region`, a tag such as 'de-AT'. `asked` is whether the customer
    chose it by a link, so that every link of the page must repeat it.
    """

    tag: str
    region: str
    asked: bool = False

    def gettext(self, message: str, **values: object) -> str:
        """Return one of our own texts, with `%(name)s` replaced by the value of that name."""
        return translations(self.tag).gettext(message) % values

    def shop_text(self, text: str) -> str:
        """Return a text of the shop in this language, or as the shop wrote it first."""
        return localized_text.in_language(text, self.tag)

    def date(self, day: date, zone: ZoneInfo, company: str) -> str:
        """Return a day in words; `company` is the company's language, whose region decides where none is known."""
        return locales.LocaleFormat(self.region, zone, company).date(day)

    def quoted(self, texts: Iterable[str]) -> str:
        """Return texts of the shop in quotation marks, separated by commas."""
        return ", ".join(self.gettext("“%(text)s”", text=self.shop_text(text)) for text in texts)

    def url(self, path: str, **parameters: object) -> str:
        """Return the address of one of our pages that keeps the chosen language."""
        query = urlencode({**parameters, **({PARAMETER: self.tag} if self.asked else {})})
        return f"{path}?{query}" if query else path


@lru_cache(maxsize=len(LANGUAGES))
def translations(tag: str) -> catalogues.NullTranslations:
    """Return the catalogue of a language; English needs none."""
    if tag == locales.ENGLISH:
        return catalogues.NullTranslations()
    return catalogues.translation(DOMAIN, FOLDER, [tag])


def choose(asked: str | None, own: str | None, accepted: str = "", company: str = "") -> CustomerLanguage:
    """Choose the language that a customer asked for, else has, else accepts, else the company's, else English.

    All are tags (BCP 47) or empty, `accepted` is the Accept-Language header (RFC 9110). Unknown ones are skipped.
    """
    if asked in LANGUAGES:
        return CustomerLanguage(asked, _region(asked, [own or "", *_read_accepted(accepted)]), asked=True)
    for preferred in (own, *_read_accepted(accepted), company):
        if preferred and (tag := _AVAILABLE.own(preferred)):
            return CustomerLanguage(tag, language_matching.regional(preferred, tag))
    return CustomerLanguage(locales.ENGLISH, locales.ENGLISH)


def _region(tag: str, preferred: Iterable[str]) -> str:
    regions = (language_matching.regional(own, tag) for own in preferred if own)
    return next((region for region in regions if region != tag), tag)


def _read_accepted(header: str) -> list[str]:
    """Return the languages of an Accept-Language header, the preferred ones first."""
    return [language for _, language in sorted(_weighed(header), key=lambda item: -item[0])]


def _weighed(header: str) -> Iterator[tuple[float, str]]:
    for entry in header.split(",")[:_MAX_ACCEPTED]:
        language, _, parameter = entry.partition(";")
        name, _, weight = parameter.partition("=")
        try:
            quality = float(weight) if name.strip().lower() == "q" else 1.0
        except ValueError:
            quality = 0.0
        tag = language.strip()
        if tag not in ("", "*") and len(tag) <= _MAX_TAG_CHARACTERS and quality > 0:
            yield quality, tag
