from __future__ import annotations

import pytest

from mailshot import documents
from mailshot.errors import InvalidInput
from mailshot.profile import statements
from mailshot.profile.statements import Statement

RULES = """
diet:
  title: What do you eat?
  values: {vegetarian: Vegetarian, vegan: Vegan, no_pork: No pork}
hobby:
  title: What do you like?
  choice: several
  values: {garden: Gardening, bake: Baking}
"""
KNOWN = statements.read(documents.parse(RULES, "rules/preferences.yaml"))


def test_one_choice_takes_back_what_was_stated_before() -> None:
    before = {("diet", "vegan"): True, ("diet", "no_pork"): False, ("hobby", "bake"): True}
    made = KNOWN.consequences(Statement("diet", "vegetarian", True), before)
    assert made == [Statement("diet", "vegetarian", True), Statement("diet", "vegan", False)]


@pytest.mark.parametrize(
    "said", [Statement("hobby", "garden", True), Statement("diet", "vegetarian", False), Statement("pet", "cat", True)]
)
def test_several_choices_and_denials_and_other_names_take_nothing_back(said: Statement) -> None:
    assert KNOWN.consequences(said, {("diet", "vegan"): True, ("hobby", "bake"): True}) == [said]


def test_an_empty_list_of_values_is_refused() -> None:
    with pytest.raises(InvalidInput, match="has nothing in it"):
        statements.read(documents.parse("diet: {title: x, values: {}}", "rules/preferences.yaml"))
