"""Checks the warnings about rules that are probably not intended."""

from __future__ import annotations

from datetime import date

import pytest

from mailshot import documents
from mailshot.audience import lint
from mailshot.audience.registry import AudienceRegistry
from tests.support.conditions import VOCABULARY

TODAY = date(2026, 4, 7)
SUSPICIOUS = {
    "contradiction of numbers": ("all: [{age: {at_least: 30}}, {age: {less_than: 20}}]", "contradict each other"),
    "two words for one text": ("all: [{country: NO}, {country: [SE, DK]}]", "contradict each other"),
    "unknown yet compared": ("all: [{country: {known: no}}, {country: {starts_with: N}}]", "contradict each other"),
    "bought and never bought": (
        "{bought: {within: 30 days}, never_bought: {within: 90 days}}",
        "contradict each other",
    ),
    "calendar months": ("{opened: {within: 1 month}, never_opened: {within: 32 days}}", "contradict each other"),
    "prospects who buy": ("{lifecycle: prospect, bought: {within: 1 year}}", "contradict each other"),
    "stages": ("all: [{lifecycle: new}, {lifecycle: lapsed}]", "contradict each other"),
    "counts": ("all: [{bought: {times: {at_least: 5}}}, {bought: {times: {at_most: 3}}}]", "contradict each other"),
    "preferences": ("all: [{preference: {diet: vegan}}, {preference: {diet: vegan, says: no}}]", "contradict"),
    "itself and its denial": ("all: [{country: NO}, {not: {country: NO}}]", "contradict each other"),
    "nobody left out": ("any: [{country: NO}, {not: {country: NO}}]", "exclude no customer"),
    "repeated": ("any: [{country: NO}, {country: NO}]", "say the same"),
    "less than none": ("bought: {times: {less_than: 0}}", "can never be true"),
    "none or more": ("bought: {times: {at_least: 0}}", "is always true"),
    "window against days": ("bought: {within: 30 days, days_since_last: {at_least: 60}}", "can never be true"),
    "days against window": ("bought: {before: 60 days ago, days_since_last: {at_most: 30}}", "can never be true"),
    "too many asked for": ("{at_least: 3, of: [{country: NO}, {lifecycle: new}]}", "can never be true"),
    "none asked for": ("{at_least: 0, of: [{country: NO}]}", "is always true"),
    "whole share": ("share: 100%", "is always true"),
    "no share": ("share: 0%", "can never be true"),
    "every stage": ("lifecycle: [prospect, new, active, lapsing, lapsed]", "is always true"),
    "window to come": ("bought: {since: 2026-05-01}", "can never be true yet: the window has not begun"),
}
FINE = (
    "all: [{age: {at_least: 20}}, {age: {at_most: 20}}]",
    "{bought: {within: 90 days}, never_bought: {within: 30 days}}",
    "{opened: {within: 31 days}, never_opened: {within: 1 month}}",
    "{bought: {group: a, within: 30 days}, never_bought: {group: cheap, within: 90 days}}",
    "bought: {amount: {less_than: 0}}",
    "bought: {within: 30 days, days_since_first: {at_least: 30}}",
    "everyone: yes",
    "{lifecycle: prospect, bought: {times: {at_most: 1}}}",
)


def _warnings(rule: str) -> list[str]:
    document = documents.parse_document(f"audience: odd\nwho:\n  {rule}", "odd.yaml")
    condition = AudienceRegistry([document], VOCABULARY).audience("odd").condition
    return [warning.message for warning in lint.find_warnings(condition, TODAY)]


@pytest.mark.parametrize(("rule", "expected"), SUSPICIOUS.values(), ids=SUSPICIOUS)
def test_a_suspicious_rule_raises_a_warning(rule: str, expected: str) -> None:
    assert any(expected in warning for warning in _warnings(rule)), _warnings(rule)


@pytest.mark.parametrize("rule", FINE)
def test_other_rules_raise_no_warning(rule: str) -> None:
    assert _warnings(rule) == []


def test_a_rule_that_matches_no_customer_is_reported_first() -> None:
    assert _warnings("{country: NO, share: 0%}")[0] == "no customer can ever match"


def test_a_rule_that_matches_all_customers_is_reported_first() -> None:
    assert _warnings("any: [{country: NO}, {share: 100%}]")[0] == "every customer matches"
