"""Checks the bounds of windows, in the company's time zone and in each customer's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mailshot.audience import nodes
from mailshot.facts.periods import EVER, Period, Span, Window
from mailshot.profile.activity import BOUGHT
from mailshot.store import audiences, dialect, purchase_totals, tables
from mailshot.store.engine import Store
from tests.support.conditions import AS_OF
from tests.support.population import MOMENT, ZONE, ZONES

WINDOWS = [
    EVER,
    Window(Span(14, "day")),
    Window(Period.parse("yesterday"), Period.parse("yesterday")),
    Window(Period.parse("last month"), Period.parse("last month")),
    Window(None, date(2026, 3, 28)),
    Window(date(2026, 3, 8), date(2026, 3, 29)),  # the clocks went forward on both, here and there
    Window(Span(1, "year"), Span(30, "day")),
]


@pytest.mark.parametrize("window", [*WINDOWS, *(replace(window, local=True) for window in WINDOWS)], ids=Window.words)
def test_the_first_moment_is_inside_and_the_last_one_is_not(store: Store, window: Window) -> None:
    people, lines, expected = [], [], []
    for zone in ZONES[:-1]:
        start, end = window.bounds(AS_OF, ZoneInfo(zone) if window.local else ZONE)
        edges = [edge + shift for edge in (start, end) if edge for shift in (-MOMENT, timedelta(), MOMENT)]
        for at in edges:
            who = len(people) + 1
            people.append({"id": who, "key": str(who), "lot": 0, "time_zone": zone, "facts": {}})
            lines.append(_line(who, at))
            expected += [who] if (start is None or start <= at) and at < end else []
    with store.write() as connection:
        connection.execute(dialect.table(tables.Customer).insert(), people)
        connection.execute(dialect.table(tables.Product).insert(), [{"id": 1, "key": "A", "facts": {}}])
        connection.execute(dialect.table(tables.Purchase).insert(), lines)
        purchase_totals.refresh(connection)
    compiled = audiences.compiler(AS_OF, ZONE)
    with store.read() as connection:
        assert (
            list(audiences.members(connection, compiled, nodes.ActivityCondition(0, BOUGHT, window=window))) == expected
        )


def _line(who: int, at: datetime) -> dict[str, object]:
    return {"customer_id": who, "order_key": "1", "product_id": 1, "at": at, "quantity": 1, "amount": 1}
