"""Checks the warnings that depend on several files."""

from __future__ import annotations

from datetime import date

import pytest

from mailshot.campaign import lint
from mailshot.rulebook.rulebook import Rulebook

PREFERENCES = """diet:
  title: Diet
  values:
    vegetarian: Vegetarian
    vegan: {{label: Vegan, implies: {implied}}}
"""
GUARD = "- {guard: x, customers: {preference: {diet: vegetarisch}}, never: {department: MEAT}}\n"
TRAIT = """trait: diet
among: {department: FOOD}
within: 1 year
values:
  vegetarisch: {label: V, never: {department: MEAT}}
"""


def doubts(implied: str, **more: str) -> list[str]:
    texts = {"rules/preferences.yaml": PREFERENCES.format(implied=implied)}
    texts |= {f"rules/{name.replace('_', '/')}.yaml": text for name, text in more.items()}
    return [str(problem) for problem in lint.rule_warnings(Rulebook.thaw(texts), date(2026, 6, 1))]


@pytest.mark.parametrize("implied", ["vegetarisch", "[vegetarian, vegetarisch]"])
def test_a_value_that_is_only_implied_and_never_used_is_a_warning(implied: str) -> None:
    (told,) = doubts(implied)
    assert told.startswith("rules/preferences.yaml:5:")
    assert "'vegan' implies 'vegetarisch', which is not used in any rule, guard, trait or other answer" in told
    assert "Did you mean 'vegetarian'?" in told


def test_a_value_that_is_used_anywhere_is_no_warning() -> None:
    assert doubts("vegetarian") == []
    assert doubts("vegetarisch", guards=GUARD) == []
    assert doubts("vegetarisch", traits_diet=TRAIT) == []
    nested = "audience: a\nwho: {not: {any: [{preference: {diet: vegetarisch}}]}}\n"
    assert doubts("vegetarisch", audiences_a=nested) == []
