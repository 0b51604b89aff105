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
    (warning,) = doubts(implied)
    assert warning.startswith("rules/preferences.yaml:5:")
    assert "'vegan' implies 'vegetarisch', which is not used in any rule, guard, trait or other answer" in warning
    assert "Did you mean 'vegetarian'?" in warning


def test_a_value_that_is_used_anywhere_is_no_warning() -> None:
    assert doubts("vegetarian") == []
    assert doubts("vegetarisch", guards=GUARD) == []
    assert doubts("vegetarisch", traits_diet=TRAIT) == []
    nested = "audience: a\nwho: {not: {any: [{preference: {diet: vegetarisch}}]}}\n"
    assert doubts("vegetarisch", audiences_a=nested) == []


def test_a_text_that_lacks_a_language_of_others_is_a_warning() -> None:
    topics = """offers:
  title: {en: Offers, de: Angebote}
  help: Weekly
recipes:
  title: {en: Recipes, fr: Recettes, de: Rezepte}
"""
    facts = """customer:
  age: {type: text, title: Age}
  born: {type: text}
  risk: {type: number, title: Score, hidden: yes}
"""
    question = "diet:\n  title: {en: Diet, de: Kost, fr: Repas}\n  values: {vegan: Vegan}\n"
    warnings = doubts("vegetarian", topics=topics, facts=facts, preferences=question)
    places = [warning.partition(": ")[0] for warning in warnings]
    assert places == [
        "rules/facts.yaml:2:28",
        "rules/preferences.yaml:3:19",
        "rules/topics.yaml:2:10",
        "rules/topics.yaml:3:9",
    ]
    assert "'Offers' is not written in fr, as other texts for customers are" in warnings[2]
    assert "Write {en: …, de: …, fr: …}" in warnings[2]
    assert "'Weekly' is not written in de or fr" in warnings[3]
    untranslated = {"topics": "offers: {title: Offers}\n", "facts": facts}
    assert doubts("vegetarian", **untranslated) == []


SENDERS = "bay:\n  name: Bay\n  address: a@bay.example\n  postal_address: 1 Quay, Oslo\n"


def test_utm_parameters_that_no_link_gets_are_a_warning() -> None:
    company, senders = "brand: Bay\nutm: {source: bay}\n", SENDERS + "  utm: {medium: email}\n"
    first, second = doubts("vegetarian", company=company, senders=senders)
    assert first.startswith("rules/company.yaml:2:6: 'utm' has no effect: 'link_hosts' in rules/company.yaml names no")
    assert second.startswith("rules/senders.yaml:5:8: 'utm' has no effect")
    campaign = "campaign: a\ntopic: offers\nsender: bay\naudience: all\ncontent: [{name: a, template: a}]\n"
    texts = {"senders": SENDERS, "topics": "offers: {title: Offers}\n", "campaigns_a": campaign + "utm: {term: a}\n"}
    texts["audiences_all"] = "audience: all\nwho: {consent: offers}\n"
    (warning,) = doubts("vegetarian", **texts)
    assert warning.startswith("rules/campaigns/a.yaml:6:6: 'utm' has no effect")
    assert doubts("vegetarian", **texts, company="link_hosts: [bay.example]\n") == []
    assert doubts("vegetarian", company="brand: Bay\nutm: {source: ''}\n", senders=SENDERS) == []
