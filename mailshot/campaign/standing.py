"""Owns what an audience, or a campaign's, means in one version: condition, moment and zone; refuses customers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from mailshot.audience import meaning
from mailshot.audience.book import Audience
from mailshot.audience.compile import Compiler
from mailshot.audience.evaluate import Evaluator, Verdict
from mailshot.campaign.rulebook import Rulebook
from mailshot.errors import InvalidInput, Problem
from mailshot.profile.customer import Profile
from mailshot.store import audiences

Key = tuple[str, str]
KINDS = AUDIENCE, CAMPAIGN = "audience", "campaign"


@dataclass(frozen=True, slots=True)
class ResolvedAudience:
    """An audience with the moment that counts as today and the zone its days are of."""

    audience: Audience
    as_of: datetime
    zone: ZoneInfo

    @property
    def means(self) -> Hashable:
        """Return what decides who belongs: equal for equal meanings."""
        return meaning.fingerprint(self.audience.condition), self.as_of, self.zone.key

    @property
    def compiled(self) -> Compiler:
        return audiences.compiler(self.as_of, self.zone)

    def verdict(self, profile: Profile) -> Verdict:
        return Evaluator(profile, self.as_of, self.zone).verdict(self.audience.condition)


def resolve(rules: Rulebook, found: Audience, asked: datetime | None, now: datetime) -> ResolvedAudience:
    """Return how an audience stands by itself."""
    return ResolvedAudience(found, rules.company.today(asked, now), rules.company.time_zone)


def resolve_all(
    rules: Rulebook, asked: datetime | None, now: datetime
) -> tuple[dict[Key, ResolvedAudience], list[Problem]]:
    """Return how each audience and each campaign's audience stands, and every problem on the way there."""
    found: dict[Key, ResolvedAudience] = {}
    problems: dict[Problem, None] = {}

    def whole() -> None:
        found.update({(AUDIENCE, one.name): resolve(rules, one, asked, now) for one in rules.book.sound()})
        problems.update(dict.fromkeys(rules.book.problems))

    def one(name: str) -> None:
        read = rules.campaign(name)
        found[CAMPAIGN, name] = resolve(rules, read.audience, asked or read.campaign.as_of, now)

    readers: list[Callable[[], None]] = [whole]
    readers += [partial(one, name) for name in _campaigns(rules, problems)]
    for read in readers:
        try:
            read()
        except InvalidInput as error:
            problems.update(dict.fromkeys(error.problems))
    return found, list(problems)


def resolve_one(
    rules: Rulebook, name: str, asked: datetime | None, now: datetime
) -> tuple[dict[Key, ResolvedAudience], list[Problem]]:
    """Return how one audience stands, if there is one of this name, and the problems on the way there."""
    try:
        known = name in rules.book.names
        return {(AUDIENCE, name): resolve(rules, rules.book.audience(name), asked, now)} if known else {}, []
    except InvalidInput as error:
        return {}, list(error.problems)


def _campaigns(rules: Rulebook, problems: dict[Problem, None]) -> list[str]:
    try:
        return list(rules.campaigns)
    except InvalidInput as error:
        problems.update(dict.fromkeys(error.problems))
        return []


def differences_in_meaning(before: ResolvedAudience, after: ResolvedAudience) -> list[str]:
    """Say what makes two standings differ: the rule itself, or what it names or is asked with."""
    old, new = before.audience, after.audience
    told = [f"audience '{old.name}' -> '{new.name}'"] if old.name != new.name else []
    if meaning.written(old.condition) != meaning.written(new.condition) and not told:
        told.append("its rule")
    told += meaning.shifted(old.condition, new.condition)
    if before.zone.key != after.zone.key:
        told.append(f"time zone {before.zone.key} -> {after.zone.key}")
    if before.as_of != after.as_of:
        told.append(f"today {before.as_of:%Y-%m-%d %H:%M %Z} -> {after.as_of:%Y-%m-%d %H:%M %Z}")
    return told
