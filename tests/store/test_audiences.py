"""Checks that customers are counted once, however many connections count them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import TextClause, event, text

from mailshot.audience import nodes
from mailshot.audience.compile import Compiler
from mailshot.audience.nodes import Aggregate
from mailshot.facts.comparison import Comparison
from mailshot.facts.periods import Span, Window
from mailshot.profile.activity import BOUGHT
from mailshot.profile.implications import isolated_closure
from mailshot.store import audiences, privacy
from mailshot.store.engine import Connection, Store
from mailshot.store.selectivity import DataStatistics
from tests.support import servers
from tests.support.answers import say
from tests.support.conditions import AS_OF
from tests.support.ledger_rows import customers
from tests.support.population import ZONE

EVERYONE = nodes.Everyone(0)

# Spent 1 or more in a year: asks for a look at the orders of each customer.
SPENT = nodes.ActivityCondition(
    0,
    BOUGHT,
    window=Window(start=Span(1, "year")),
    measures=(Aggregate("amount", Comparison("at_least", (Decimal(1),))),),
)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """Make every customer worth a connection of its own, and keep whom each was asked about."""
    parts: list[range] = []
    within = Compiler.within

    def noted(self: Compiler, ids: range | None) -> Compiler:
        parts.append(ids or range(0))
        return within(self, ids)

    monkeypatch.setattr(audiences, "LEAST_IDS", 1)
    monkeypatch.setattr(Compiler, "within", noted)
    monkeypatch.setattr(Store, "readers", 3)
    return parts


@pytest.mark.parametrize("number", [0, 1, 2, 3, 10])
def test_every_customer_is_counted_once(store: Store, counted: list[range], number: int) -> None:
    customers(store, number)
    assert audiences.count_matching(store, audiences.compiler(AS_OF, ZONE), EVERYONE) == number
    assert len(counted) == max(min(number, 3), 1)
    assert len([who for some in counted for who in some]) == len({who for some in counted for who in some})


def test_members_of_a_selective_condition_are_counted_once(
    store: Store, counted: list[range], monkeypatch: pytest.MonkeyPatch
) -> None:
    who = customers(store, 9)
    with store.write() as connection:
        for customer_id in who:
            say(connection, customer_id, "diet", "vegan", AS_OF)
    monkeypatch.setattr(DataStatistics, "selectivity", lambda *_: 0.0)
    for rare in (
        nodes.HasPreference(0, "diet", isolated_closure("vegan")),
        nodes.HasTrait(0, "diet", isolated_closure("vegan"), 0.5),
    ):
        assert audiences.count_matching(store, audiences.compiler(AS_OF, ZONE), nodes.All(0, (rare, EVERYONE))) == 9
    assert len(counted) == 6


def test_counting_is_shared_among_connections(store: Store, counted: list[range]) -> None:
    customers(store, 9)
    opened: list[object] = []
    event.listen(store.engine, "checkout", lambda *arguments: opened.append(arguments[0]))
    assert audiences.count_matching(store, audiences.compiler(AS_OF, ZONE), SPENT) == 0
    assert len(counted) == 3
    assert len(opened) == 1 + 3


def test_with_one_connection_the_parts_are_counted_in_turn(counted: list[range], postgres_url: str) -> None:
    store = Store.open(postgres_url)
    customers(store, 9)
    store.close()
    with servers.guest(postgres_url, connections=1) as url:
        store = Store.open(url)
        assert audiences.count_matching(store, audiences.compiler(AS_OF, ZONE), EVERYONE) == 9
        assert len(counted) == 3
        store.close()


def test_parallel_connections_use_no_parallel_workers(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    helpers = text("SHOW max_parallel_workers_per_gather")
    assert audiences.count_parallel(store, _asked, [helpers, helpers]) == 0
    for count in ([helpers], [helpers]):
        assert audiences.count_parallel(store, _asked, count) > 0
    store.close()


def test_a_failing_count_cancels_the_others(store: Store) -> None:
    endless = {"sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"}
    slow = text(endless.get(store.engine.dialect.name, "SELECT 1 FROM pg_sleep(3600)"))
    with pytest.raises(ZeroDivisionError):
        audiences.count_parallel(store, _asked, [slow, None])
    assert audiences.count_parallel(store, _asked, [text("SELECT 2"), text("SELECT 3")]) == 5


def _asked(connection: Connection, statement: TextClause | None) -> int:
    return 1 // 0 if statement is None else int(connection.scalar(statement) or 0)


def test_a_database_in_memory_has_one_connection() -> None:
    store = Store.memory()
    assert store.readers == 1
    store.close()


@pytest.mark.parametrize(("ids", "number"), [(range(0), 4), (range(5, 6), 4), (range(3, 103), 7), (range(10), 0)])
def test_key_ranges_cover_the_whole(ids: range, number: int) -> None:
    ranges = audiences.key_ranges(ids, number)
    assert [customer_id for some in ranges for customer_id in some] == list(ids)
    assert len(ranges) <= max(number, 1)
    assert all(ranges)


def test_erased_customers_do_not_match_never_bought(store: Store) -> None:
    customers(store, 3)
    bought = nodes.ActivityCondition(0, BOUGHT, window=Window(start=Span(1, "year")))
    never = nodes.Not(0, bought)
    with store.write() as connection:
        (first, *_) = audiences.members(connection, audiences.compiler(AS_OF, ZONE), never)
        assert privacy.erase(connection, first, b"k" * 16, "test", AS_OF)
    for condition in (never, EVERYONE):
        for back in (False, True):
            compiled = audiences.compiler(AS_OF, ZONE, back=back)
            assert audiences.count_matching(store, compiled, condition) == 2
            with store.read() as connection:
                assert first not in audiences.members(connection, compiled, condition)
