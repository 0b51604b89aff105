"""A campaign with a goal, the way a marketer goes: mails go out, purchases are imported, report and rule agree."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from typer.testing import CliRunner

from mailshot import tasks
from mailshot.bootstrap import App
from mailshot.campaign import conversions
from mailshot.cli.main import cli
from mailshot.states import FeedbackKind
from mailshot.store import dialect, feedback, purchase_totals, tables
from mailshot.store.engine import Store
from mailshot.store.feedback import FeedbackEvent
from tests.support import processes
from tests.support.project import Shop

GOAL = "goal: {products: {department: GREEN}, within: 14 days}\n"
MAPPING = """name: till
time_zone: UTC
imports:
  - {kind: products, file: products.csv, columns: {key: sku, department: area}}
  - kind: purchases
    file: purchases.csv
    columns: {customer: id, order: receipt, product: sku, at: at, quantity: n, amount: paid}
"""
BUYERS = """select count(distinct p.customer_id) from purchase p join product on product.id = p.product_id
    join delivery d on d.customer_id = p.customer_id and d.run_id = :run and d.state = 'sent'
    where product.department = 'GREEN' and p.at >= d.dotted_at and
    (select sum(quantity) from purchase o where o.customer_id = p.customer_id and o.order_key = p.order_key) > 0"""


def mailshot(shop: Shop, *arguments: str) -> Any:
    """Run a command in this process and return what it printed as JSON."""
    # Settings are read from the environment and the folder, as a user's are.
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shop.folder)
        for name, value in shop.environment().items():
            patch.setenv(name, value)
        done = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_report_rule_and_sql_agree_after_any_import(store: Store, tmp_path: Path) -> None:
    shop = Shop.open(store, tmp_path / "shop", 5)
    sent = datetime.now(UTC).replace(microsecond=0) - timedelta(days=5)
    run_id = shop.launch(shop.campaign(more=GOAL), sent)
    delivery = dialect.table(tables.Delivery)
    with store.write() as connection:
        connection.execute(delivery.update().values(state="sent", dotted_at=sent, settled_at=sent))
        last = max(shop.customers)
        connection.execute(delivery.update().where(delivery.c.customer_id == last).values(state="holdout"))
    (shop.folder / "mapping.yaml").write_text(MAPPING)
    (shop.folder / "products.csv").write_text("sku,area\nfig,GREEN\nham,MEAT\n")
    rows = [("c1", "r1", "fig", 1, 1), ("c1", "r2", "fig", 2, 1), ("c2", "r3", "ham", 1, 1), ("c3", "r4", "fig", -1, 1),
            ("c4", "r5", "fig", 3, 1), ("c5", "r6", "fig", 1, 1)]  # fmt: skip
    for given_back in ([], [("c4", "r5", "fig", 4, -1)], []):
        lines = [f"{who},{order},{sku},{(sent + timedelta(days=days)).isoformat()},{n},{n}"
                 for who, order, sku, days, n in rows + given_back]  # fmt: skip
        (shop.folder / "purchases.csv").write_text("\n".join(["id,receipt,sku,at,n,paid", *lines]) + "\n")
        mailshot(shop, "import", "mapping.yaml")
        report = mailshot(shop, "report", "hello")
        with store.read() as connection:
            by_hand = connection.execute(text(BUYERS), {"run": run_id}).scalar_one()
        assert 0 < report["converted"] == report["mailed"]["buyers"] == by_hand
        assert count(shop, "converted") == by_hand
        assert count(shop, "never_converted") == len(shop.customers) - by_hand


def test_the_clock_makes_what_a_click_changes(store: Store, shop: Shop, app: Callable[..., App]) -> None:
    sent = datetime.now(UTC) - timedelta(days=5)
    runs = [shop.launch(shop.campaign(name, "goal: {within: 14 days}\n"), sent) for name in ("first", "second")]
    who = shop.customers[0]
    line = {"customer_id": who, "order_key": "r", "product_id": 1, "at": sent + timedelta(days=2), "nth": 1,
            "quantity": 1, "amount": 1}  # fmt: skip
    with store.write() as connection:
        connection.execute(
            dialect.table(tables.Delivery).update().values(state="sent", dotted_at=sent, settled_at=sent)
        )
        connection.execute(dialect.table(tables.Purchase).insert(), line)
        purchase_totals.refresh(connection, [who])
    conversions.make_conversions(store)
    assert credited(store) == [runs[1]]
    piece = FeedbackEvent(who, FeedbackKind.clicked, "click", sent + timedelta(days=1), runs[0])
    with store.write() as connection:
        feedback.record_event(connection, piece)
    stop = threading.Event()
    clock = threading.Thread(target=tasks.tick_until, args=(app(), stop))
    clock.start()
    try:
        processes.until(lambda: credited(store) == [runs[0]], 60, "the clicked mail has the credit")
    finally:
        stop.set()
        clock.join()


def credited(store: Store) -> list[int]:
    """Return the run of every conversion."""
    f = dialect.table(tables.Feedback).c
    with store.read() as connection:
        return list(connection.scalars(select(f.run_id).where(f.kind == "converted")))


def count(shop: Shop, word: str) -> int:
    """Count the customers whom a rule with this word means."""
    rule = f"audience: {word}\nwho: {{{word}: {{campaign: hello}}}}\n"
    (shop.folder / f"rules/audiences/{word}.yaml").write_text(rule)
    return int(mailshot(shop, "rules", "count", word)["audiences"][word])
