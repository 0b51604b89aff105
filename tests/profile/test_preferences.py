from __future__ import annotations

import pytest

from mailshot import documents
from mailshot.errors import InvalidInput
from mailshot.profile import preferences
from mailshot.profile.preferences import StatedPreference

RULES = """
diet:
  title: What do you eat?
  values:
    everything: Everything
    no_pork: {}
    vegetarian: {label: Vegetarian, implies: [no_pork, no_meat]}
    vegan: {label: Vegan, implies: vegetarian}
hobby:
  title: What do you like?
  choice: several
  values: {garden: Gardening, bake: Baking}
"""
KNOWN = preferences.read(documents.parse_document(RULES, "rules/preferences.yaml"))


def test_a_new_answer_retracts_the_one_before_and_denies_nothing() -> None:
    before = {("diet", "vegan"): True, ("diet", "no_pork"): False, ("hobby", "bake"): True}
    assert KNOWN.retracted(StatedPreference("diet", "everything", True), before) == ["vegan"]


def test_yes_retracts_each_no_to_what_it_implies() -> None:
    before = {("diet", "no_pork"): False, ("diet", "everything"): False}
    assert KNOWN.retracted(StatedPreference("diet", "vegan", True), before) == ["no_pork"]


def test_no_retracts_each_yes_that_implies_it() -> None:
    assert KNOWN.retracted(StatedPreference("diet", "vegetarian", False), {("diet", "vegan"): True}) == ["vegan"]


def test_what_follows_from_an_answer_leaves_the_answer() -> None:
    assert KNOWN.retracted(StatedPreference("diet", "vegetarian", True), {("diet", "vegan"): True}) == []


@pytest.mark.parametrize("statement", [StatedPreference("hobby", "garden", True), StatedPreference("pet", "cat", True)])
def test_several_choices_and_other_names_retract_nothing(statement: StatedPreference) -> None:
    assert KNOWN.retracted(statement, {("diet", "vegan"): True, ("hobby", "bake"): True}) == []


def test_an_answer_without_a_label_is_called_by_its_word() -> None:
    question = KNOWN.by_name["diet"]
    assert question.values["no_pork"] == "No pork"
    assert question.words == ("everything", "no_pork", "vegetarian", "vegan", "no_meat")


def _refused(values: str) -> str:
    with pytest.raises(InvalidInput) as error:
        preferences.read(documents.parse_document(f"diet:\n  title: x\n  values:\n{values}", "rules/preferences.yaml"))
    return str(error.value)


@pytest.mark.parametrize(
    ("values", "circle"),
    [
        ("    a: {implies: a}", "a -> a"),
        ("    a: {implies: b}\n    b: {implies: a}", "a -> b -> a"),
        ("    a: {implies: [c, b]}\n    b: {implies: d}\n    d: {implies: b}", "b -> d -> b"),
    ],
)
def test_values_that_imply_each_other_are_refused_with_their_place(values: str, circle: str) -> None:
    refusal = _refused(values)
    assert circle in refusal
    assert "rules/preferences.yaml:" in refusal


def test_a_misspelt_implied_value_is_refused_with_the_nearest() -> None:
    assert "Did you mean 'vegetarian'?" in _refused("    vegetarian: V\n    vegan: {implies: vegetarain}")


@pytest.mark.parametrize(
    ("values", "mails", "days"),
    [
        ("weekly: At most once a week", 1, 7),
        ("rarely: {label: Rarely, at_most: {mails: 2, per: 1 year}}", 2, 365),
    ],
)
def test_answers_say_how_often_a_customer_may_be_mailed(values: str, mails: int, days: int) -> None:
    text = f"frequency:\n  title: How often?\n  values:\n    always: Always\n    {values}"
    limits = preferences.read(documents.parse_document(text, "rules/preferences.yaml")).limits()
    (((name, _), limit),) = limits
    assert (name, limit.mails, limit.per.approximate_days.days) == ("frequency", mails, days)


def test_an_answer_has_the_limits_of_all_that_it_implies() -> None:
    text = """frequency:
      title: How often?
      values:
        rarely: {label: Rarely, implies: [monthly, calm], at_most: {mails: 9, per: 1 year}}
        monthly: Once a month
        calm: {label: Not twice a day, implies: daily}"""
    limits = preferences.read(documents.parse_document(text, "rules/preferences.yaml")).limits()
    assert sorted((value, limit.mails, limit.per.approximate_days.days) for (_, value), limit in limits) == [
        ("calm", 1, 1), ("daily", 1, 1), ("monthly", 1, 30), ("rarely", 1, 1), ("rarely", 1, 30), ("rarely", 9, 365),
    ]  # fmt: skip


def test_an_empty_list_of_values_is_refused() -> None:
    with pytest.raises(InvalidInput, match="is empty"):
        preferences.read(documents.parse_document("diet: {title: x, values: {}}", "rules/preferences.yaml"))
