"""Checks that the totals of a few customers are recomputed by key."""

from __future__ import annotations

import re

from mailshot.store import purchase_totals
from mailshot.store.engine import Store
from tests.support.query_plans import steps


def test_the_totals_of_a_few_customers_are_recomputed_by_key(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    with steps(store) as plan, store.write() as connection:
        purchase_totals.refresh(connection, [1, 2])
        purchase_totals.count_product_lines(connection, [1, 2])
    # Conversions to make: 1. Returns: 4, here without any. Orders: 3. Buyers: 2. Products: 1.
    assert len(plan) == 11
    tables = ("purchase", "purchase_order", "buyer", "product", "delivery", "run")
    assert not [step for step in plan for table in tables if re.search(rf"SCAN {table}\b", step)]
    store.close()
