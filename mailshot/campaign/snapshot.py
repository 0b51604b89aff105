"""What a launch freezes: all rules as texts, and the templates and settings that a worker needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mailshot.errors import InvalidInput, NotFound, Problem
from mailshot.facts.catalogue import Fact, FactType
from mailshot.facts.language_matching import Languages
from mailshot.profile import topics, utm
from mailshot.profile.preferences import Limit
from mailshot.render import logo, source
from mailshot.render.mail_versions import languages_of
from mailshot.render.mailing import Mailing
from mailshot.render.source import TemplateSource
from mailshot.render.vocabulary import template_names
from mailshot.rulebook.resolve import ResolvedCampaign
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import snapshots
from mailshot.store.eligibility import Gates
from mailshot.store.engine import Connection

#: Snapshots of runs that a process keeps.
MAX_FROZEN = 64
#: The one name in the group of customer facts that is not a fact.
LIFECYCLE = "customer.lifecycle"
COMPANY_FILE = "rules/company.yaml"
_frozen: dict[str, Snapshot] = {}

# Browsers resolve '.' and '..', also percent-encoded, and many proxies refuse or rewrite an encoded slash.
_NO_ADDRESS = "its address in the public archive would not work"


@dataclass(frozen=True)
class Snapshot:
    """A campaign with its rulebook and templates, as read from disk or from the database."""

    rulebook: Rulebook
    #: The campaign with its conditions.
    read: ResolvedCampaign
    #: What is stored: "campaign" (its name), "rules" and "mailing".
    body: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.read.campaign.campaign

    @property
    def utm(self) -> dict[str, str]:
        """The texts of its UTM parameters by key, with placeholders."""
        return _utm(self.rulebook, self.read)

    @property
    def gates(self) -> Gates:
        """What the campaign requires of the customers it mails."""
        return gates(self.rulebook, self.read)

    def languages(self, content: str) -> Languages | None:
        """Return the languages of the mail of a content; None when it has no translations."""
        item = self.body["mailing"]["contents"][content]
        languages = languages_of(TemplateSource(item["name"], item["files"]), self.body["mailing"].get("manner", {}))
        return languages if len(languages.available) > 1 else None

    def mailing(self) -> Mailing:
        """Compile its templates. Raises InvalidInput with every problem in them."""
        return Mailing.from_frozen(self.body["mailing"])


def take_snapshot(rulebook: Rulebook, project: Path, name: str) -> Snapshot:
    """Read a campaign and its templates from a project folder. Raises NotFound or InvalidInput."""
    read = rulebook.campaign(name)
    body = {"campaign": name, "rules": rulebook.freeze(), "mailing": _mailing(rulebook, read, project)}
    return Snapshot(rulebook, read, body)


def faults(edition: Snapshot, level: str = "error") -> list[Problem]:
    """Return the findings of a level in its templates; errors prevent a launch.

    Raises InvalidInput for an invalid template.
    """
    return [finding.as_problem() for findings in edition.mailing().findings(level).values() for finding in findings]


def thaw(body: Mapping[str, Any]) -> Snapshot:
    """Read a stored snapshot."""
    rulebook = Rulebook.thaw(body["rules"])
    return Snapshot(rulebook, rulebook.campaign(body["campaign"]), body)


def load_frozen(connection: Connection, definition: str) -> Snapshot:
    """Return the snapshot with this digest, which is read once in a process: it never changes."""
    if definition not in _frozen:
        if len(_frozen) >= MAX_FROZEN:
            _frozen.pop(next(iter(_frozen)), None)
        _frozen[definition] = thaw(snapshots.body(connection, definition))
    return _frozen[definition]


def as_of(edition: Snapshot, asked: datetime | None, now: datetime) -> datetime:
    """Return the moment that counts as today: asked for, else the campaign's, else the company's, else now."""
    return edition.rulebook.company.today(asked or edition.read.campaign.as_of, now)


def template_vocabulary(rulebook: Rulebook) -> dict[str, list[str]]:
    """Return every name that the templates of a shop may use, by dotted group."""
    facts = rulebook.catalogue
    names = template_names([*facts.customer, LIFECYCLE.partition(".")[2]], facts.product)
    names["consent"] = [*rulebook.topics.by_name, topics.TRACKING]
    names["last_order"] = ["amount", "at", "products"]
    names["last_order.products"] = sorted(facts.product)
    words = rulebook.vocabulary
    for group, values_by_name in (("preference", words.preferences), ("trait", words.traits)):
        if values_by_name:
            names[group] = list(values_by_name)
        names |= {f"{group}.{name}": list(values) for name, values in values_by_name.items() if values}
    return names


def gates(rulebook: Rulebook, read: ResolvedCampaign) -> Gates:
    """Return what a campaign requires of the customers it mails: consent, its cap, how often they want mail."""
    campaign, cap = read.campaign, read.campaign.limits.cap
    return Gates(
        topic=campaign.topic,
        needs_consent=rulebook.topics.get(campaign.topic).requires_consent,
        cap=Limit(cap.mails, cap.per) if cap else None,
        choices=rulebook.statements.limits(),
    )


def _mailing(rulebook: Rulebook, read: ResolvedCampaign, project: Path) -> dict[str, Any]:
    campaign = read.campaign
    facts, logo_file = rulebook.catalogue, _logo_file(rulebook, project)
    contents = _templates(read, project, rulebook, logo_file)
    return {
        "campaign": campaign.campaign,
        "topic": campaign.topic,
        "topic_title": rulebook.topics.get(campaign.topic).title,
        "needs_consent": rulebook.topics.get(campaign.topic).requires_consent,
        "gates": gates(rulebook, read).freeze(),
        "sender": read.sender.freeze(rulebook.company.brand),
        "contents": contents,
        logo.COMPANY: _company(rulebook, logo_file),
        "manner": {
            "language": rulebook.company.language,
            "time_zone": str(rulebook.company.time_zone),
            "currency": rulebook.company.currency,
            **_preferred_languages(rulebook, contents),
        },
        "dates": {"customer": _days(facts.customer), "offers": _days(facts.product)},
        "vocabulary": template_vocabulary(rulebook),
        "link_hosts": list(rulebook.company.link_hosts),
        "rate": campaign.limits.rate,
        **_frozen_utm(rulebook, read),
        **({"archive": True} if campaign.archive else {}),
    }


def _logo_file(rulebook: Rulebook, project: Path) -> tuple[str, bytes] | None:
    """Return path and content of the company's logo; None without one, or if it is on a server. Raises InvalidInput."""
    shown = rulebook.company.logo
    if shown is None or not shown.file:
        return None
    try:
        return logo.read_file(project / "templates", shown.file)
    except logo.UnusableLogo as error:
        document = rulebook.files[COMPANY_FILE]
        problems = document.problems()
        problems.add(document.at("logo", "picture"), error.message, error.remedy)
        raise InvalidInput(problems.found) from None


