"""Measures planning and launching a campaign against writing the same deliveries without deciding anything.

    python -m benchmarks.launches --folder DIR [--customers 500000 1000000]

The shop is that of `benchmarks.audiences`. The campaign is for everybody: consent, suppression, addresses that several
customers share, a frequency cap, a holdout and earlier mails are looked at. The rival copies the launched rows into a
table with the same key and indexes, by one INSERT … SELECT of the same database: the least that a ledger costs. Prints
medians in seconds, their ratio, how it grows with the customers, and the peak memory of the launching
process.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

from sqlalchemy import text

from benchmarks.audience import population
from benchmarks.audiences import MAX_GROWTH, on_postgres, on_sqlite
from benchmarks.import_purchases import peak_megabytes
from mailshot.campaign import launch, plan, snapshot
from mailshot.cli import init
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store.engine import Store

MAX_MEMORY = 300  # megabytes
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


@dataclass(frozen=True, slots=True)
class Launched:
    """One launch: its mails, the seconds it took, and the peak memory of its process in megabytes."""

    mails: int
    seconds: float
    peak: float


def main() -> int:
    """Measure both databases and return 0 when every budget is kept."""
    given = arguments()
    kept = True
    with tempfile.TemporaryDirectory() as made:
        project_folder = Path(made) / "shop"
        write_campaign(project_folder)
        for kind, opened in (("sqlite", on_sqlite), ("postgres", on_postgres)):
            taken = []
            for customers in sorted(given.customers):
                shop = population.duck(given.folder / f"shop-{customers}.duckdb", customers)
                with opened(shop) as (url, _):
                    fits, seconds = compare(kind, customers, url, project_folder, given.rounds)
                kept &= fits
                taken.append((customers, seconds))
            kept &= growth(kind, taken)
    return 0 if kept else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/out"), help="where the made-up shops are kept")
    parser.add_argument("--customers", type=int, nargs="+", default=[500_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgres", help="address of a server; one of our own without it")
    return parser.parse_args()


def write_campaign(folder: Path) -> None:
    """Make a new project whose one campaign is for everybody."""
    init.create_project(folder)
    (folder / "rules/audiences/everybody.yaml").write_text("audience: everybody\nwho: {share: 100%}\n")
    (folder / "rules/campaigns/hello.yaml").write_text(CAMPAIGN)


def compare(kind: str, customers: int, url: str, folder: Path, rounds: int) -> tuple[bool, float]:
    """Launch and copy in turn, print the line; return whether memory fits, and our median in seconds."""
    store, ours, hand = Store.open(url), [], []
    for _ in range(rounds):
        with cleared(store):
            # In a process of its own, whose memory is that of a launch alone.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                ours.append(pool.submit(launch_once, url, folder).result())
            begun = time.perf_counter()
            with store.write() as connection:
                connection.execute(text("INSERT INTO rival SELECT * FROM delivery"))
            hand.append(time.perf_counter() - begun)
    store.close()
    mine, copied = statistics.median(one.seconds for one in ours), statistics.median(hand)
    peak = max(one.peak for one in ours)
    measured = f"{ours[0].mails:,} mails in {mine:.1f} s, copied in {copied:.1f} s, ratio {mine / copied:.1f}"
    print(f"{kind}, {customers:,} customers: {measured}, at most {peak:.0f} MB (budget {MAX_MEMORY})", flush=True)
    return peak < MAX_MEMORY, mine


def launch_once(url: str, folder: Path) -> Launched:
    """Plan and launch the campaign."""
    store = Store.open(url)
    edition = snapshot.take_snapshot(Rulebook.load(folder), folder, "hello")
    begun = time.perf_counter()
    made = plan.make_plan(store, edition, NOW, NOW)
    mails = launch.launch_plan(store, edition, NOW, NOW + timedelta(minutes=1), made.id).mails
    seconds = time.perf_counter() - begun
    store.close()
    return Launched(mails, seconds, peak_megabytes())


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
        kept &= more != 2 * customers or after / before <= MAX_GROWTH
    return kept


if __name__ == "__main__":
    sys.exit(main())
