from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailshot.feedback.preferences import Controls, CurrentPreferences, Wishes, controls, wishes
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
SHOWN = controls(STANDING, TOPICS, STATEMENTS)


def ask(posted: Controls, shown: Controls | None = None) -> Wishes:
    return wishes(posted, SHOWN if shown is None else shown, STANDING, TOPICS, STATEMENTS)


def test_the_page_shows_how_the_customer_stands() -> None:
    assert SHOWN == {
        "topic.offers": ("on",),
        "topic.service": ("on",),
        "tracking": ("on",),
        "say.diet": ("no_pork",),
        "judge.pet.cat": ("wrong",),
    }


def test_a_page_sent_back_as_it_was_asks_for_nothing() -> None:
    assert ask(dict(SHOWN)) == Wishes()


def test_only_what_differs_from_what_was_shown_is_a_wish() -> None:
    posted = {**SHOWN, "topic.recipes": ("on",), "judge.diet.vegetarian": ("wrong",)}
    del posted["tracking"]
    made = ask(posted)
    assert made.topics == {"recipes": True, "tracking": False}
    assert made.said == [StatedPreference("diet", "vegetarian", False)]


def test_a_page_opened_before_a_withdrawal_does_not_take_it_back() -> None:
    now = CurrentPreferences({"offers": ConsentEntry(False, NOON)}, {}, ())
    made = wishes({**SHOWN, "say.diet": ("vegan",)}, SHOWN, now, TOPICS, STATEMENTS)
    assert made.topics == {}
    assert made.said == [StatedPreference("diet", "vegan", True)]


def test_no_answer_takes_a_statement_back() -> None:
    assert ask({**SHOWN, "say.diet": ("",)}).unsaid == [("diet", "no_pork")]
    assert ask({**SHOWN, "judge.pet.cat": ("",)}).unsaid == [("pet", "cat")]


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
def test_what_contradicts_itself_or_was_never_asked_is_a_problem(changed: Controls) -> None:
    assert ask({**SHOWN, **changed}).problems


def test_a_vegan_may_agree_that_the_household_is_vegetarian() -> None:
    assert ask({**SHOWN, "say.diet": ("vegan",), "judge.diet.vegetarian": ("right",)}).problems == []


def test_unknown_controls_are_passed_over() -> None:
    assert ask({**SHOWN, "topic.secret": ("on",), "say.income": ("high",), "x": ("y",)}) == Wishes()


def test_only_answers_that_can_be_given_are_taken_back() -> None:
    shown = {"say.diet": ("no_pork", "\ud800", "\0", "bread")}
    assert ask({}, shown).unsaid == [("diet", "no_pork")]