def _company(rulebook: Rulebook, logo_file: tuple[str, bytes] | None) -> dict[str, Any]:
    """Return what templates name `company.…`."""
    company, shown = rulebook.company, rulebook.company.logo
    picture = logo.address(logo_file[1]) if logo_file else shown and shown.picture
    alt, width = (shown.alt or company.brand, shown.width) if shown else (None, None)
    return dict(zip(logo.FIELDS, (company.brand, picture, alt, width), strict=True))


def _preferred_languages(rulebook: Rulebook, contents: Mapping[str, Any]) -> dict[str, Any]:
    """Return the company's list for mails with translations; no entry where it decides nothing."""
    listed = list(rulebook.company.languages)
    translated = any(TemplateSource(item["name"], item["files"]).translations for item in contents.values())
    return {"languages": listed} if listed and translated else {}


def _utm(rulebook: Rulebook, read: ResolvedCampaign) -> dict[str, str]:
    return utm.merged(rulebook.company.utm, read.sender.utm, read.campaign.utm)


def _frozen_utm(rulebook: Rulebook, read: ResolvedCampaign) -> dict[str, Any]:
    """Return the UTM parameters of each content; no entry without any, so that older snapshots keep their digest."""
    campaign, texts = read.campaign, _utm(rulebook, read)
    names = {"campaign": campaign.campaign, "sender": campaign.sender, "topic": campaign.topic}
    contents = [item.name for item in campaign.content]
    return {"utm": {name: utm.filled(texts, {**names, "content": name}) for name in contents}} if texts else {}


def _days(facts: Mapping[str, Fact]) -> list[str]:
    """Return the names of the shop's own facts that are days: they are stored as texts."""
    return sorted(name for name, fact in facts.items() if fact.own and fact.type is FactType.date)


def _can_be_addressed(name: str) -> bool:
    """Return whether a name works as the last part of a URL. Frozen campaigns are not asked: they are launched."""
    return name.strip() not in ("", ".", "..") and "/" not in name and "\\" not in name


def _templates(
    read: ResolvedCampaign, project: Path, rulebook: Rulebook, logo_file: tuple[str, bytes] | None
) -> dict[str, Any]:
    templates: dict[str, Any] = {}
    problems = rulebook.campaigns[read.campaign.campaign].problems()
    for number, content in enumerate(read.campaign.content):
        if not _can_be_addressed(content.name):
            node = rulebook.campaigns[read.campaign.campaign].at("content", number, "name")
            problems.add(node, f"'{content.name}' cannot be the name of a content: {_NO_ADDRESS}", "Rename it.")
        try:
            read_source = source.read(project / "templates", content.template)
        except NotFound as error:
            node = rulebook.campaigns[read.campaign.campaign].at("content", number, "template")
            problems.add(node, error.message, error.remedy)
            continue
        templates[content.name] = (read_source.with_logo(*logo_file) if logo_file else read_source).freeze()
    problems.raise_if_any()
    return templates
