"""Owns the doubts about every rule of a shop, each with its place; refuses to call them errors."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from mailshot.audience import doubts
from mailshot.audience.nodes import Condition
from mailshot.campaign.rulebook import Rulebook
from mailshot.errors import Problem


def all_of(rulebook: Rulebook, today: date) -> list[Problem]:
    """Return what a marketer can hardly have meant, in the order of files and lines."""
    found: dict[Problem, None] = {}
    for file, name, condition in _conditions(rulebook):
        lines = rulebook.files[file].text.splitlines()
        for doubt in doubts.of(condition, today):
            excerpt = lines[doubt.line - 1] if 0 < doubt.line <= len(lines) else ""
            column = len(excerpt) - len(excerpt.lstrip()) + 1
            found[Problem(file, doubt.line, column, f"{name}: {doubt.words}", excerpt)] = None
    return sorted(found, key=lambda problem: (problem.file, problem.line))


def _conditions(rulebook: Rulebook) -> Iterator[tuple[str, str, Condition]]:
    for audience in rulebook.audiences():
        yield audience.file, audience.name, audience.condition
    for guard in rulebook.guards:
        yield "rules/guards.yaml", guard.name, guard.customers
    for name in rulebook.campaigns:
        read = rulebook.campaign(name)
        for content, condition in read.when.items():
            yield read.file, content, condition
