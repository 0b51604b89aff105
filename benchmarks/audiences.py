"""Measures the SQL that twelve audience rules become against hand-written SQL and against DuckDB.

    python -m benchmarks.audiences --folder DIR [--customers 1000000]

Every database holds the same made-up shop: so many customers, ten purchase lines each. Each question has its rule and,
beside it in `audience/questions`, several shapes of SQL by hand; the fastest of them is the rival. DuckDB runs on all
cores over a file of its own. In each round everybody counts in turn; medians of the rounds are compared. Then all must
name the same customers. Last, one customer at a time is judged in Python.
"""

from __future__ import annotations

import argparse
import math
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from sqlalchemy.exc import OperationalError

from benchmarks.audience import population, rules
from mailshot.audience.compile import Compiler
from mailshot.audience.evaluate import Evaluator
from mailshot.errors import Unavailable
from mailshot.store import audiences, profiles
from mailshot.store.engine import PRAGMAS, Store
from tests.support import servers

ZONE = rules.ZONE
MAX_BY_HAND = 1.5
MAX_BY_DUCKDB = {"sqlite": 3.0, "postgres": 5.0}
MAX_JUDGING = 0.005
MAX_GROWTH = 2.2
PATIENCE = 30  # seconds for one answer
COUNTED = "count"
Run = Callable[[str], list[tuple[Any, ...]]]
Shape = tuple[Run, str]


def main() -> int:
    """Measure both databases and return 0 when every budget is kept."""
    given = arguments()
    if given.postgres:
        os.environ[servers.VARIABLE] = given.postgres
    asked = [one for one in rules.questions(given.as_of) if one.name.startswith(tuple(given.rules))]
    kept, taken = [], []
    for customers in sorted(given.customers):
        shop = population.duck(given.folder / f"shop-{customers}.duckdb", customers)
        for kind, opened in (("sqlite", on_sqlite), ("postgres", on_postgres)):
            if given.only in (None, kind):
                with opened(shop) as (url, by_hand):
                    print(f"{kind}, {customers:,} customers, medians of {given.rounds} rounds in milliseconds")
                    fits, medians = compare(kind, url, by_hand, shop, asked, given)
                    kept.append(fits)
                    taken.append((kind, customers, medians))
    return 0 if all([*kept, *growth(taken)]) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/out"), help="where the made-up shops are kept")
    parser.add_argument("--customers", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["sqlite", "postgres"])
    parser.add_argument("--postgres", help=f"address of a server (default: {servers.VARIABLE}, else one of our own)")
    parser.add_argument("--rules", nargs="+", default=[""], help="the beginnings of some names")
    parser.add_argument("--as-of", type=moment, default=population.AS_OF, help="look at the shop on an earlier day")
    parser.add_argument("--by-hand", action="store_true", help="leave our own SQL out")
    return parser.parse_args()


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@contextmanager
def on_sqlite(shop: Path) -> Iterator[tuple[str, Run]]:
    """Give the address of the shop on SQLite, and a way to ask it by hand."""
    path = population.sqlite(shop.with_suffix(".db"), shop)
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(pragma)
    yield f"sqlite:///{path}", lambda sql: connection.execute(sql).fetchall()
    connection.close()


@contextmanager
def on_postgres(shop: Path) -> Iterator[tuple[str, Run]]:
    """Give the address of the shop on PostgreSQL, and a way to ask it by hand. It is kept on a named server."""
    with servers.postgres() as server:
        name = f"mailshot_{shop.stem.replace('-', '_')}"
        url = servers.address(server, name)
        with psycopg.connect(server, autocommit=True) as connection:
            there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if not there:
                connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload]
        if not there:
            population.postgres(url, shop, shop.parent)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"SET statement_timeout = '{PATIENCE}s'")
            yield f"{url}{patience(url)}", lambda sql: connection.execute(sql).fetchall()  # type: ignore[call-overload]


def compare(
    kind: str, url: str, by_hand: Run, shop: Path, asked: list[rules.Question], given: argparse.Namespace
) -> tuple[bool, dict[str, float]]:
    """Print one line for each question; return whether the budgets are kept, and our seconds by question."""
    store = Store.open(url)
    compiler = audiences.compiler(given.as_of, ZONE)
    duck = duckdb.connect(str(shop), read_only=True)
    print(f"  {'question':16}{'customers':>10}{'ours':>8}{'by hand':>9}{'ratio':>7}{'DuckDB':>8}{'ratio':>7}  by hand")
    kept, medians = True, {}
    for one in asked:
        hand = {name: (by_hand, sql) for name, sql in one.shapes[kind].items()}
        rival = {name: (lambda sql: duck.execute(sql).fetchall(), sql) for name, sql in one.shapes["duckdb"].items()}
        ours = None if given.by_hand else compiled(store, compiler, one)
        fits, medians[one.name] = question(one.name, kind, ours, hand, rival, given.rounds)
        kept &= fits
    kept &= judging(store, asked, given.as_of)
    duck.close()
    store.close()
    return kept, medians


