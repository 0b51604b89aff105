"""Checks which clause is reported as the one that decided between two verdicts."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from mailshot import documents
from mailshot.audience import evaluate
from mailshot.audience.evaluate import Evaluator, Verdict
from mailshot.audience.parse.conditions import Parser
from mailshot.profile.customer import Profile
from tests.support.conditions import VOCABULARY

PROFILE = Profile(1, 5, {"country": "NO", "age": 30, "member": True})
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def verdict(text: str, profile: Profile = PROFILE) -> Verdict:
    document = documents.parse_document(text, "who")
    condition = Parser(VOCABULARY, document.problems(), "test", lambda *_: None).condition(document.root)
    assert condition is not None
    return Evaluator(profile, NOW, ZoneInfo("UTC")).verdict(condition)


MOVES = {
    "a bound was moved": ("{age: {at_least: 40}}", "{age: {at_least: 18}}", "not before: age at least 40 (30)"),
    "a clause was added": ("{country: 'NO'}", "{country: 'NO', age: {at_least: 40}}", "not now: age at least 40 (30)"),
    "the second of two": (
        "{all: [{country: 'NO'}, {age: {less_than: 9}}]}",
        "{all: [{country: 'NO'}, {age: {less_than: 99}}]}",
        "not before: age less than 9 (30)",
    ),
    "another way in": (
        "{any: [{country: SE}, {age: 7}]}",
        "{any: [{country: SE}, {age: 7}, {member: yes}]}",
        "now: member is yes (yes)",
    ),
    "a way in was closed": (
        "{any: [{country: SE}, {member: yes}]}",
        "{any: [{country: SE}]}",
        "before: member is yes (yes)",
    ),
    "a not was put around": ("{member: yes}", "{not: {member: yes}}", "now: member is yes (yes)"),
    "within a not": (
        "{not: {any: [{country: SE}, {age: 7}]}}",
        "{not: {any: [{country: SE}, {country: 'NO'}]}}",
        "now: country is NO (NO)",
    ),
    "never bought": ("{country: SE}", "{never_bought: {department: A}}", "not before: country is SE (NO)"),
    "everyone": ("{everyone: yes}", "{country: SE}", "not now: country is SE (NO)"),
}


@pytest.mark.parametrize("what", MOVES)
def test_the_deciding_clause_is_reported(what: str) -> None:
    before, after, clause = MOVES[what]
    assert evaluate.deciding_clause(verdict(before), verdict(after)) == clause


def test_the_same_clause_on_another_day_is_reported_as_found() -> None:
    other = Profile(1, 5, {"country": "SE"})
    assert (
        evaluate.deciding_clause(verdict("{country: SE}"), verdict("{country: SE}", other))
        == "not before: country is SE (NO)"
    )
