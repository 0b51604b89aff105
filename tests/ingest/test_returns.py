"""What was returned was not bought: in rules, sums, offers, traits and reports, in any order of imports."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailshot import documents
from mailshot.audience.evaluate import Evaluator
from mailshot.audience.nodes import Condition
from mailshot.audience.parse.conditions import Parser
from mailshot.facts import catalogue
from mailshot.facts.comparison import Comparison
from mailshot.facts.product_filters import EVERYTHING, Filter, ProductFilter
from mailshot.store import (
    audiences,
    backtests,
    dialect,
    installation,
    offers,
    privacy,
    profiles,
    purchase_totals,
    tables,
    traits,
)
from mailshot.store.engine import Store
from tests.support.conditions import AS_OF, VOCABULARY
from tests.support.import_shop import CUSTOMERS, Shop
from tests.support.population import Population

INPUTS = Path(__file__).parents[1] / "inputs" / "returns"
ZONE = ZoneInfo("UTC")
TODAY = datetime(2018, 1, 1, tzinfo=UTC)
LINES = (
    "kind: purchases\n    file: {}\n    columns: "
    "{{customer: customer, order: order, product: product, at: at, quantity: quantity, amount: amount}}"
)
HEAD = "customer,order,product,at,quantity,amount\n"
LAMP = ProductFilter((Filter(((catalogue.PRODUCT["key"], Comparison("is", ("lamp",))),)),))


@pytest.fixture
def returned(shop: Shop) -> Shop:
    """Return the shop with the lines of returns.csv."""
    people = "".join(f"I{number},,,\n" for number in range(1, 9))
    shop.put({"customers.csv": f"id,mail,name,age\n{people}", "returns.csv": (INPUTS / "returns.csv").read_bytes()})
    shop.load(CUSTOMERS, LINES.format("returns.csv"))
    return shop


def buy(shop: Shop, *files: str) -> None:
    """Import purchase lines, each file by itself."""
    for number, lines in enumerate(files):
        shop.put({f"lines-{number}.csv": HEAD + lines})
        shop.load(LINES.format(f"lines-{number}.csv"))


@cache
def read(rule: str) -> Condition:
    document = documents.parse_document(rule, "rule.yaml")
    problems = document.problems()
    condition = Parser(VOCABULARY, problems, "salt", lambda *_: None).condition(document.root)  # type: ignore[arg-type]
    problems.raise_if_any()
    assert condition
    return condition


def who(shop: Shop, rule: str, as_of: datetime = TODAY) -> str:
    """Return the keys of the customers whom a rule means, by the statement and by explaining each alike."""
    condition = read(rule)
    keys = dict(shop.rows(tables.Customer, "id", "key"))
    with shop.store.read() as connection:
        members = list(audiences.members(connection, audiences.compiler(as_of, ZONE), condition))
        people = [profiles.profile(connection, number, keywords=condition.words) for number in sorted(keys)]
    assert [profile.id for profile in people if Evaluator(profile, as_of, ZONE).verdict(condition).holds] == members
    assert audiences.count_matching(shop.store, audiences.compiler(as_of, ZONE), condition) == len(members)
    return " ".join(keys[number] for number in members)


RULES = {
    "bought: {}": "I7",
    "bought: {key: lamp}": "I7",
    "bought: {times: {at_least: 2}}": "",
    "bought: {times: {exactly: 1}}": "I7",
    "bought: {items: {exactly: 1}}": "I7",
    "bought: {amount: {exactly: 100}}": "I7",
    "bought: {amount: {less_than: 0}}": "",
    "bought: {average_order: {exactly: 100}}": "I7",
    "bought: {distinct_products: {at_least: 1}}": "I7",
    "bought: {days_since_last: {exactly: 31}}": "I7",
    "bought: {within: 30 days}": "",
    "lifecycle: lapsing": "I7",
    "lifecycle: [new, active]": "",
    "returned: {}": "I5 I6 I7",
    "returned: {key: lamp, within: 30 days}": "I5 I6 I7",
    "returned: {before: 2017-12-20}": "",
    "returned: {times: {exactly: 1}, items: {exactly: 1}, amount: {exactly: 100}}": "I5 I6 I7",
    "returned: {days_since_last: {exactly: 12}, days_since_first: {exactly: 12}}": "I5 I6 I7",
    "returned: {average_order: {at_least: 100}, distinct_products: {exactly: 1}}": "I5 I6 I7",
    "all: [{bought: {}}, {never_returned: {within: 5 days}}]": "I7",
}


@pytest.mark.parametrize("rule", RULES)
def test_a_return_undoes_what_it_returns(returned: Shop, rule: str) -> None:
    assert who(returned, rule) == RULES[rule]
    assert who(returned, f"not: {{{rule}}}") == " ".join(f"I{n}" for n in range(1, 9) if f"I{n}" not in RULES[rule])


def test_without_a_net_purchase_a_customer_is_a_prospect(returned: Shop) -> None:
    assert who(returned, "lifecycle: prospect") == "I1 I2 I3 I4 I5 I6 I8"


def test_before_it_came_back_it_was_bought(returned: Shop) -> None:
    earlier = datetime(2017, 12, 20, tzinfo=UTC)
    assert who(returned, "bought: {}", earlier) == "I5 I7"
    assert who(returned, "bought: {items: {exactly: 2}, amount: {exactly: 200}}", earlier) == "I7"
    assert who(returned, "lifecycle: new", earlier) == "I5 I7"
    assert who(returned, "returned: {}", earlier) == ""
    assert who(returned, "bought: {}", earlier + timedelta(seconds=1)) == "I7"


FILES = {
    "same order, another file": ("I1,r1,lamp,2017-12-01,2,200\n", "I1,r1,lamp,2017-12-20,-1,-100\n"),
    "several at once": (
        "I1,r1,lamp,2017-12-01,1,10\nI1,r2,lamp,2017-12-02,2,20\n",
        "I1,r3,lamp,2017-12-20,-2,-20\n",
        "I1,r2,bed,2017-12-02,1,500\nI1,r4,bed,2017-12-20,-1,-500\n",
    ),
    "twice in one order": (
        "I1,r1,lamp,2017-12-01,1,10\nI1,r1,lamp,2017-12-01,1,10\nI1,r1,lamp,2017-12-01,-1,-10\n",
        "I1,r1,lamp,2017-12-09,-1,-10\nI1,r2,lamp,2017-12-10,1,10\n",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_any_order_of_imports_and_any_number_of_them_comes_to_the_same(shop: Shop, name: str) -> None:
    shop.put({"customers.csv": "id,mail,name,age\nI1,,,\n", "products.csv": "key\nlamp\nbed\n"})
    shop.load(CUSTOMERS, "kind: products\n    file: products.csv\n    columns: {key: key}")
    states = []
    for order in permutations(FILES[name]):
        with shop.store.write() as connection:
            for table in (tables.Purchase, tables.Order, tables.Buyer):
                connection.execute(dialect.table(table).delete())
        buy(shop, *order)
        states.append(shop.everything())
        buy(shop, *order)
        assert shop.everything() == states[0]
    assert all(state == states[0] for state in states)


def test_a_file_that_comes_again_is_not_changed(returned: Shop) -> None:
    report = returned.one(LINES.format("returns.csv"))
    assert (report.added, report.changed, report.unchanged) == (0, 0, 5)


def test_a_corrected_file_undoes_what_followed_from_the_first(returned: Shop) -> None:
    buy(returned, "I7,r5,lamp,2017-12-20,-2,-200\n")
    assert who(returned, "bought: {}") == ""
    buy(returned, "I7,r5,lamp,2017-12-20,-1,-100\nI5,r2,bed,2017-12-20,-1,-100\n")
    assert who(returned, "bought: {amount: {exactly: 100}}") == "I7"
    buy(returned, "I7,r4,lamp,2017-12-01,1,100\n")
    assert who(returned, "bought: {}") == ""
    buy(returned, "I7,r4,lamp,2017-12-01,3,300\n")
    assert who(returned, "bought: {items: {exactly: 2}}") == "I7"


def test_amounts_that_do_not_go_with_the_quantity_are_told(returned: Shop) -> None:
    returned.put({"odd.csv": f"{HEAD}I1,o,bed,2017-12-01,2,20\nI1,o,bed,2017-12-02,-1,10\nI2,o,bed,2017-12-02,0,-5\n"})
    report = returned.one(LINES.format("odd.csv"))
    assert report.rejected == 0
    assert sum(count for reason, count in report.warnings.items() if "paid back" in reason) == 1
    assert sum(count for reason, count in report.warnings.items() if "counts neither" in reason) == 1
    assert who(returned, "bought: {key: bed, amount: {exactly: 10}}") == "I1"
    assert who(returned, "returned: {key: bed, amount: {exactly: 10}}") == "I1"


def test_a_line_without_quantity_counts_if_money_was_paid(returned: Shop) -> None:
    buy(returned, "I1,o,figs,2017-12-01,0,0\nI2,o,figs,2017-12-02,0,0.49\nI3,o,figs,2017-12-02,0,-1\n")
    assert who(returned, "bought: {key: figs}") == "I2"
    assert who(returned, "lifecycle: prospect") == "I1 I3 I4 I5 I6 I8"
    assert who(returned, "returned: {key: figs}") == ""


def ids(shop: Shop) -> dict[str, int]:
    return {key: number for number, key in shop.rows(tables.Customer, "id", "key")}


def test_offers_rank_what_was_kept(returned: Shop) -> None:
    buy(
        returned,
        "I1,a,lamp,2017-12-01,2,20\nI1,b,lamp,2017-12-02,1,10\nI1,c,lamp,2017-12-03,1,10\nI1,d,lamp,2017-12-09,-1,-10\n"
        "I1,a,bed,2017-12-01,1,5\nI1,b,bed,2017-12-02,1,5\nI1,c,bed,2017-12-03,1,5\n"
        "I2,a,bed,2017-12-03,1,5\nI3,a,lamp,2017-12-03,1,5\nI3,b,lamp,2017-12-04,-1,-5\n",
    )
    goods = dict(returned.rows(tables.Product, "id", "key"))
    people, since = ids(returned), datetime(2017, 1, 1, tzinfo=UTC)

    def best(as_of: datetime) -> dict[str, list[tuple[str, int]]]:
        compiled = audiences.compiler(as_of, ZONE)
        some = [people["I1"], people["I3"], people["I5"]]
        with returned.store.read() as connection:
            bought = offers.most_bought(connection, compiled, EVERYTHING, since, some, (), 3)
        keys = {number: key for key, number in people.items()}
        return {keys[number]: [(goods[product], times) for product, times in mine] for number, mine in bought.items()}

    assert best(TODAY) == {"I1": [("bed", 3), ("lamp", 2)]}
    before = best(datetime(2017, 12, 4, tzinfo=UTC))
    assert sorted(before["I1"]) == [("bed", 3), ("lamp", 3)]
    assert before["I3"] == [("lamp", 1)]
    with returned.store.read() as connection:
        rankings = [
            offers.popular(connection, LAMP, datetime(2017, 12, 3, tzinfo=UTC), until, 1)
            for until in (datetime(2017, 12, 4, tzinfo=UTC), TODAY)
        ]
    assert [[goods[number] for number in some] for some in rankings] == [["lamp"], []]


def test_a_returned_steak_is_no_meat_bought(returned: Shop) -> None:
    window = (None, TODAY)
    earlier = TODAY - timedelta(days=20)
    with returned.store.read() as connection:
        counts = list(traits.count_trait_lines(connection, EVERYTHING, LAMP, window, TODAY))
        then = list(traits.count_trait_lines(connection, EVERYTHING, LAMP, (None, earlier), earlier))
    assert [(count.lines, count.hits) for count in counts] == [(1, 1)]
    assert len(then) == 2


def test_a_look_back_counts_what_was_then_bought_and_kept(returned: Shop) -> None:
    spending = backtests.Spending(EVERYTHING, datetime(2017, 11, 1, tzinfo=UTC), TODAY)
    compiled = audiences.compiler(datetime(2017, 11, 1, tzinfo=UTC), ZONE, back=True)
    with returned.store.read() as connection:
        seen = backtests.total_audience(connection, compiled, read("everyone: yes"), spending)
    assert (seen.inside.buyers, seen.inside.spent) == (1, Decimal(100))


def test_a_customer_is_read_the_lines_as_they_were_imported(returned: Shop) -> None:
    with returned.store.read() as connection:
        lines = {name: list(rows) for name, rows in privacy.export(connection, ids(returned)["I7"])}["purchase"]
    assert sorted((line["quantity"], line["amount"]) for line in lines) == [
        ("-1.0000", "-100.0000"),
        ("2.0000", "200.0000"),
    ]


def test_what_was_returned_is_marked_and_nothing_else_is(returned: Shop) -> None:
    standing = [
        row[:3]
        for row in returned.rows(tables.Purchase, "order_key", "quantity", "amount", "returned_at")
        if row[3] is None
    ]
    assert standing == [("r4", Decimal(1), Decimal(100))]
    with returned.store.write() as connection:
        before = returned.everything()
        purchase_totals.refresh(connection)
    assert returned.everything() == before


def test_an_older_database_is_brought_to_the_same_rows(returned: Shop) -> None:
    buy(returned, "I1,r1,lamp,2017-12-01,2,200\nI1,r1,lamp,2017-12-20,-1,-100\nI1,r1,lamp,2017-12-01,3,30\n")
    before = returned.everything()
    with returned.store.write() as connection:
        command.downgrade(installation.config(connection), "0007")
    with returned.store.read() as connection:
        numbers = connection.exec_driver_sql("SELECT nth, quantity FROM purchase WHERE order_key = 'r1' ORDER BY nth")
        assert sorted(row[0] for row in numbers) == [1, 1, 2, 3]
        lines = connection.exec_driver_sql("SELECT sum(lines), count(*) FROM buyer").one()
    assert tuple(map(int, lines)) == (8, 4)
    assert installation.upgrade_schema(returned.store) == ("0007", installation.required_version())
    assert returned.everything() == before
    report = returned.one(LINES.format("returns.csv"))
    assert (report.added, report.changed) == (0, 0)


SIMPLE = """
bought: {}
bought: {times: {exactly: 1}}
bought: {times: {at_most: 1}}
bought: {times: {at_least: 2}}
bought: {items: {exactly: 1}}
bought: {amount: {at_least: 1}}
bought: {amount: {at_most: 1}}
bought: {average_order: {at_most: 1}}
bought: {distinct_products: {exactly: 1}}
bought: {days_since_last: {exactly: 2}}
bought: {days_since_first: {at_most: 2}}
bought: {key: Lit-1, days_since_last: {at_most: 2}}
bought: {within: 3 days}
never_bought: {key: Lit-1, within: 3 days}
lifecycle: prospect
lifecycle: [prospect, lapsed]
lifecycle: new
lifecycle: [active, lapsing]
returned: {key: Lit-1}
returned: {times: {exactly: 1}, amount: {at_least: 1}}
returned: {items: {at_most: 1}, within: 3 days}
never_returned: {within: 3 days}
""".strip().splitlines()
# Few days, products and orders, so that most returns find something.
LINE = st.fixed_dictionaries(
    {
        "customer_id": st.integers(1, 2),
        "product_id": st.integers(1, 2),
        "order_key": st.sampled_from(("a", "b", "c")),
        "at": st.sampled_from([AS_OF - timedelta(days=days) for days in (400, 40, 5, 2, 1, 0)]),
        "quantity": st.sampled_from([Decimal(number) for number in ("1", "1", "2", "-1", "-1", "-2", "0")]),
        "amount": st.sampled_from([Decimal(number) for number in ("1", "2", "-1", "-2", "0")]),
    }
)


@pytest.fixture
def both(sqlite_url: str, postgres_url: str) -> Iterator[list[Store]]:
    stores = [Store.open(sqlite_url), Store.open(postgres_url)]
    yield stores
    for store in stores:
        store.close()


@given(st.lists(LINE, min_size=1, max_size=10), st.sampled_from((0, 2, 5)))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_measure_is_net_of_returns_as_of_any_day(
    both: list[Store], lines: list[dict[str, Any]], days: int
) -> None:
    as_of = AS_OF - timedelta(days=days)
    people = [{"id": number, "key": f"Lit-{number}", "lot": number, "facts": {}} for number in (1, 2)]
    goods = [{"id": number, "key": f"Lit-{number}", "known": True, "facts": {}} for number in (1, 2)]
    numbered = [{**line, "nth": number} for number, line in enumerate(lines, 1)]
    rows = {tables.Customer: people, tables.Product: goods, tables.Purchase: numbered}
    for store in both:
        with store.engine.connect().execution_options(write=True) as connection, connection.begin() as transaction:
            Population(rows).put(connection)
            profile = [profiles.profile(connection, row["id"]) for row in people]
            for rule in SIMPLE:
                judged = [person.id for person in profile if Evaluator(person, as_of, ZONE).verdict(read(rule)).holds]
                members = audiences.members(connection, audiences.compiler(as_of, ZONE), read(rule))
                assert list(members) == judged, (rule, store.engine.dialect.name)
            transaction.rollback()
