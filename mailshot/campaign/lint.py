"""Warnings about conditions that are probably not intended, each with its place in the files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path

from mailshot.audience import lint, nodes
from mailshot.audience.lint import CUSTOMER, PRODUCT, LiteralUse
from mailshot.audience.nodes import Condition
from mailshot.campaign.snapshot import COMPANY_FILE, template_vocabulary
from mailshot.documents import Document
from mailshot.errors import InvalidInput, NotFound, Problem, nearest
from mailshot.facts.language_matching import same_language
from mailshot.facts.localized_text import languages_of
from mailshot.profile import utm
from mailshot.profile.utm import UtmParameters
from mailshot.render import logo, source
from mailshot.render.mail_versions import compile_versions
from mailshot.render.vocabulary import typed_vocabulary
from mailshot.rulebook.campaign import CampaignDefinition
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import values
from mailshot.store.engine import Connection

PREFERENCES, SENDERS = "rules/preferences.yaml", "rules/senders.yaml"
TOPICS, FACTS = "rules/topics.yaml", "rules/facts.yaml"


def rule_warnings(rulebook: Rulebook, today: date) -> list[Problem]:
    """Return the warnings about all rules, in the order of files and lines."""
    warnings: dict[Problem, None] = {}
    for file, name, condition in _conditions(rulebook):
        lines = rulebook.files[file].text.splitlines()
        for warning in lint.find_warnings(condition, today):
            excerpt = lines[warning.line - 1] if 0 < warning.line <= len(lines) else ""
            column = len(excerpt) - len(excerpt.lstrip()) + 1
            warnings[Problem(file, warning.line, column, f"{name}: {warning.message}", excerpt)] = None
    others = (*_unused_implied(rulebook), *_utm_without_hosts(rulebook), *_missing_translations(rulebook))
    warnings |= dict.fromkeys(others)
    return sorted(warnings, key=lambda problem: (problem.file, problem.line))


def _unused_implied(rulebook: Rulebook) -> Sequence[Problem]:
    """Return warnings for values that answers imply and nothing else uses: they may be misspelt."""
    document = rulebook.files.get(PREFERENCES)
    if document is None:
        return ()
    used = {pair for _, _, condition in _conditions(rulebook) for pair in _named(condition)}
    used |= {(trait.name, never.value) for trait in rulebook.traits for never in trait.nevers}
    anything = {trait.name for trait in rulebook.traits if trait.each}
    problems = document.problems()
    for question in rulebook.statements:
        known = {*question.values, *(value for name, value in used if name == question.name)}
        for answer, implied in question.implications.direct.items():
            for value in implied:
                if value not in known and question.name not in anything:
                    node = document.at(question.name, "values", answer, "implies")
                    message = (
                        f"'{answer}' implies '{value}', which is not used in any rule, guard, trait or other answer"
                    )
                    problems.add(node, message, nearest(value, known - {answer}))
    return problems.sorted_problems()


def _missing_translations(rulebook: Rulebook) -> Iterator[Problem]:
    """Return a warning for each text for customers that lacks a language which other such texts have."""
    texts = [entry for entry in _texts_for_customers(rulebook) if entry[2]]
    languages = dict.fromkeys(tag for _, _, text in texts for tag in languages_of(text))
    for document, path, text in texts:
        own = languages_of(text) or (rulebook.company.language,)
        missing = [tag for tag in languages if not any(same_language(tag, known) for known in own)]
        if missing:
            problems = document.problems()
            message = f"'{text}' is not written in {' or '.join(missing)}, as other texts for customers are"
            remedy = f"Write {{{', '.join(f'{tag}: …' for tag in (*own, *missing))}}}, even if the text is the same."
            problems.add(document.at(*path), message, remedy)
            yield from problems.found


def _texts_for_customers(rulebook: Rulebook) -> Iterator[tuple[Document, Sequence[str], str]]:
    """Give the shop's own texts on the preference page, with their place."""
    for file, path, text in _texts_by_file(rulebook):
        if file in rulebook.files:
            yield rulebook.files[file], path, text


def _texts_by_file(rulebook: Rulebook) -> Iterator[tuple[str, Sequence[str], str]]:
    for topic in rulebook.topics:
        yield TOPICS, (topic.name, "title"), topic.title
        yield TOPICS, (topic.name, "help"), topic.help
    for question in rulebook.statements:
        yield PREFERENCES, (question.name, "title"), question.title
        yield PREFERENCES, (question.name, "help"), question.help
        for value, label in question.values.items():
            yield PREFERENCES, (question.name, "values", value), label
    for fact in rulebook.catalogue.customer.values():
        if fact.own and not fact.hidden:
            yield FACTS, ("customer", fact.name, "title"), fact.title


def unused_logo(rulebook: Rulebook, used: Collection[str]) -> list[Problem]:
    """Return a warning for a logo that no mail shows; `used` are the dotted names that the mails of all campaigns use.

    The layout of a project may be older than the setting.
    """
    if rulebook.company.logo is None or logo.FACT in used or not used:
        return []
    document = rulebook.files[COMPANY_FILE]
    problems = document.problems()
    remedy = 'Write <img src="{{ company.logo }}" alt="{{ company.logo_alt }}"> into templates/_base/layout.html.'
    problems.add(document.at("logo"), "'logo' has no effect: no mail of a campaign shows it", remedy)
    return problems.found


