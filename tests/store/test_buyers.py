"""The sums over purchases, made anew of a few."""

from __future__ import annotations

from mailshot.store import buyers
from mailshot.store.engine import Store
from tests.store.steps import steps


def test_the_sums_of_a_few_are_found_by_their_keys(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    with steps(store) as told, store.write() as connection:
        buyers.refresh(connection, [1, 2])
        buyers.weigh(connection, [1, 2])
    assert len(told) == 10
    assert not [one for one in told if "SCAN purchase" in one or "SCAN buyer" in one]
    store.close()
