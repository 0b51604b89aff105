"""Checks how an example that fails is described."""

# ruff: noqa: E501  (a sentence stands on one line)
from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from mailshot.audience.evaluate import Verdict
from mailshot.audience.examples.example_reader import Example
from mailshot.audience.nodes import Everyone
from mailshot.audience.registry import Audience
from mailshot.campaign.rule_tests import ExampleResult
from mailshot.profile.customer import Profile

NOW = datetime(2026, 4, 1, 9, tzinfo=ZoneInfo("America/New_York"))
AUDIENCE = Audience("a", "", Everyone(2), "a.yaml")
TOLD = {
    (True, True, True, None): "",
    (True, False, False, None): "It should match, but does not.",
    (False, True, True, None): "It should not match, but does.",
    (True, True, True, NOW): "Its result changes when today is 2026-04-01 09:00. Say which day is meant: 'as_of: 2026-04-01'.",
    (True, True, False, None): "This is a bug in Mailshot: the database says that it does not match, the explanation that it matches. Please report it with this rule.",
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD)
def test_failures_are_described(case: tuple[bool, bool, bool, datetime | None]) -> None:
    expected, judged, selected, otherwise = case
    example = Example("x", 3, NOW, False, Profile(0, 0, {}), expected)
    outcome = ExampleResult(AUDIENCE, example, Verdict(judged, "", "", 2), selected, (), otherwise)
    assert outcome.as_dict()["says"] == TOLD[case]
    assert outcome.as_expected is not bool(TOLD[case])
    assert outcome.agreed is (judged is selected)
