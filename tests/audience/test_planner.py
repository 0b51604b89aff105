"""Checks into which parts a rule is taken apart before it is compiled, and in which order they are asked."""

from __future__ import annotations

from mailshot.audience.compile import planner
from mailshot.audience.nodes import All, Any, Condition, HasConsent, InAudience, Not, RandomShare

A, B, C = (HasConsent(1, name) for name in "abc")
ROW = RandomShare(1, 10, "salt")


def parts(condition: Condition) -> list[Condition]:
    return list(planner.conjuncts(condition, lambda _: None))


def test_all_and_named_audiences_are_their_parts() -> None:
    assert parts(All(1, (A, InAudience(1, "x", All(1, (B, C)))))) == [A, B, C]


def test_not_any_is_none_of_them_and_not_all_stays_whole() -> None:
    assert parts(Not(1, Any(1, (A, B)))) == [Not(1, A), Not(1, B)]
    whole = Not(1, All(1, (A, B)))
    assert parts(whole) == [whole]


def test_what_costs_least_is_asked_first_and_what_lies_deep_last() -> None:
    deep: Condition = ROW
    for _ in range(planner.SHALLOW):
        deep = Not(1, deep)
    assert planner.by_cost([deep, A, ROW], lambda part: int(part is A)) == [ROW, A, deep]


def test_only_what_asks_for_rows_alone_is_looked_up_in_them() -> None:
    assert planner.of_rows(Any(1, (ROW, Not(1, ROW))))
    assert not planner.of_rows(All(1, (ROW, A)))
