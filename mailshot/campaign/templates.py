"""Checks the templates of a campaign by themselves, so that they are checked even while its file has other mistakes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from mailshot.campaign.definition import CampaignDefinition
from mailshot.campaign.rulebook import Rulebook
from mailshot.errors import InvalidInput, NotFound, Problem
from mailshot.render import letter, source
from mailshot.render.mail import ListOf, compile_mail


def problems(rulebook: Rulebook, project: Path, campaign: str) -> list[Problem]:
    """Return what is wrong with the templates that a campaign names; nothing where its file cannot be read at all."""
    document = rulebook.campaigns[campaign]
    try:
        contents = document.model(CampaignDefinition).content
        names, hosts = _vocabulary(rulebook), rulebook.company.link_hosts
    except InvalidInput:
        return []
    missing = document.problems()
    found: list[Problem] = []
    for number, content in enumerate(contents):
        try:
            compile_mail(source.read(project / "templates", content.template), names, allowed_hosts=hosts)
        except NotFound as error:
            missing.add(document.at("content", number, "template"), error.message, error.remedy)
        except InvalidInput as error:
            found += error.problems
    return [*missing.told(), *found]


def _vocabulary(rulebook: Rulebook) -> dict[str, Collection[str]]:
    facts = rulebook.catalogue
    names: dict[str, Collection[str]] = dict(letter.vocabulary(facts.customer, facts.product))
    return {**names, "offers": ListOf(names["offers"])}
