"""Checks that opens and clicks of customers who do not consent to tracking are unknown and make no rule true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mailshot import documents
from mailshot.audience.counterfactual import Counterfactual
from mailshot.audience.evaluate import UNSEEN, Evaluator
from mailshot.audience.nodes import Condition
from mailshot.audience.parse import conditions
from mailshot.audience.vocabulary import Vocabulary
from mailshot.profile.customer import Activity, Profile

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
WORDS = Vocabulary(topics=("offers", "tracking"))
OPENED = Activity("1", NOON - timedelta(days=3), {"by": "human"})


def rule(text: str) -> Condition:
    document = documents.parse_document(text, "rule.yaml")
    problems = document.problems()
    condition = conditions.Parser(WORDS, problems, "rule", lambda *_: None).condition(document.root)
    problems.raise_if_any()
    assert condition is not None
    return condition


def judge(tracked: bool, *opened: Activity) -> Evaluator:
    consents = {"tracking": True} if tracked else {}
    return Evaluator(Profile(1, 0, {}, {"opened": opened}, consents, tracked=tracked), NOON, ZoneInfo("UTC"))


@pytest.mark.parametrize(
    ("text", "tracked", "untracked"),
    [
        ("never_opened: {}", True, False),
        ("opened: {}", False, False),
        ("not: {opened: {}}", True, False),
        ("not: {never_opened: {}}", False, False),
        ("not: {not: {never_opened: {}}}", True, False),
        ("never_opened: {untracked: yes}", True, True),
        ("not: {opened: {untracked: yes}}", True, True),
        ("opened: {times: {at_most: 2}}", True, False),
        ("not: {opened: {times: {at_most: 2}}}", False, False),
        ("never_clicked: {within: 90 days}", True, False),
        ("any: [{never_opened: {}}, {everyone: yes}]", True, True),
        ("not: {all: [{opened: {}}, {everyone: yes}]}", True, False),
        ("at_least: 1\nof: [{never_opened: {}}, {never_clicked: {}}]", True, False),
        ("at_most: 1\nof: [{never_opened: {}}, {never_clicked: {}}]", False, False),
        ("at_most: 0\nof: [{opened: {}}, {clicked: {}}]", True, False),
        ("not: {at_least: 1, of: [{opened: {}}, {clicked: {}}]}", True, False),
        ("at_most: 2\nof: [{opened: {}}, {clicked: {}}]", True, True),
        ("consent: tracking", True, False),
    ],
)
def test_conditions_on_a_customer_without_recorded_opens(text: str, tracked: bool, untracked: bool) -> None:
    condition = rule(text)
    assert judge(True).verdict(condition).holds is tracked
    assert judge(False).verdict(condition).holds is untracked


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("opened: {within: 7 days}", True),
        ("never_opened: {within: 7 days}", False),
        ("opened: {times: {at_least: 1}}", True),
        ("opened: {times: {exactly: 1}}", False),
        ("opened: {days_since_last: {at_least: 3}}", False),
    ],
)
def test_opens_from_before_the_withdrawal_still_count(text: str, holds: bool) -> None:
    assert judge(False, OPENED).verdict(rule(text)).holds is holds


def test_the_explanation_says_unknown_and_what_would_have_to_change() -> None:
    condition = rule("never_opened: {}")
    verdict = judge(False).verdict(condition)
    assert verdict.found == f"{UNSEEN}; seen: none"
    (change,) = Counterfactual(judge(False)).changes(condition)
    assert "must consent to tracking" in change.hint
    assert Counterfactual(judge(True)).changes(condition) == ()


@pytest.mark.parametrize(
    "text",
    [
        "not: {exactly: 0, of: [{clicked: {}}]}",
        "{exactly: 0, of: [{clicked: {}}, {opened: {}}]}",
        "not: {not: {exactly: 0, of: [{clicked: {}}]}}",
    ],
)
def test_a_count_of_unknown_conditions_says_unknown(text: str) -> None:
    assert not judge(False).verdict(rule(text)).holds
    changes = Counterfactual(judge(False)).changes(rule(text))
    assert changes
    assert all("must consent to tracking" in change.hint for change in changes)
