"""Checks that the largest allowed rules run with correct results, at the lowest limits that SQLite is built with."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from decimal import Decimal

import pytest

from mailshot import documents
from mailshot.audience.evaluate import Evaluator
from mailshot.audience.nodes import Condition
from mailshot.audience.registry import AudienceRegistry
from mailshot.profile import bucketing
from mailshot.store import audiences, profiles, tables
from mailshot.store.engine import Connection, Store
from tests.support.conditions import AS_OF, VOCABULARY
from tests.support.population import ZONE, ZONES, Population

MAX, DEEPEST, LONGEST = 500, 20, 10_000
PEOPLE = range(12)
SHOP = Population(
    {
        tables.Customer: [
            {
                "id": n + 1, "key": f"k{n}", "lot": bucketing.bucket(str(n)), "country": f"c{n * 40}" if n else None,
                "first_name": "Ann", "joined_at": AS_OF - timedelta(days=40 * n), "time_zone": ZONES[n % len(ZONES)],
                "facts": {"age": n * 40, "born": f"19{50 + n}-0{1 + n % 9}-28", "member": n % 2 == 0},
            }
            for n in PEOPLE
        ],
        tables.Product: [
            {
                "id": n + 1, "key": f"p{n * 800}", "known": True, "name": f"c{n * 20}", "department": "A",
                "price": Decimal(n), "facts": {"weight": n * 40},
            }
            for n in PEOPLE
        ],
        tables.Purchase: [
            {
                "customer_id": n + 1, "product_id": (n * m) % 12 + 1, "nth": m, "order_key": f"o{m}", "channel": "web",
                "at": AS_OF - timedelta(days=30 * n + m), "quantity": Decimal(m), "amount": Decimal(n * m),
            }
            for n in PEOPLE for m in range(1, n + 1)
        ],
    }
)  # fmt: skip


def rule(who: str, name: str = "x") -> str:
    return f"audience: {name}\nwho: {who}\n"


def many(template: str, count: int = MAX - 1, first: int = 0) -> str:
    return ", ".join(f"{{{template.replace('#', str(n))}}}" for n in range(first, first + count))


def values(template: str, count: int) -> str:
    return f"[{', '.join(template.replace('#', str(n)) for n in range(count))}]"


def chain(head: str, template: str, size: int = 1) -> list[str]:
    """Return audiences that name each other to the deepest level; with each of them go as many conditions as fit."""
    links = DEEPEST // 2
    width = (MAX // links - 2) // size
    made = []
    for n in range(links):
        parts = many(template, width + (n == links - 1), first=n * width)
        below = f", {{audience: a{n + 1}}}" if n < links - 1 else ""
        made.append(rule(f"{{{head}: [{parts}{below}]}}", f"a{n}" if n else "x"))
    return made


def wide(levels: int, width: int) -> str:
    """Return 'any' and 'all' in turn in each other, each with the next first and then many comparisons."""
    inner = "age: 40"
    for n in range(levels):
        inner = f"{('any', 'all')[n % 2]}: [{{{inner}}}, {many('age: {at_least: #}', width, first=n * width)}]"
    return f"{{{inner}}}"


def nested(opening: str, innermost: str, closing: str, times: int) -> str:
    return opening * times + innermost + closing * times


LARGE: dict[str, list[str]] = {
    "any of facts": [rule(f"{{any: [{many('country: c#')}]}}")],
    "all of facts": [rule(f"{{all: [{many('not: {country: x#}', 249)}]}}")],
    "facts of our own": [rule(f"{{any: [{many('age: #')}]}}")],
    "comparisons in one mapping": [rule(f"{{all: [{many('age: {more_than: #}, country: {contains: c}', 166)}]}}")],
    "so many of facts": [rule(f"{{at_least: 2, of: [{many('age: {more_than: #}')}]}}")],
    "exactly so many purchases": [rule(f"{{between: [100, 300], of: [{many('bought: {within: # days}', first=1)}]}}")],
    "any of purchases": [rule(f"{{any: [{many('bought: {within: # days}', first=1)}]}}")],
    "all of counted purchases": [rule(f"{{all: [{many('bought: {name: {contains: c}, times: {at_most: #}}', 166)}]}}")],
    "no such purchase": [rule(f"{{all: [{many('never_bought: {name: c#}', 166)}]}}")],
    "days since": [rule(f"{{any: [{many('bought: {days_since_last: [#, 3], average_order: [1, 2]}', 99)}]}}")],
    "products of one purchase": [rule(f"{{bought: {{any_of: [{many('name: c#')}]}}}}")],
    "no product of many": [rule(f"{{never_bought: {{any_of: [{many('weight: #', MAX - 2)}]}}}}")],
    "exceptions in exceptions": [
        rule(f"{{bought: {nested('{department: A, except: ', '{name: c20}', '}', 8)}}}"),
    ],
    "stages": [rule(f"{{any: [{many('lifecycle: [new, active, lapsed], age: #', 166)}]}}")],
    "traits and consents": [rule(f"{{any: [{many('trait: {diet: vegan}, consent: offers, age: #', 124)}]}}")],
    "days in every zone": [rule(f"{{any: [{many('joined_at: {within: # days, zone: customer}', 49, first=1)}]}}")],
    "purchases in every zone": [rule(f"{{any: [{many('bought: {within: # days, zone: customer}', 49, first=1)}]}}")],
    "birthdays": [rule(f"{{any: [{many('born: {anniversary_in: # days, zone: customer}', 55, first=1)}]}}")],
    "birthdays here": [rule(f"{{any: [{many('born: {anniversary_in: # days}', 166, first=1)}]}}")],
    "anniversaries of moments": [rule(f"{{any: [{many('joined_at: {anniversary_in: # days}', 12, first=1)}]}}")],
    "days of a list": [rule(f"{{any: [{many('joined_at: [2026-01-01, 2025-07-#, 2026-03-08]', 19, first=10)}]}}")],
    "shares": [rule(f"{{any: [{many('share: 0.#%', 9, first=1)}, {many('age: #', 490)}]}}")],
    "a chain of any": chain("any", "country: c#"),
    "a chain of all": chain("all", "age: {at_least: -#}"),
    "counts in counts": [rule(nested("{at_least: 1, of: [", "{age: 40}", "]}", DEEPEST // 2 - 1))],
    "nots in nots": [rule(nested("{not: ", "{age: 40}", "}", DEEPEST - 2))],
    "nots with company": [rule(nested("{country: {known: yes}, not: ", "{age: {more_than: 90}}", "}", 9))],
    **{f"{levels} wide levels": [rule(wide(levels, 490 // levels))] for levels in (2, 3, 4, 5, 6)},
    "lists in lists": [rule(nested("{any: [", f"{{all: [{many('age: {at_least: -#}', 400)}]}}", "]}", 7))],
    "a long list of texts": [rule(f"{{country: {values('#', LONGEST)}}}")],
    "a long list of numbers": [rule(f"{{age: {values('#', LONGEST)}}}")],
    "a long list of product keys": [rule(f"{{bought: {{key: {values('p#', 9_000)}, times: {{at_least: 2}}}}}}")],
    "a long list in several conditions": [
        rule(
            f"{{country: {values('c#', 3000)}, bought: {{name: {values('c#', 3000)}}},"
            f" not: {{last_name: {values('n#', 1500)}}}, age: {values('#', 1000)}}}"
        )
    ],
}  # fmt: skip
LONG = {name for name in LARGE if "long list" in name}


def read(texts: list[str]) -> Condition:
    files = [documents.parse_document(text, f"{n}.yaml") for n, text in enumerate(texts)]
    book = AudienceRegistry(files, VOCABULARY)
    book.audiences()
    return book.audience("x").condition


def set_lowest_limits(connection: Connection) -> None:
    """Set SQLite's limits to the lowest that are usual: some builds raise them, some lower the depth to 100."""
    raw = connection.connection.driver_connection
    if isinstance(raw, sqlite3.Connection):
        raw.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 100)
        raw.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)


@pytest.mark.parametrize("what", LARGE)
def test_the_largest_rules_run_on_both_databases(store: Store, what: str) -> None:
    condition = read(LARGE[what])
    compiled = audiences.compiler(AS_OF, ZONE)
    with store.write() as connection:
        set_lowest_limits(connection)
        SHOP.put(connection)
        members = list(audiences.members(connection, compiled, condition))
        people = [profiles.profile(connection, customer) for customer in SHOP.ids]
    assert members == [who.id for who in people if Evaluator(who, AS_OF, ZONE).verdict(condition).holds]


def test_the_rules_are_the_largest_allowed() -> None:
    sizes = {what: read(texts) for what, texts in LARGE.items() if what not in LONG}
    assert max(condition.size for condition in sizes.values()) >= MAX
    assert max(condition.depth for condition in sizes.values()) == DEEPEST
