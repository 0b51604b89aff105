"""Checks what a posted preference page changes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailshot.feedback.preference_controls import (
    Controls,
    CurrentPreferences,
    RequestedChanges,
    controls,
    requested_changes,
)
from mailshot.profile.preferences import StatedPreference
from mailshot.profile.topics import ConsentEntry
from mailshot.store.preferences import StoredTrait
from tests.support.customer_site import STATEMENTS, TOPICS

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
STANDING = CurrentPreferences(
    {"offers": ConsentEntry(True, NOON), "tracking": ConsentEntry(True, NOON)},
    {("diet", "no_pork"): True, ("pet", "cat"): False},
    (StoredTrait("diet", "vegetarian", 0.99, {}),),
)
SHOWN = controls(STANDING, TOPICS, STATEMENTS, {})


def ask(posted: Controls, was_shown: Controls | None = None) -> RequestedChanges:
    return requested_changes(posted, SHOWN if was_shown is None else was_shown, STANDING, TOPICS, STATEMENTS)


def test_the_controls_show_the_current_preferences() -> None:
    assert SHOWN == {
        "topic.offers": ("on",),
        "topic.service": ("on",),
        "tracking": ("on",),
        "say.diet": ("no_pork",),
        "judge.pet.cat": ("wrong",),
    }


def test_an_unchanged_page_requests_nothing() -> None:
    assert ask(dict(SHOWN)) == RequestedChanges()


def test_only_differences_from_the_shown_page_are_changes() -> None:
    posted = {**SHOWN, "topic.recipes": ("on",), "judge.diet.vegetarian": ("wrong",)}
    del posted["tracking"]
    made = ask(posted)
    assert made.topics == {"recipes": True, "tracking": False}
    assert made.stated == [StatedPreference("diet", "vegetarian", False)]


def test_a_page_opened_before_a_withdrawal_does_not_undo_it() -> None:
    now = CurrentPreferences({"offers": ConsentEntry(False, NOON)}, {}, ())
    made = requested_changes({**SHOWN, "say.diet": ("vegan",)}, SHOWN, now, TOPICS, STATEMENTS)
    assert made.topics == {}
    assert made.stated == [StatedPreference("diet", "vegan", True)]


def test_no_answer_withdraws_a_statement() -> None:
    assert ask({**SHOWN, "say.diet": ("",)}).withdrawn == [("diet", "no_pork")]
    assert ask({**SHOWN, "judge.pet.cat": ("",)}).withdrawn == [("pet", "cat")]


@pytest.mark.parametrize(
    "changed",
    [
        {"say.diet": ("bread",)},
        {"say.diet": ("vegan", "vegetarian")},
        {"say.diet": ("everything",), "judge.diet.vegetarian": ("right",)},
        {"say.diet": ("vegan",), "judge.diet.vegetarian": ("wrong",)},
        {"say.diet": ("vegetarian",), "judge.diet.vegetarian": ("wrong",)},
        {"judge.diet.vegetarian": ("perhaps",)},
        {"judge.income.high": ("right",)},
    ],
)
def test_contradictions_and_unknown_answers_are_problems(changed: Controls) -> None:
    assert ask({**SHOWN, **changed}).problems


def test_a_vegan_may_agree_that_the_household_is_vegetarian() -> None:
    assert ask({**SHOWN, "say.diet": ("vegan",), "judge.diet.vegetarian": ("right",)}).problems == []


def test_unknown_controls_are_ignored() -> None:
    assert ask({**SHOWN, "topic.secret": ("on",), "say.income": ("high",), "x": ("y",)}) == RequestedChanges()


def test_only_known_answers_are_withdrawn() -> None:
    was_shown = {"say.diet": ("no_pork", "\ud800", "\0", "bread")}
    assert ask({}, was_shown).withdrawn == [("diet", "no_pork")]
