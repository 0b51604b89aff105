"""A template that costs too much for one customer skips that customer's mail only."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from mailshot.bootstrap import App
from mailshot.campaign import plan, snapshot
from mailshot.deliver import pipeline
from mailshot.rulebook.rulebook import Rulebook
from mailshot.states import Reason
from mailshot.store import dialect, tables
from tests.support.processes import Sink
from tests.support.project import FILES, NOW, Shop

CUSTOMER, DELIVERY = dialect.table(tables.Customer), dialect.table(tables.Delivery)
BODY = "templates/hello/body.html"
SQUARED = "{% set name = customer.first_name %}{% for a in name %}{% for b in name %}{% endfor %}{% endfor %}"


@pytest.fixture
def bombed(shop: Shop) -> Shop:
    """Give a shop whose mail takes time with the square of a name's length, and a customer with a very long name."""
    (shop.folder / BODY).write_text(FILES[BODY].replace("<p>", f"<p>{SQUARED}", 1))
    with shop.store.write() as connection:
        last = CUSTOMER.update().where(CUSTOMER.c.id == shop.customers[-1])
        connection.execute(last.values(first_name="x" * 20_000))
    return shop


def test_the_others_get_their_mail(bombed: Shop, sink: Sink, app: Callable[..., App]) -> None:
    run_id = bombed.launch()
    pipeline.send_batch(app().send_settings, run_id, 2000, threading.Event())
    with bombed.store.read() as connection:
        rows = connection.execute(DELIVERY.select().where(DELIVERY.c.run_id == run_id)).mappings().all()
    by_customer = {row["customer_id"]: row for row in rows}
    lost = by_customer.pop(bombed.customers[-1])
    assert (lost["state"], lost["reason"]) == ("skipped", Reason.render_failed)
    assert "templates/hello/body.html:3:" in lost["reply"]
    assert "more work than a mail may cost" in lost["reply"]
    assert {row["state"] for row in by_customer.values()} == {"sent"}
    assert len(sink.entries()) == len(by_customer) == 59


def test_plan_and_check_name_a_bomb_behind_a_condition(shop: Shop) -> None:
    bomb = (
        "{% if customer.first_name == 'Nobody' %}"
        + "{% for a in range(1000) %}" * 2
        + "{% endfor %}" * 2
        + "{% endif %}"
    )
    (shop.folder / BODY).write_text(FILES[BODY].replace("<p>", f"<p>{bomb}", 1))
    edition = shop.campaign()
    [problem] = snapshot.faults(snapshot.take_snapshot(Rulebook.load(shop.folder), shop.folder, "hello"))
    assert (problem.file, problem.line) == (BODY, 3)
    assert "costs too much, at least for some customers" in problem.message
    assert "Use fewer loops" in problem.message
    made = plan.make_plan(shop.store, edition, NOW, NOW)
    assert any("costs too much" in error for error in made.errors)
