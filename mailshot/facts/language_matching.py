"""Chooses the language for a customer among those that a mail is written in, by BCP 47 tags.

Exact tags come first, then more general ones (RFC 4647, lookup), with what CLDR knows: `zh-TW` is written in the script
of `zh-Hant`, `es-MX` is closer to `es-419` than to `es`. Start at `Languages.choose`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from mailshot.facts import locales

#: Bokmål is what `no` means in practice.
_SAME = {"no": "nb"}
#: What a reader of a language reads best after it; by CLDR, Norwegian is the parent of Nynorsk.
_NEXT = {"nn": "nb"}
_LONGEST_TAG = 40


@dataclass(frozen=True, slots=True)
class _Tag:
    """A tag in parts, in lower case; `script` is the likely one where the tag has none."""

    key: str
    language: str
    script: str
    region: str

    @property
    def forms(self) -> tuple[str, ...]:
        """The tag with its script, and without it where that says the same."""
        place = [self.region] if self.region else []
        whole = "-".join([self.language, self.script, *place])
        usual = _likely_script(self.language, self.region) == self.script
        return (whole, "-".join([self.language, *place])) if usual else (whole,)


@dataclass(frozen=True, slots=True)
class Languages:
    """The languages that a mail is written in, as BCP 47 tags.

    `default` is one of them, for customers whose language is not known. `preferred` is the company's list.
    """

    available: tuple[str, ...]
    default: str
    preferred: tuple[str, ...] = ()

    def choose(self, wanted: str | None) -> str:
        """Return the language for a customer: their own, else the first preferred one, else the default."""
        if not (wanted or "").strip():
            return self.default
        own = self.own(wanted)
        return own or next(filter(None, map(self.own, self.preferred)), self.default)

    def own(self, wanted: str | None) -> str | None:
        """Return the available language that is a customer's own, exactly or nearly; None when there is none."""
        return _own(self.available, self.preferred, (wanted or "")[:_LONGEST_TAG])


def key(tag: str) -> str:
    """Return a tag for comparison: `pt_BR` and `pt-br` are equal, and so are `no` and `nb`."""
    return _read(tag).key


def same_language(first: str, second: str) -> bool:
    """Return whether two tags name one language in one script, perhaps of different regions."""
    one, other = _read(first), _read(second)
    return (one.language, one.script) == (other.language, other.script)


def regional(wanted: str, version: str) -> str:
    """Return how to write dates for a customer in a text in the language `version`.

    In the manner of their own region if the language is theirs: in an English text, British dates for `en-GB`.
    """
    return wanted if same_language(wanted, version) and _read(wanted).region else version


@lru_cache(maxsize=4096)
def _own(available: tuple[str, ...], preferred: tuple[str, ...], wanted: str) -> str | None:
    by_key = {key(tag): tag for tag in reversed(available)}
    for candidate in _fallbacks(wanted):
        if candidate in by_key:
            return by_key[candidate]
    # Only other regions of the language are there, as en-GB for en.
    customer, order = _read(wanted), [key(tag) for tag in preferred]
    family = set(_parents(customer))

    def rank(tag: str) -> tuple[bool, int, bool, bool, str]:
        region = _read(tag)
        listed = order.index(region.key) if region.key in order else len(order)
        related = not family.isdisjoint(_parents(region))
        return region.script != customer.script, listed, not related, not _is_main_region(region), tag

    return min((tag for tag in available if _read(tag).language == customer.language), key=rank, default=None)


def _fallbacks(wanted: str) -> Iterator[str]:
    """Give the keys that suit a customer, the exact one first, the language alone last."""
    customer = _read(wanted)
    yield customer.key
    yield from customer.forms
    yield from _parents(customer)
    yield f"{customer.language}-{customer.script}"
    yield customer.language
    if customer.language in _NEXT:
        yield _NEXT[customer.language]


def _parents(tag: _Tag) -> Iterator[str]:
    """Give the keys of the larger regions that CLDR puts a region into: en-001 for en-ZA, es-419 for es-MX."""
    parents = locales.cldr("parent_exceptions")
    seen = {tag.key}
    while tag.region:
        region, script = tag.region.upper(), tag.script.title()
        names = (f"{tag.language}_{region}", f"{tag.language}_{script}_{region}")
        tag = _read(next((parents[name] for name in names if parents.get(name)), ""))
        if not tag.region or tag.key in seen:
            return
        seen.add(tag.key)
        yield from tag.forms


def _is_main_region(tag: _Tag) -> bool:
    likely = locales.cldr("likely_subtags")
    expanded = likely.get(f"{tag.language}_{tag.script.title()}") or likely.get(tag.language) or ""
    return expanded.lower().rpartition("_")[2] == tag.region


def _likely_script(language: str, region: str) -> str:
    likely = locales.cldr("likely_subtags")
    expanded = likely.get(f"{language}_{region.upper()}") or likely.get(language) or ""
    return expanded.lower().split("_")[1] if expanded.count("_") == 2 else ""


@lru_cache(maxsize=4096)
def _read(tag: str) -> _Tag:
    """Read a tag in any case; also of an operating system (`en_GB.utf8`), and old names of languages (`iw`)."""
    text: str = re.split("[.@]", tag.strip().replace("_", "-").lower())[0]
    first, *others = text.split("-")
    language, *rest = [*locales.cldr("language_aliases").get(first, first).lower().split("_"), *others]
    language = _SAME.get(language, language)
    script = rest.pop(0) if rest and re.fullmatch("[a-z]{4}", rest[0]) else ""
    region = rest.pop(0) if rest and re.fullmatch("[a-z]{2}|[0-9]{3}", rest[0]) else ""
    region = (locales.country_code(region) or region).lower()
    whole = "-".join(filter(None, (language, script, region, *rest)))
    return _Tag(whole, language, script or _likely_script(language, region), region)


def nearest(text: str) -> str:
    """Return the tag that a text was probably meant as: `nb` for nbb, `de` for German and Deutsch; "" if unclear."""
    word = text.strip().lower()
    if renamed := locales.cldr("language_aliases").get(word):
        return renamed.replace("_", "-")
    names: dict[str, str] = {}
    for code in locales.YES_NO:
        for name in (code, locales.language_name(code), locales.language_name(code, code)):
            names.setdefault(name.lower(), code)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.75)
    return names[close[0]] if close else ""


def read_tag(code: str) -> str:
    """Return the BCP 47 tag of a language as it is usually written. Raises ValueError if `code` is not one."""
    tag = locales.language_tag(code)
    if tag is None or not locales.is_language(tag):
        close = nearest(code)
        hint = f"did you mean '{close}'?" if close else "write for example 'nb', 'en-GB' or 'zh-Hant' (BCP 47)"
        raise ValueError(f"'{code}' is not a language; {hint}")
    return tag


def check_distinct(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tags. Raises ValueError when two of them are the same language."""
    keys = [key(tag) for tag in tags]
    for number, tag_key in enumerate(keys):
        if tag_key in keys[:number]:
            raise ValueError(f"'{tags[keys.index(tag_key)]}' and '{tags[number]}' are the same language")
    return tags
