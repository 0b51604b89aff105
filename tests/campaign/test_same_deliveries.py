"""Checks that the same shop gets the same deliveries on both databases: who, what, which offers, and why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from mailshot.campaign import launch
from mailshot.store import dialect, tables
from mailshot.store.engine import Store
from tests.support.campaigns import NOW, edition, everybody, open_shop, planned

CUSTOMER, DELIVERY = dialect.table(tables.Customer), dialect.table(tables.Delivery)


def test_both_databases_decide_the_same(sqlite_url: str, postgres_url: str, tmp_path: Path) -> None:
    small = _deliveries(Store.open(sqlite_url), tmp_path / "sqlite")
    large = _deliveries(Store.open(postgres_url), tmp_path / "postgres")
    assert small == large
    assert len({(state, reason) for state, _, reason, _ in small.values()}) > 5, "many reasons are among them"


def _deliveries(store: Store, folder: Path) -> dict[str, tuple[Any, ...]]:
    """Build the shop, plan and launch, and return the ledger by the customers' own keys."""
    shop = open_shop(store, folder)
    everybody(shop)
    planned(shop)
    run_id = launch.launch_plan(store, edition(shop), NOW, NOW).run_id
    columns = (CUSTOMER.c.key, DELIVERY.c.state, DELIVERY.c.content, DELIVERY.c.reason, DELIVERY.c.offers)
    rows = select(*columns).join(CUSTOMER, CUSTOMER.c.id == DELIVERY.c.customer_id).where(DELIVERY.c.run_id == run_id)
    with store.read() as connection:
        deliveries = {key: tuple(rest) for key, *rest in connection.execute(rows)}
    store.close()
    return deliveries
