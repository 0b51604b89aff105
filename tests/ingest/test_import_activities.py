"""Checks the import of events, conversations and referrals, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from mailshot.errors import InvalidInput
from mailshot.store import tables
from tests.support.import_shop import Shop

EVENTS = (
    "kind: events\n    file: events.csv\n    columns: {customer: id, name: what, at: at, product: sku, amount: paid, "
    "facts.seconds: seconds, facts.page: page}"
)
TALKS = (
    "kind: interactions\n    file: talks.csv\n    columns: "
    "{customer: id, kind: kind, at: at, direction: way, outcome: outcome, facts.agent: agent}"
)
FRIENDS = "kind: referrals\n    file: friends.csv\n    columns: {customer: id, referred: friend, at: at, source: via}"


def test_events_arrive_with_their_product_and_typed_facts(shop: Shop) -> None:
    shop.all()
    shop.put(
        {
            "events.csv": "id,what,at,sku,paid,seconds,page\n1,viewed,2026-01-02,A,,12.5,home\n"
            "1,viewed,2026-01-02,,,,\n"
            "2,redeemed,2026-01-03,NEW,1.20,,\n2,veiwed,2026-01-03,A,,,\n2,viewed,2026-01-03,A,,x,\n"
            "2,viewed,2026-01-03,A,,1,garden\n"
        }
    )
    report = shop.one(EVENTS)
    assert (report.added, report.rejected) == (5, 1)
    assert set(report.by_reason) == {"what is none of: redeemed, viewed"}
    assert [reason.split(";")[0] for reason in shop.warned(report)] == [
        "sku is not described: added as a stub",
        "seconds is not a number as in 1234.56",
        "page is none of: home, shop",
    ]
    rows = shop.rows(tables.Event, "name", "product_id", "amount", "facts")
    ids = dict(shop.rows(tables.Product, "key", "id"))
    expected = [
        ("redeemed", ids["NEW"], Decimal("1.20"), {}),
        ("viewed", None, None, {}),
        ("viewed", ids["A"], None, {"seconds": 12.5, "page": "home"}),
        ("viewed", ids["A"], None, {}),
        ("viewed", ids["A"], None, {"seconds": 1.0}),
    ]
    assert len(rows) == len(expected)
    assert all(row in rows for row in expected)
    assert shop.one(EVENTS).unchanged == 5


def test_an_event_that_is_not_declared_is_refused_at_its_place(shop: Shop) -> None:
    shop.all()
    shop.put({"events.csv": "id,at\n1,2026-01-02\n"})
    columns = "customer: id, name: {value: veiwed}, at: at"
    kind = "kind: events\n    file: events.csv\n    columns: "
    with pytest.raises(InvalidInput) as caught:
        shop.one(kind + "{" + columns + ", facts.colour: {value: red}}")
    assert "events have no field 'facts.colour'" in str(caught.value)
    with pytest.raises(InvalidInput) as caught:
        shop.one(kind + "{" + columns + "}")
    assert "'veiwed' is none of: redeemed, viewed" in str(caught.value)


def test_conversations_arrive(shop: Shop) -> None:
    shop.all()
    shop.put(
        {
            "talks.csv": "id,kind,at,way,outcome,agent\n1,call,2026-01-02T10:00:00Z,out,interested,Zoë\n"
            "1,call,2026-01-02T10:00:00Z,out,interested,Zoë\n2,visit,2026-01-03,,,\n2,call,2026-01-03,sideways,,\n"
        }
    )
    report = shop.one(TALKS)
    assert (report.added, report.rejected) == (4, 0)
    assert shop.warned(report) == ["way is none of: in, out"]
    assert shop.rows(tables.Interaction, "kind", "at", "direction", "outcome", "facts")[0] == (
        "call",
        datetime(2026, 1, 2, 10, tzinfo=UTC),
        "out",
        "interested",
        {"agent": "Zoë"},
    )
    assert shop.one(TALKS).unchanged == 4


def test_referrals_arrive_and_nobody_brings_himself(shop: Shop) -> None:
    shop.all()
    shop.put({"friends.csv": "id,friend,at,via\n1,2,2026-01-02,link\n1,1,2026-01-02,link\n1,99,2026-01-02,\n"})
    report = shop.one(FRIENDS)
    assert (report.added, report.rejected) == (1, 2)
    ids = dict(shop.rows(tables.Customer, "key", "id"))
    assert shop.rows(tables.Referral, "customer_id", "referred_id", "source") == [(ids["1"], ids["2"], "link")]
