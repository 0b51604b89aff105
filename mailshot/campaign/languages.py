"""In which language the customers of a plan would get their mail, and how many have a language that a mail lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mailshot.campaign.snapshot import Snapshot
from mailshot.facts.language_matching import Languages
from mailshot.store import plans
from mailshot.store.engine import Connection

#: Languages without a version that are named; the others are counted together.
MAX_NAMED = 12


@dataclass(slots=True)
class LanguageUse:
    """How many customers get each version of one mail."""

    #: The language of the files without a tag.
    base: str
    #: Customers by the language of the version that they get, that of the files without a tag last.
    versions: dict[str, int]
    #: Customers whose language no version has, by that language.
    without_version: dict[str, int] = field(default_factory=dict)
    #: Customers whose language is not known.
    without_language: int = 0
    #: Ids of some customers of each version.
    samples: dict[str, list[int]] = field(default_factory=dict)

    def words(self) -> str:
        """Return the counts in one line."""
        numbers = sorted(self.versions.items(), key=lambda item: (item[0] == self.base, -item[1]))
        counts = ", ".join(f"{tag}{' (base)' * (tag == self.base)} {number:,}" for tag, number in numbers)
        other = sum(self.without_version.values())
        if not other:
            return counts
        named = list(self.without_version.items())[:MAX_NAMED]
        rest = other - sum(number for _, number in named)
        shown = [f"{language} {number:,}" for language, number in named] + [f"others {rest:,}"] * bool(rest)
        return f"{counts}, of which {other:,} {'has' if other == 1 else 'have'} another language ({', '.join(shown)})"

    def as_dict(self) -> dict[str, Any]:
        return {
            "base": self.base,
            "versions": dict(self.versions),
            "without_version": dict(self.without_version),
            "without_language": self.without_language,
        }


def count_languages(connection: Connection, edition: Snapshot, plan_id: str) -> dict[str, LanguageUse]:
    """Count a plan's customers by the version that they would get now, for each content with translations."""
    languages = dict(_translated(edition))
    if not languages:
        return {}
    available = {
        content: LanguageUse(mail.default, dict.fromkeys((*mail.available[1:], mail.default), 0))
        for content, mail in languages.items()
    }
    for count in plans.count_languages(connection, plan_id, languages):
        mail, use = languages[count.content], available[count.content]
        tag = mail.choose(count.language)
        use.versions[tag] += count.customers
        use.samples.setdefault(tag, []).extend(dict.fromkeys(count.samples))
        language = (count.language or "").strip()
        if not language:
            use.without_language += count.customers
        elif mail.own(language) is None:
            use.without_version[language] = use.without_version.get(language, 0) + count.customers
    return available


def describe_choice(edition: Snapshot, content: str, language: str | None) -> str:
    """Return in words which version of a mail a customer with this language gets; "" when it has only one."""
    mail = edition.languages(content)
    if mail is None:
        return ""
    chosen = mail.choose(language)
    name = f"{chosen} (the files without a tag)" if chosen == mail.default else chosen
    if not (language or "").strip():
        return f"{name}, because the customer's language is not known"
    return name if mail.own(language) else f"{name}, because the mail has no version in '{language}'"


def _translated(edition: Snapshot) -> Iterator[tuple[str, Languages]]:
    contents: Mapping[str, Any] = edition.body["mailing"]["contents"]
    for content in contents:
        if mail := edition.languages(content):
            yield content, mail
