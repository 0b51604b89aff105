"""The frozen definition of a run's mails, compiled."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from mailshot.facts.locales import LocaleFormat
from mailshot.render import logo, vocabulary
from mailshot.render.mail_versions import MailVersions, compile_versions
from mailshot.render.source import TemplateSource
from mailshot.render.template import Finding


@dataclass(frozen=True)
class Mailing:
    """The frozen definition of a run's mails. `sender` is what `profile.senders.Sender.freeze` returns."""

    campaign: str
    topic: str
    topic_title: str
    sender: Mapping[str, Any]
    mails: Mapping[str, MailVersions]
    vocabulary: Mapping[str, Collection[str]]
    """The names that templates may use, by dotted group."""
    bulk: bool = True
    """Whether the topic requires consent: then an unsubscribe link and the postal address are mandatory."""
    locale_format: LocaleFormat = field(default_factory=LocaleFormat)
    """Language, time zone and currency of the company."""
    dates: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Customer and offer facts of type date, which are stored as text."""
    archive: bool = False
    """Whether a copy without customer data is in the public archive."""
    company: Mapping[str, Any] = field(default_factory=dict)
    """Brand and logo, as templates name them; empty in runs of early versions."""

    @cached_property
    def used_names(self) -> frozenset[str]:
        """The dotted names that its templates use."""
        return frozenset[str]().union(*(mail.facts for mail in self.mails.values()))

    @cached_property
    def unknown(self) -> Mapping[str, Any]:
        """Every name as None: what is not known prints nothing."""
        return vocabulary.example_values(self.vocabulary, None, items=0)

    def findings(self, level: str) -> dict[str, list[Finding]]:
        """Return the findings of a level by content, without those that do not apply to this topic."""
        return {
            name: [
                finding for finding in mail.all_findings() if finding.level == level and (self.bulk or not finding.bulk)
            ]
            for name, mail in self.mails.items()
        }

    def enclosed_bytes(self) -> dict[str, int]:
        """Return the bytes of pictures and attachments in a mail of each content that has some.

        Of a mail with translations, those of the version that has most.
        """
        return {name: size for name, mail in self.mails.items() if (size := mail.enclosed_bytes())}

    @classmethod
    def from_frozen(cls, body: Mapping[str, Any], with_trial: bool = True) -> Mailing:
        """Compile a frozen mailing. `with_trial=False` skips the trial render, which the plan already did.

        Raises InvalidInput if a template is invalid.
        """
        words = vocabulary.typed_vocabulary(body["vocabulary"])
        hosts, manner = tuple(body["link_hosts"]), body.get("manner", {})
        mails = {
            name: compile_versions(TemplateSource.thaw(item), words, manner, allowed_hosts=hosts, with_trial=with_trial)
            for name, item in body["contents"].items()
        }
        head = (body["campaign"], body["topic"], body["topic_title"], body["sender"])
        thawed = cls(*head, mails, words, body.get("needs_consent", True))
        dates, archive = body.get("dates", {}), body.get("archive", False)
        company = body.get(logo.COMPANY, {})
        return replace(thawed, locale_format=_locale_format(manner), dates=dates, archive=archive, company=company)


def _locale_format(company: Mapping[str, str]) -> LocaleFormat:
    """Return the company's locale from the frozen settings; runs of early versions have none."""
    if not company:
        return LocaleFormat()
    return LocaleFormat("", ZoneInfo(company["time_zone"]), company["language"], company["currency"])
