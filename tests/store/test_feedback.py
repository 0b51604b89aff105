from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

from mailshot.feedback import tracking
from mailshot.feedback.tracking import Fetch
from mailshot.states import DeliveryState
from mailshot.store import consent, feedback
from mailshot.store.engine import Connection, Store
from tests.support import customer_site
from tests.support.customer_site import ADA, BEN, BROWSER, LINK, LINK_URL, RUN

NOW = customer_site.BEGAN.replace(second=10, microsecond=0)


def fetch(seconds: float = 0, method: str = "GET", agent: str = BROWSER, customer: int = ADA) -> Fetch:
    return Fetch(RUN, customer, NOW + timedelta(seconds=seconds), method, agent)


def record_open(connection: Connection, request: Fetch) -> None:
    assert tracking.record_fetches(connection, [request]) == [None]


def record_click(connection: Connection, request: Fetch, link: int) -> str | None:
    (url,) = tracking.record_fetches(connection, [replace(request, link_id=link)])
    return url


def test_the_same_request_again_changes_nothing(store: Store) -> None:
    customer_site.seed(store)
    with store.write() as connection:
        for _ in range(10):
            assert record_click(connection, fetch(), LINK) == LINK_URL
            record_open(connection, fetch())
    rows = customer_site.Look(store).feedback()
    assert [(row["kind"], row["by"], row["link_id"]) for row in rows] == [
        ("clicked", "human", LINK),
        ("opened", "human", None),
    ]


def test_a_later_open_counts_again_and_a_scanner_hides_no_person(store: Store) -> None:
    customer_site.seed(store)
    with store.write() as connection:
        record_click(connection, fetch(method="HEAD"), LINK)
        record_click(connection, fetch(10), LINK)
        record_click(connection, fetch(3600), LINK)
    assert [row["by"] for row in customer_site.Look(store).feedback("clicked")] == ["scanner", "human", "human"]


def test_a_burst_of_clicks_is_a_scanner_in_any_order_of_arrival(store: Store) -> None:
    customer_site.seed(store)
    urls = {number: f"https://shop.example.com/{number}" for number in range(11, 15)}
    with store.write() as connection:
        feedback.store_links(connection, urls)
    for hour, order in enumerate(permutations([(11, 0.0), (12, 0.9), (13, 1.8), (14, 30.0)]), start=1):
        with store.write() as connection:
            for link, second in order:
                record_click(connection, fetch(hour * 3600 + second), link)
    rows = customer_site.Look(store).feedback("clicked")
    assert {(row["link_id"], row["by"]) for row in rows} == {
        (11, "scanner"),
        (12, "scanner"),
        (13, "scanner"),
        (14, "human"),
    }
    assert len(rows) == 24 * 4


def test_nothing_is_stored_without_consent_to_tracking(store: Store) -> None:
    customer_site.seed(store)
    with store.write() as connection:
        assert record_click(connection, fetch(customer=BEN), LINK) == LINK_URL
        record_open(connection, fetch(customer=BEN))
        record_open(connection, Fetch(999, ADA, NOW, "GET", BROWSER))
        consent.record_consent(connection, ADA, "tracking", False, NOW, "page")
        assert record_click(connection, fetch(), LINK) == LINK_URL
        record_open(connection, fetch())
    assert customer_site.Look(store).feedback() == []


def test_a_click_of_a_person_settles_an_unconfirmed_delivery_and_of_a_scanner_does_not(store: Store) -> None:
    customer_site.seed(store)
    d = feedback.DELIVERY
    mine = (d.c.run_id == RUN) & (d.c.customer_id == ADA)

    def state() -> str:
        with store.read() as connection:
            return str(connection.execute(d.select().where(mine)).one().state)

    with store.write() as connection:
        connection.execute(d.update().where(mine).values(state=DeliveryState.unconfirmed.value, dotted_at=NOW))
        record_click(connection, fetch(60, method="HEAD"), LINK)
        record_click(connection, fetch(1), LINK)
    assert state() == "unconfirmed"
    with store.write() as connection:
        record_click(connection, fetch(60), LINK)
    assert state() == "sent"
    with store.write() as connection:
        connection.execute(d.update().where(mine).values(state=DeliveryState.refused.value))
        record_open(connection, fetch(120))
    assert state() == "refused"


def test_fetches_of_one_batch_are_recorded_as_one_by_one(store: Store) -> None:
    customer_site.seed(store)
    urls = {number: f"https://shop.example.com/{number}" for number in range(11, 14)}
    with store.write() as connection:
        feedback.store_links(connection, urls)
    burst = [replace(fetch(7200 + number * 0.5), link_id=11 + number) for number in range(3)]
    batch = [
        fetch(),
        replace(fetch(), link_id=LINK),
        replace(fetch(), link_id=LINK),
        replace(fetch(customer=BEN), link_id=LINK),
        replace(fetch(), link_id=99),
        *burst,
    ]
    with store.write() as connection:
        addresses = tracking.record_fetches(connection, batch)
    assert addresses == [None, LINK_URL, LINK_URL, LINK_URL, None, *urls.values()]
    rows = customer_site.Look(store).feedback()
    assert sorted((row["kind"], row["by"], row["link_id"] or 0, row["customer_id"]) for row in rows) == [
        ("clicked", "human", LINK, ADA),
        ("clicked", "scanner", 11, ADA),
        ("clicked", "scanner", 12, ADA),
        ("clicked", "scanner", 13, ADA),
        ("opened", "human", 0, ADA),
    ]