def unread_replies(rulebook: Rulebook, senders: Iterable[str]) -> list[Problem]:
    """Return a warning for each of these senders with `replies: mailbox`; for a project whose mailbox is not set up."""
    warnings: list[Problem] = []
    for name in senders:
        sender, document = rulebook.senders[name], rulebook.files[SENDERS]
        if sender.replies:
            problems = document.problems()
            message = f"'replies' has no effect: no mailbox is set up, so replies go to {sender.address}"
            remedy = "Set MAILSHOT_MAILBOX (see docs/feedback.md), or write 'reply_to: ADDRESS' instead."
            problems.add(document.at(name, "replies"), message, remedy)
            warnings += problems.found
    return warnings


def _utm_without_hosts(rulebook: Rulebook) -> Iterator[Problem]:
    """Return a warning for UTM parameters that no link gets, because the company names no hosts of its own."""
    if rulebook.company.link_hosts:
        return
    for document, path, parameters in _utm(rulebook):
        if utm.merged(parameters):
            problems = document.problems()
            message = "'utm' has no effect: 'link_hosts' in rules/company.yaml names no host"
            problems.add(document.at(*path), message, "Name the hosts of your shop there, such as [shop.example.com].")
            yield from problems.found


def _utm(rulebook: Rulebook) -> Iterator[tuple[Document, Sequence[str], UtmParameters]]:
    """Give the UTM parameters of the company, each sender and each campaign, with their place."""
    if COMPANY_FILE in rulebook.files:
        yield rulebook.files[COMPANY_FILE], ("utm",), rulebook.company.utm
    for name, sender in rulebook.senders.items():
        yield rulebook.files[SENDERS], (name, "utm"), sender.utm
    for name, document in rulebook.campaigns.items():
        yield document, ("utm",), rulebook.campaign(name).campaign.utm


def _named(condition: Condition) -> Iterator[tuple[str, str]]:
    """Give every value of a preference or trait that a condition names."""
    if isinstance(condition, nodes.HasPreference | nodes.HasTrait):
        yield condition.name, condition.value
    for part in condition.children:
        yield from _named(part)


def _conditions(rulebook: Rulebook) -> Iterator[tuple[str, str, Condition]]:
    for audience in rulebook.audiences():
        yield audience.file, audience.name, audience.condition
    for guard in rulebook.guards:
        yield "rules/guards.yaml", guard.name, guard.customers
    for name in rulebook.campaigns:
        read = rulebook.campaign(name)
        for content, condition in read.when.items():
            yield read.file, content, condition


def unknown_values(connection: Connection, rulebook: Rulebook) -> list[str]:
    """Return a warning for each value that rules name and no row has; none where nothing is imported yet."""
    warnings: dict[str, None] = {}
    for where, mention in _mentions(rulebook):
        expected = _expected(rulebook, mention)
        # The names of contents are in the campaign files, and may be new.
        if mention.fact.name == "content" or mention.value in expected or values.value_exists(connection, mention):
            continue
        if known := sorted({*expected, *values.usual(connection, mention)}):
            place = f"{where}:{mention.line}" if mention.line else where
            whose = mention.of if mention.of in (PRODUCT, CUSTOMER) else f"'{mention.of}'"
            message = f"{place}: no {whose} has the {mention.fact.name} '{mention.value}'."
            warnings[f"{message} {nearest(mention.value, known)}"] = None
    return list(warnings)


def _expected(rulebook: Rulebook, mention: LiteralUse) -> set[str]:
    """Return the values that are valid before any row has them."""
    known = {"campaign": rulebook.campaigns, "topic": rulebook.topics.by_name}
    return set(known.get(mention.fact.name, ())) if mention.of != PRODUCT and not mention.fact.own else set()


def _mentions(rulebook: Rulebook) -> Iterator[tuple[str, LiteralUse]]:
    for audience in rulebook.audiences():
        yield from _at(audience.file, lint.literal_uses(audience.condition))
    for guard in rulebook.guards:
        yield from _at("rules/guards.yaml", lint.literal_uses(guard.customers))
    for name, selection in rulebook.groups.items():
        yield from _at(f"rules/products.yaml, {name}", lint.product_literal_uses(selection))
    for name in rulebook.campaigns:
        read = rulebook.campaign(name)
        for condition in read.when.values():
            yield from _at(read.file, lint.literal_uses(condition))
        for selection in (*read.offered.values(), *read.about.values(), read.goal):
            yield from _at(read.file, lint.product_literal_uses(selection))


def _at(where: str, uses: Iterable[LiteralUse]) -> Iterator[tuple[str, LiteralUse]]:
    return ((where, mention) for mention in uses)


def template_problems(rulebook: Rulebook, project: Path, campaign: str) -> list[Problem]:
    """Return the problems of the templates that a campaign names; none where its file cannot be read."""
    document = rulebook.campaigns[campaign]
    try:
        contents = document.model(CampaignDefinition).content
        names, hosts = typed_vocabulary(template_vocabulary(rulebook)), rulebook.company.link_hosts
    except InvalidInput:
        return []
    missing = document.problems()
    problems: list[Problem] = []
    for number, content in enumerate(contents):
        try:
            read = source.read(project / "templates", content.template)
            compile_versions(read, names, {}, allowed_hosts=hosts)
        except NotFound as error:
            missing.add(document.at("content", number, "template"), error.message, error.remedy)
        except InvalidInput as error:
            problems += error.problems
    return [*missing.sorted_problems(), *problems]
