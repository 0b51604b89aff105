from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from mailshot.profile.customer import Profile, TraitValue
from mailshot.profile.implications import Implications, decided_answer, stated_answer

DIET = Implications({"vegan": ("vegetarian",), "vegetarian": ("no_pork", "no_meat")})
VEGETARIAN = DIET.closure("vegetarian")


def _acyclic(pairs: list[tuple[int, int]]) -> Implications:
    """A larger number implies smaller ones only, so there is no circle."""
    direct: dict[str, tuple[str, ...]] = {}
    for first, second in pairs:
        if first != second:
            high, low = str(max(first, second)), str(min(first, second))
            direct[high] = (*direct.get(high, ()), low)
    return Implications(direct)


WORDS = st.integers(0, 7)
HIERARCHIES = st.lists(st.tuples(WORDS, WORDS), max_size=14).map(_acyclic)
SAID = st.dictionaries(st.tuples(st.just("diet"), WORDS.map(str)), st.booleans(), max_size=6)


def _reachable(direct: Mapping[str, tuple[str, ...]], start: str) -> set[str]:
    return {start}.union(*(_reachable(direct, word) for word in direct.get(start, ())))


@given(HIERARCHIES, WORDS.map(str))
def test_the_closure_is_all_that_can_be_reached(hierarchy: Implications, value: str) -> None:
    assert hierarchy.cycle() is None
    assert set(hierarchy.implied(value)) == _reachable(hierarchy.direct, value)
    closure = hierarchy.closure(value)
    values = {str(word) for word in range(8)}
    assert set(closure.implying) == {word for word in values if value in _reachable(hierarchy.direct, word)}
    assert closure.implying[0] == closure.implied[0] == closure.value == value


@given(HIERARCHIES, SAID, WORDS.map(str), WORDS.map(str))
def test_yes_travels_down_and_no_travels_up(
    hierarchy: Implications, answers: dict[tuple[str, str], bool], value: str, implied_value: str
) -> None:
    if implied_value not in hierarchy.implied(value):
        return
    narrow, wide = (stated_answer(answers, "diet", hierarchy.closure(word)) for word in (value, implied_value))
    if narrow and narrow[0]:
        assert wide
        assert wide[0]
    if wide and not wide[0]:
        assert narrow
        assert not narrow[0]


def test_a_circle_is_found() -> None:
    assert Implications({"a": ("b",), "b": ("c",), "c": ("b",)}).cycle() == ("b", "c", "b")


def test_a_vegan_is_a_vegetarian_and_eats_no_pork() -> None:
    answers = {("diet", "vegan"): True}
    assert stated_answer(answers, "diet", VEGETARIAN) == (True, "vegan")
    assert stated_answer(answers, "diet", DIET.closure("no_meat")) == (True, "vegan")


def test_eating_pork_denies_being_vegan() -> None:
    answers = {("diet", "no_pork"): False}
    assert stated_answer(answers, "diet", DIET.closure("vegan")) == (False, "no_pork")


def test_yes_to_a_narrower_value_wins_over_a_stored_no() -> None:
    answers = {("diet", "vegan"): True, ("diet", "vegetarian"): False}
    assert stated_answer(answers, "diet", VEGETARIAN) == (True, "vegan")


def test_another_answer_silences_what_was_inferred() -> None:
    answers = {("diet", "everything"): True}
    assert stated_answer(answers, "diet", VEGETARIAN) is None
    assert decided_answer(answers, "diet", VEGETARIAN) == (False, "everything")


def test_a_trait_makes_true_what_it_implies_unless_it_was_denied() -> None:
    traits = {("diet", "vegan"): TraitValue(0.9), ("diet", "no_pork"): TraitValue(0.4)}
    known = Profile(1, 0, {}, traits=traits)
    pork = DIET.closure("no_pork")
    assert known.inferred("diet", pork) == ("vegan", TraitValue(0.9))
    denied = Profile(1, 0, {}, preferences={("diet", "vegetarian"): False}, traits=traits)
    assert denied.inferred("diet", pork) == ("no_pork", TraitValue(0.4))
