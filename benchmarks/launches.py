"""Measures planning and launching a campaign against writing the same deliveries without deciding anything.

    python -m benchmarks.launches --folder DIR [--customers 500000 1000000]

The shop is that of `benchmarks.audiences`. The campaign is for everybody: consent, suppression, addresses that several
customers share, a frequency cap, a holdout and earlier mails are looked at. The rival copies the launched rows into a
table with the same key and indexes, by one INSERT … SELECT of the same database: the least that a ledger costs. Prints
medians in seconds, their ratio, how it grows with the customers, and the peak memory of this process.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from sqlalchemy import text

from benchmarks.audience import population
from benchmarks.audiences import MOST_GROWTH, on_postgres, on_sqlite
from mailshot.campaign import frozen, launch, plan
from mailshot.campaign.rulebook import Rulebook
from mailshot.cli import project
from mailshot.store.engine import Store

MOST_MEMORY = 300  # megabytes
NOW = population.AS_OF
RIVAL = (
    "CREATE TABLE rival AS SELECT * FROM delivery WHERE false",
    "CREATE UNIQUE INDEX rival_key ON rival (run_id, customer_id)",
    "CREATE INDEX rival_due ON rival (run_id, state, customer_id)",
    "CREATE INDEX rival_customer ON rival (customer_id)",
)
CAMPAIGN = """campaign: hello
topic: offers
sender: shop
audience: everybody
content: [{name: thanks, template: hello}]
limits: {cap: {mails: 3, per: 7 days}}
holdout: 5%
repeat: after 30 days
"""


def main() -> int:
    """Measure both databases and return 0 when every budget is kept."""
    given = arguments()
    kept = True
    with tempfile.TemporaryDirectory() as made:
        edition = campaign(Path(made) / "shop")
        for kind, opened in (("sqlite", on_sqlite), ("postgres", on_postgres)):
            taken = []
            for customers in sorted(given.customers):
                shop = population.duck(given.folder / f"shop-{customers}.duckdb", customers)
                with opened(shop) as (url, _):
                    taken.append((customers, compare(kind, customers, Store.open(url), edition, given.rounds)))
            kept &= growth(kind, taken)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory: {peak:.0f} MB (budget {MOST_MEMORY})")
    return 0 if kept and peak < MOST_MEMORY else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/out"), help="where the made-up shops are kept")
    parser.add_argument("--customers", type=int, nargs="+", default=[500_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgres", help="address of a server; one of our own without it")
    return parser.parse_args()


def campaign(folder: Path) -> frozen.Edition:
    """Make a new project whose one campaign is for everybody."""
    project.create(folder)
    (folder / "rules/audiences/everybody.yaml").write_text("audience: everybody\nwho: {share: 100%}\n")
    (folder / "rules/campaigns/hello.yaml").write_text(CAMPAIGN)
    return frozen.edition(Rulebook.load(folder), folder, "hello")


def compare(kind: str, customers: int, store: Store, edition: frozen.Edition, rounds: int) -> float:
    """Launch and copy in turn, print the line, and return our median in seconds."""
    ours, hand, mails = [], [], 0
    for _ in range(rounds):
        with cleared(store):
            begun = time.perf_counter()
            made = plan.make(store, edition, NOW, NOW)
            mails = launch.launch(store, edition, NOW, NOW + timedelta(minutes=1), made.id).mails
            ours.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            with store.write() as connection:
                connection.execute(text("INSERT INTO rival SELECT * FROM delivery"))
            hand.append(time.perf_counter() - begun)
    store.close()
    mine, copied = statistics.median(ours), statistics.median(hand)
    told = f"{mails:,} mails in {mine:.1f} s, copied in {copied:.1f} s"
    print(f"{kind}, {customers:,} customers: {told}, ratio {mine / copied:.1f}", flush=True)
    return mine


@contextmanager
def cleared(store: Store) -> Iterator[None]:
    """Give a ledger without runs and plans, and the rival's table empty; take all of it away again."""
    with store.write() as connection:
        for statement in ("DROP TABLE IF EXISTS rival", *RIVAL):
            connection.execute(text(statement))
    try:
        yield
    finally:
        with store.write() as connection:
            for statement in (
                "DROP TABLE rival",
                *(f"DELETE FROM {name}" for name in ("plan_row", "plan", "delivery", "run")),
            ):
                connection.execute(text(statement))


def growth(kind: str, taken: list[tuple[int, float]]) -> bool:
    """Print how our seconds grow with the customers and return whether each doubling keeps the budget."""
    kept = True
    for (customers, before), (more, after) in pairwise(taken):
        print(f"{kind}: from {customers:,} to {more:,} customers: {after / before:.2f} x", flush=True)
        kept &= more != 2 * customers or after / before <= MOST_GROWTH
    return kept


if __name__ == "__main__":
    sys.exit(main())
