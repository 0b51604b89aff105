"""The example shop's guards, judged for households that say what they eat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mailshot.audience.evaluate import Evaluator
from mailshot.profile.customer import Activity, Profile, TraitValue
from mailshot.rulebook.rulebook import Rulebook

RULES = Rulebook.load(Path(__file__).parents[2])
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MEAT = {"key": "beef", "department": "MEAT", "category": "BEEF"}
PORK = {"key": "pork", "department": "MEAT", "category": "PORK"}
GUESTS = Activity("o1", NOON - timedelta(days=90), {}, MEAT, Decimal(9), Decimal(1))
BREAD = Activity("o2", NOON - timedelta(days=90), {}, {"key": "bread", "department": "GROCERY"}, Decimal(2), Decimal(1))
VEGETARIAN = {("diet", "vegetarian"): TraitValue(0.9)}


def _kept_from(product: dict[str, str], bought: Activity, answers: dict[str, bool], **known: object) -> bool:
    """Say whether a guard of the shop keeps the product from a household."""
    preferences = {("diet", value): holds for value, holds in answers.items()}
    profile = Profile(1, 0, {}, {"bought": (bought,)}, preferences=preferences, **known)  # type: ignore[arg-type]
    judge = Evaluator(profile, NOON, ZoneInfo("UTC"))
    return any(judge.verdict(guard.customers).holds and guard.never.matches(product) for guard in RULES.guards)


def test_a_vegan_who_bought_meat_once_for_guests_gets_no_meat() -> None:
    assert _kept_from(MEAT, GUESTS, {"vegan": True})


def test_a_vegetarian_who_turns_vegan_gets_no_meat() -> None:
    assert _kept_from(MEAT, BREAD, {"vegan": True})
    assert _kept_from(MEAT, GUESTS, {"vegan": True, "vegetarian": False})  # as an earlier version stored it


@pytest.mark.parametrize(
    "product",
    [
        {"department": "GROCERY", "category": "FLUID MILK PRODUCTS", "type": "FLUID MILK WHITE ONLY"},
        {"department": "NUTRITION", "category": "REFRIGERATED", "type": "DAIRY CHEESE"},
        {"department": "PASTRY", "category": "CAKES", "type": "CAKES: CREME/PUDDING"},
        {"department": "MISCELLANEOUS", "type": "BUTTER"},
        {},
    ],
)
def test_only_a_vegan_gets_nothing_that_may_not_be_a_plant(product: dict[str, str]) -> None:
    product = {"key": "one", **product}
    assert _kept_from(product, BREAD, {"vegan": True})
    assert not _kept_from(product, BREAD, {"vegetarian": True})


@pytest.mark.parametrize(
    "product",
    [
        {"department": "PRODUCE", "category": "CARROTS", "type": "CARROTS BAGGED"},
        {"department": "NUTRITION", "category": "REFRIGERATED", "type": "TOFU"},
    ],
)
def test_a_vegan_gets_plants(product: dict[str, str]) -> None:
    assert not _kept_from({"key": "one", **product}, BREAD, {"vegan": True})


@pytest.mark.parametrize(
    "product",
    [
        {"department": "GROCERY", "category": "WAREHOUSE SNACKS", "type": "MEAT SNACKS"},
        {"department": "GROCERY", "category": "BEANS - CANNED GLASS & MW", "type": "PREPARED BEANS - BAKED W/PORK"},
        {"department": "GROCERY", "category": "SOUP", "type": "CONDENSED SOUP"},
    ],
)
def test_a_vegetarian_gets_nothing_that_may_hold_meat(product: dict[str, str]) -> None:
    assert _kept_from({"key": "one", **product}, BREAD, {"vegetarian": True})
    assert not _kept_from({"key": "one", **product}, GUESTS, {"everything": True})


@pytest.mark.parametrize("answer", ["vegetarian", "vegan", "no_pork"])
def test_whoever_eats_no_meat_or_no_pork_gets_no_pork(answer: str) -> None:
    assert _kept_from(PORK, GUESTS, {answer: True})


def test_a_vegetarian_household_by_its_purchases_gets_no_pork() -> None:
    assert _kept_from(PORK, GUESTS, {}, traits=VEGETARIAN)


def test_a_household_that_eats_everything_gets_meat_and_pork() -> None:
    for product in (MEAT, PORK):
        assert not _kept_from(product, BREAD, {"everything": True}, traits=VEGETARIAN)


def test_a_household_that_eats_pork_is_not_taken_for_vegetarian() -> None:
    assert not _kept_from(MEAT, GUESTS, {"no_pork": False}, traits=VEGETARIAN)
