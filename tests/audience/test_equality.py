"""Checks when two rules mean the same, and which names are reported when they do not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from mailshot.audience import equality
from mailshot.audience.nodes import Condition
from mailshot.rulebook.rulebook import Rulebook
from tests.support.conditions import CONDITIONS, without_places

FILES = {
    "rules/facts.yaml": "customer:\n  age: {type: number, help: Years}\n",
    "rules/products.yaml": "meat: {department: MEAT}\nfood: {any_of: [{group: meat}, {department: GREEN}]}\n",
    "rules/audiences/a.yaml": "audience: a\nwho: {bought: {group: food, within: 90 days}, age: {at_least: 18}}\n",
    "rules/audiences/b.yaml": "audience: b\nwho: {not: {audience: a}}\n",
}


def condition(name: str = "b", **changed: str) -> Condition:
    texts = {path: changed.get(path.rpartition("/")[2].removesuffix(".yaml"), text) for path, text in FILES.items()}
    return Rulebook.thaw(texts).book.audience(name).condition


SAME = {
    "place": {"a": "\n#\n" + FILES["rules/audiences/a.yaml"], "b": "audience: b\nwho:\n  not: {audience: a}\n"},
    "description": {"b": "audience: b\ndescription: Others\nwho: {not: {audience: a}}\n"},
    "help": {"facts": "customer:\n  age: {type: number, help: In years}\n"},
}  # fmt: skip


@pytest.mark.parametrize("what", SAME)
def test_place_and_descriptions_make_no_difference(what: str) -> None:
    assert equality.meaning_key(condition(**SAME[what])) == equality.meaning_key(condition())
    assert equality.shifted(condition(), condition(**SAME[what])) == []


OTHER = {
    "its own words": ({"b": "audience: b\nwho: {audience: a}\n"}, False, []),
    "an audience": ({"a": "audience: a\nwho: {age: 18}\n"}, True, ["audience 'a'"]),
    "a group in a group": (
        {"products": FILES["rules/products.yaml"].replace("{department: MEAT}", "{department: FISH}")},
        True,
        ["audience 'a'", "group 'food'", "group 'meat'"],
    ),
    "a fact": (
        {"facts": "customer:\n  age: {type: text}\n", "a": "audience: a\nwho: {age: '18'}\n"},
        True,
        ["audience 'a'", "fact 'age'"],
    ),
}


@pytest.mark.parametrize("what", OTHER)
def test_a_difference_is_traced_to_the_changed_definition(what: str) -> None:
    changed, same_words, definitions = OTHER[what]
    other = condition(**changed)
    assert equality.meaning_key(other) != equality.meaning_key(condition())
    assert (equality.wording_key(other) == equality.wording_key(condition())) is same_words
    assert equality.shifted(condition(), other) == definitions


@given(CONDITIONS, CONDITIONS)
@settings(deadline=None)
def test_only_the_line_of_a_condition_is_ignored(first: Condition, second: Condition) -> None:
    alike = without_places(first) == without_places(second)
    assert alike <= (equality.meaning_key(first) == equality.meaning_key(second))
    assert equality.meaning_key(first) == equality.meaning_key(without_places(first))
    assert equality.shifted(first, first) == []