def compiled(store: Store, compiler: Compiler, one: rules.Question) -> Run:
    """Return what asks by the rule, each time in a transaction of its own: for ids, or (COUNTED) for their number."""

    def run(wanted: str) -> list[tuple[Any, ...]]:
        if wanted == COUNTED:
            return [(audiences.count_matching(store, compiler, one.condition),)]
        with store.read() as connection:
            return [(found,) for found in audiences.members(connection, compiler, one.condition)]

    return run


def patience(url: str) -> str:
    return f"{'&' if '?' in url else '?'}options=-c%20statement_timeout%3D{PATIENCE}000"


def question(
    name: str, kind: str, ours: Run | None, hands: dict[str, Shape], rivals: dict[str, Shape], rounds: int
) -> tuple[bool, float]:
    """Let everybody answer in turn, each in the fastest shape, and print the line."""
    hand, duck = fastest(hands), fastest(rivals)
    asked: dict[str, Shape] = {"duck": rivals[duck], "hand": hands[hand]}
    if ours:
        asked["ours"] = (ours, COUNTED)
    taken: dict[str, list[float]] = {who: [] for who in asked}
    for _ in range(rounds):
        for who, (run, sql) in asked.items():
            if math.inf not in taken[who]:
                taken[who].append(timed(run, sql))
    medians = {who: statistics.median(seconds) for who, seconds in taken.items()}
    answered = [asked[who] for who in asked if medians[who] < math.inf]
    found = [{row[0] for row in run("" if sql == COUNTED else sql)} for run, sql in answered]
    counted = {run(COUNTED)[0][0] for run, sql in answered if sql == COUNTED}
    agreed = all(some == found[0] for some in found) and counted <= {len(found[0])}
    byhand, rival, mine = medians["hand"], medians["duck"], medians.get("ours", math.nan)
    line = f"  {name:16}{len(found[0]):>10,}{mine * 1000:>8.0f}{byhand * 1000:>9.0f}{mine / byhand:>7.2f}"
    told = f"{hand} ({byhand / rival:.2f} x)" + (
        "" if agreed else f"  THEY DISAGREE: {[len(one) for one in found]}, {counted}"
    )
    print(f"{line}{rival * 1000:>8.0f}{mine / rival:>7.2f}  {told}", flush=True)
    return agreed and mine <= min(MAX_BY_HAND * byhand, MAX_BY_DUCKDB[kind] * rival), mine


def fastest(shapes: dict[str, Shape]) -> str:
    """Return the name of the shape that answers first, each warmed up once."""
    return min(shapes, key=lambda name: min(timed(*shapes[name]) for _ in range(2)))


def timed(run: Run, sql: str) -> float:
    """Return seconds until the customers are counted; endless ones where patience ended."""
    begun = time.perf_counter()
    try:
        run(sql if sql == COUNTED else f"SELECT count(*) FROM ({sql}) AS found")
    except (psycopg.errors.QueryCanceled, OperationalError, Unavailable):
        return math.inf
    return time.perf_counter() - begun


def judging(store: Store, asked: list[rules.Question], as_of: datetime) -> bool:
    """Gather and judge a thousand customers one by one and print the median."""
    with store.read() as connection:
        customers = audiences.customers(connection)
    taken = []
    for number in range(1000):
        rule = asked[number % len(asked)].condition
        begun = time.perf_counter()
        with store.read() as connection:
            profile = profiles.profile(connection, 1 + number * 7919 % customers, words=rule.words)
        Evaluator(profile, as_of, ZONE).verdict(rule)
        taken.append(time.perf_counter() - begun)
    usual = statistics.median(taken)
    print(
        f"  judging one customer: {usual * 1000:.2f} ms, slowest {max(taken) * 1000:.1f} ms (budget 5 ms)", flush=True
    )
    return usual < MAX_JUDGING


def growth(taken: list[tuple[str, int, dict[str, float]]]) -> Iterator[bool]:
    """Print how our seconds grow with the customers and give whether each step keeps the budget."""
    for (kind, customers, before), (other, more, after) in combinations(taken, 2):
        if kind == other and more == 2 * customers:
            worst = max(before, key=lambda name: after[name] / before[name])
            ratio = after[worst] / before[worst]
            print(f"{kind}: from {customers:,} to {more:,} customers: {ratio:.2f} x at most ({worst})")
            yield ratio <= MAX_GROWTH


if __name__ == "__main__":
    sys.exit(main())
