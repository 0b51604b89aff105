"""Owns the doubts about every rule of a shop, each with its place; refuses to call them errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from mailshot.audience import doubts, nodes
from mailshot.audience.nodes import Condition
from mailshot.campaign.rulebook import Rulebook
from mailshot.errors import Problem, nearest

PREFERENCES = "rules/preferences.yaml"


def all_of(rulebook: Rulebook, today: date) -> list[Problem]:
    """Return what a marketer can hardly have meant, in the order of files and lines."""
    found: dict[Problem, None] = {}
    for file, name, condition in _conditions(rulebook):
        lines = rulebook.files[file].text.splitlines()
        for doubt in doubts.of(condition, today):
            excerpt = lines[doubt.line - 1] if 0 < doubt.line <= len(lines) else ""
            column = len(excerpt) - len(excerpt.lstrip()) + 1
            found[Problem(file, doubt.line, column, f"{name}: {doubt.words}", excerpt)] = None
    found |= dict.fromkeys(_unused_implied(rulebook))
    return sorted(found, key=lambda problem: (problem.file, problem.line))


def _unused_implied(rulebook: Rulebook) -> Sequence[Problem]:
    """Doubt values that answers imply and nothing names: a misspelt one cuts an answer off from the meant one."""
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
    return problems.told()


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
