"""Checks that a product can be made up that matches a product group."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import HealthCheck, given, settings

from mailshot.audience.examples import products
from mailshot.facts.comparison import Comparison
from mailshot.facts.product_filters import EVERYTHING, Filter, ProductFilter
from mailshot.rulebook.rulebook import Rulebook
from tests.support import population
from tests.support.conditions import PRODUCT, SELECTIONS
from tests.support.customer_site import RULES


def of(*fields: tuple[str, str, object], exceptions: ProductFilter | None = None) -> ProductFilter:
    made = tuple((PRODUCT[name], Comparison(how, (value,))) for name, how, value in fields)  # type: ignore[arg-type]
    return ProductFilter((Filter(made, exceptions=exceptions),))


def test_every_group_of_the_example_shop_has_a_product() -> None:
    groups = Rulebook.load(RULES.parent).groups
    assert groups
    for name, group in groups.items():
        product = products.synthesize(group, {})
        assert product, name
        assert group.matches(product)
    assert products.synthesize(groups["vegetables"], {"brand": "B"}) == {
        "brand": "B",
        "department": "PRODUCE",
        "category": "VEGETABLES - ALL OTHERS",
    }
    assert products.synthesize(groups["vegetables"], {"department": "MEAT"}) is None


def test_the_product_satisfies_all_comparisons_together() -> None:
    texts = of(("name", "starts_with", "A"), ("name", "ends_with", "z"), ("name", "contains", "-"))
    assert products.synthesize(texts, {}) == {"name": "A-z"}
    numbers = of(
        ("price", "more_than", Decimal(2)), ("price", "less_than", Decimal("2.5")), ("weight", "at_most", Decimal(3))
    )
    assert products.synthesize(numbers, {}) == {"price": Decimal("2.0001"), "weight": 3}
    kept = of(("organic", "is", False), ("launched", "less_than", date(2020, 1, 1)), ("size", "known", True))
    assert products.synthesize(kept, {}) == {"organic": False, "launched": "2019-12-31", "size": "some"}
    assert products.synthesize(of(("size", "known", False)), {}) == {}
    assert products.synthesize(of(("price", "exactly", Decimal(1)), ("price", "exactly", Decimal(2))), {}) is None
    assert products.synthesize(EVERYTHING, {"key": "A"}) == {"key": "A"}


def test_the_product_matches_no_exception() -> None:
    unless = of(("size", "known", False))
    assert products.synthesize(of(("department", "is", "A"), exceptions=unless), {}) == {
        "department": "A",
        "size": "some",
    }
    assert products.synthesize(of(("department", "is", "A"), exceptions=of(("department", "is", "A"))), {}) is None


@given(SELECTIONS, population.PRODUCT)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_product_is_found_if_a_real_one_exists(selection: ProductFilter, product: dict[str, object]) -> None:
    real = {"key": "Lit-1", **product, **product["facts"]}  # type: ignore[dict-item]
    synthesized = products.synthesize(selection, {})
    assert synthesized is not None or not selection.matches(real)
    assert synthesized is None or selection.matches(synthesized)
