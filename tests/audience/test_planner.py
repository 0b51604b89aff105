"""Checks into which parts a rule is separated, in which order they are evaluated, and by which access path."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from mailshot.audience.compile import planner
from mailshot.audience.compile.planner import AccessPath, Planner, Statistics
from mailshot.audience.nodes import (
    ActivityCondition,
    Aggregate,
    All,
    Any,
    Condition,
    HasConsent,
    InAudience,
    Not,
    RandomShare,
)
from mailshot.facts.comparison import Comparison
from mailshot.facts.product_filters import EVERYTHING, ProductFilter
from mailshot.profile.activity import BOUGHT, OPENED
from mailshot.store.audiences import SCHEMA
from tests.support.conditions import SIMPLE

A, B, C = (HasConsent(1, name) for name in "abc")
ROW = RandomShare(1, 10, "salt")


def parts(condition: Condition) -> list[Condition]:
    return list(planner.conjuncts(condition, lambda _: None))


def test_all_and_other_audiences_are_separated_into_their_parts() -> None:
    assert parts(All(1, (A, InAudience(1, "x", All(1, (B, C)))))) == [A, B, C]


def test_not_any_is_separated_and_not_all_is_not() -> None:
    assert parts(Not(1, Any(1, (A, B)))) == [Not(1, A), Not(1, B)]
    whole = Not(1, All(1, (A, B)))
    assert parts(whole) == [whole]


def test_the_cheapest_part_is_first_and_a_deep_one_last() -> None:
    deep: Condition = ROW
    for _ in range(planner.SHALLOW):
        deep = Not(1, deep)
    assert planner.by_cost([deep, A, ROW], lambda part: int(part is A)) == [ROW, A, deep]


def test_only_conditions_on_the_row_need_only_the_row() -> None:
    assert planner.needs_only_row(Any(1, (ROW, Not(1, ROW))))
    assert not planner.needs_only_row(All(1, (ROW, A)))


class Share(Statistics):
    """Statistics in which every condition has the same share."""

    def __init__(self, share: float) -> None:
        self.everywhere = share

    def selectivity(self, condition: Condition) -> float:
        return self.everywhere

    def bitmap(self, products: ProductFilter) -> bytes | None:
        return None


def path(condition: Condition, share: float, selectivity: float = 1.0) -> AccessPath:
    return Planner(SCHEMA, Share(share), datetime(2026, 4, 7, tzinfo=UTC)).path(condition, selectivity)


def bought(products: bool, *aggregates: str) -> ActivityCondition:
    at_least_1 = Comparison("at_least", (Decimal(1),))
    measures = tuple(Aggregate(name, at_least_1) for name in aggregates)
    return ActivityCondition(1, BOUGHT, measures=measures, products=SIMPLE if products else EVERYTHING)


@pytest.mark.parametrize(
    ("condition", "share", "selectivity", "expected"),
    [
        (ROW, 0.5, 1.0, AccessPath.ROW),
        (A, 0.5, 1.0, AccessPath.SET),
        (ActivityCondition(1, OPENED), 0.5, 1.0, AccessPath.SET),
        (bought(True, "times"), planner.SCAN_LIMIT, 1.0, AccessPath.SET),
        (bought(True, "times"), planner.SCAN_LIMIT + 0.01, 1.0, AccessPath.PROBE_LINES),
        (bought(True, "amount"), planner.SCAN_LIMIT_UNCOVERED + 0.01, 1.0, AccessPath.PROBE_LINES),
        (bought(True, "times"), 0.1, 0.01, AccessPath.PROBE_LINES),
        (bought(False, "times"), 0.5, 1.0, AccessPath.PROBE_ORDERS),
        (bought(False, "distinct_products"), 0.5, 1.0, AccessPath.PROBE_LINES),
        (All(1, (ROW, Not(1, bought(False, "times")))), 0.5, 1.0, AccessPath.PROBE_ORDERS),
    ],
)
def test_the_access_path(condition: Condition, share: float, selectivity: float, expected: AccessPath) -> None:
    assert path(condition, share, selectivity) is expected


def test_the_most_selective_part_drives_unless_all_match_many() -> None:
    parts_of_rule = [ROW, A, bought(True)]
    assert Planner(SCHEMA, Share(0.1), datetime(2026, 4, 7, tzinfo=UTC)).driving(parts_of_rule) == bought(True)
    assert Planner(SCHEMA, Share(0.5), datetime(2026, 4, 7, tzinfo=UTC)).driving(parts_of_rule) is None
