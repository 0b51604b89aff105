"""One mail in all its languages: the version of the files without a tag, and a version for each translation.

A version takes its parts from the translation where it has them. Each part is rendered in the language of its own file,
so that an English text never holds the name of a German month. Start at `MailVersions.choose`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from mailshot import errors
from mailshot.facts import language_matching
from mailshot.facts.language_matching import Languages
from mailshot.facts.locales import ENGLISH, LocaleFormat
from mailshot.render import enclosures, filters, mime
from mailshot.render.lint import Finding
from mailshot.render.mime import EnclosedFile
from mailshot.render.problems import Place
from mailshot.render.source import TemplateSource
from mailshot.render.template import MailTemplate, Vocabulary, compile_mail
from mailshot.render.variables import LANGUAGE

HTML, SUBJECT, TEXT = "html", "subject", "text"
PartValues = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class MailVersion:
    """One version of a mail. `parts` are the languages of its "html", "subject" and "text"."""

    language: str
    template: MailTemplate
    parts: Mapping[str, str]
    enclosed: Sequence[EnclosedFile] = ()
    """Its pictures and attachments, encoded."""

    def files_in(self, html: str) -> list[EnclosedFile]:
        """Return the attachments, and the pictures that a rendered mail shows."""
        return [file for file in self.enclosed if not file.content_id or f"cid:{file.content_id}" in html]


@dataclass(frozen=True, slots=True)
class MailVersions:
    """The versions of one mail by their language. That of the files without a tag is the first of `languages`."""

    languages: Languages
    by_language: Mapping[str, MailVersion]
    findings: tuple[Finding, ...] = ()

    @property
    def translated(self) -> bool:
        return len(self.by_language) > 1

    def choose(self, language: str | None) -> MailVersion:
        """Return the version for a customer by their language."""
        return self.by_language[self.languages.choose(language) if self.translated else self.languages.default]

    def all_findings(self) -> list[Finding]:
        """Return the findings of all versions, each once."""
        findings = (finding for version in self.by_language.values() for finding in version.template.findings)
        return [*dict.fromkeys((*findings, *self.findings))]

    @property
    def facts(self) -> frozenset[str]:
        """The dotted names of the facts that any version uses."""
        return frozenset[str]().union(*(version.template.facts for version in self.by_language.values()))

    @property
    def files(self) -> frozenset[str]:
        """The files that any version consists of."""
        return frozenset[str]().union(*(version.template.files for version in self.by_language.values()))

    @property
    def pictures(self) -> frozenset[str]:
        """The paths of the pictures of any version."""
        return frozenset(path for version in self.by_language.values() for path in version.template.pictures)

    @property
    def attachments(self) -> frozenset[str]:
        """The paths of the attachments."""
        return frozenset(path for version in self.by_language.values() for path in version.template.attachments)

    def enclosed_bytes(self) -> int:
        """Return the bytes of pictures and attachments in the version that has most."""
        return max(sum(file.size for file in version.enclosed) for version in self.by_language.values())

    def values(self, version: MailVersion, company: LocaleFormat) -> PartValues:
        """Return the values that depend on the language, by part; `company` has the customer's own language.

        A mail without translations formats dates for the customer, whatever the language of its texts. Its values are
        the same for all parts, and named once.
        """
        if not self.translated:
            return {HTML: {LANGUAGE: version.language, filters.LOCALE_FORMAT: company}}
        return {
            part: {LANGUAGE: tag, filters.LOCALE_FORMAT: self._format(tag, company)}
            for part, tag in version.parts.items()
        }

    def _format(self, tag: str, company: LocaleFormat) -> LocaleFormat:
        money = "" if tag == self.languages.default else tag
        return replace(company, language=language_matching.regional(company.language, tag), money_language=money)


def compile_versions(
    source: TemplateSource,
    vocabulary: Vocabulary,
    manner: Mapping[str, Any],
    *,
    allowed_hosts: Collection[str] = (),
    with_trial: bool = True,
) -> MailVersions:
    """Compile all versions of a mail. `manner` holds the company's `language`, and its `languages` in order.

    Raises InvalidInput with every problem of every version.
    """
    languages = languages_of(source, manner)
    versions: dict[str, MailVersion] = {}
    problems: dict[errors.Problem, None] = {}
    for tag, version in source.versions().items():
        try:
            mail = compile_mail(version, vocabulary, allowed_hosts=allowed_hosts, with_trial=with_trial)
        except errors.InvalidInput as error:
            problems |= dict.fromkeys(error.problems)
            continue
        versions.setdefault(tag or languages.default, _version(version, mail, languages.default))
    if problems:
        raise errors.InvalidInput([*problems])
    return MailVersions(languages, versions, tuple(_findings(source, languages)))


def languages_of(source: TemplateSource, manner: Mapping[str, Any]) -> Languages:
    """Return the languages of a mail, that of the files without a tag first."""
    default = str(manner.get("language") or ENGLISH)
    return Languages((default, *source.translations), default, tuple(manner.get("languages", ())))


def _version(source: TemplateSource, mail: MailTemplate, default: str) -> MailVersion:
    own, tag = source.own_parts, source.language or default
    html = tag if "body.html" in own else default
    text = tag if "body.txt" in own else html
    subject = tag if "subject.txt" in own else default
    return MailVersion(tag, mail, {HTML: html, SUBJECT: subject, TEXT: text}, _encoded_files(source, mail))


def _encoded_files(source: TemplateSource, mail: MailTemplate) -> tuple[EnclosedFile, ...]:
    """Encode the pictures and attachments of a template, once for all its mails."""
    pictures = {content_id: path for path, content_id in mail.pictures.items()}
    wanted = [*pictures.items(), *(("", path) for path in mail.attachments)]
    return tuple(
        mime.encode_file(PurePosixPath(path).name, enclosures.media_type(path), source.enclosed[path], content_id)
        for content_id, path in wanted
    )


def _findings(source: TemplateSource, languages: Languages) -> Sequence[Finding]:
    """Return an error for a second version in the company's language, and a warning for one that its list lacks."""
    findings: list[Finding] = []
    default = languages.default
    for tag, parts in source.translations.items():
        place = Place(source.file(min(parts.values())), 0, 0)
        if language_matching.key(tag) == language_matching.key(default):
            message = (
                f"The files without a tag are in the company's language, '{default}', too. "
                "Delete this file, or set `language` in rules/company.yaml to the language of the others."
            )
            findings.append(Finding("error", message, place))
        elif languages.preferred and not any(
            language_matching.same_language(tag, listed) for listed in languages.preferred
        ):
            listed = ", ".join(languages.preferred)
            message = f"'{tag}' is not among the `languages` of rules/company.yaml ({listed})."
            findings.append(Finding("warning", message, place))
    return findings
