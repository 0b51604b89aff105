"""Measures the import of the Complete Journey's purchase lines against the database's own bulk load of the same rows.

    python -m benchmarks.import_purchases

Both sides fill the same tables (the lines, and the sums of orders and buyers that rules look at first) with the same
indexes, in turn, in one run. Ours reads the Parquet file, checks every cell, looks up customers and products, counts
what it added and sums it up. The rival only loads rows that lie ready in key order: by `sqlite3 .import` or the
driver's executemany, whichever is faster, and by PostgreSQL's COPY. Prints medians, their ratio, and the peak memory of
the importing process.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from mailshot import documents
from mailshot.facts import catalogue
from mailshot.ingest import importer
from mailshot.ingest.importer import Options
from mailshot.store.engine import PRAGMAS, Store
from tests.support import servers

ROOT = Path(__file__).parents[1]
MAX_RATIO = 2.0
MAX_MEGABYTES = 500
# What an import of purchases fills, with its columns; the first ones are the key.
TABLES = {
    "purchase": "customer_id, order_key, product_id, nth, at, quantity, amount, channel, returned_at",
    "purchase_order": "customer_id, at, order_key, part, lines, items, amount, gross, returned_at",
    "buyer": "customer_id, first_at, last_at, orders, lines, gross, returned_at",
}


def main() -> int:
    """Run both databases and return 0 when every budget is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the Parquet files, when the package is not installed")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sqlite", type=Path, help="folder for the SQLite files (default: a temporary one)")
    parser.add_argument("--postgres", help=f"address of a server (default: {servers.VARIABLE}, else one of our own)")
    parser.add_argument("--only", choices=["sqlite", "postgres"])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child(given.child, given.data)
    with tempfile.TemporaryDirectory(prefix="mailshot-benchmark-") as folder:
        kept = []
        if given.only != "postgres":
            kept.append(on_sqlite(given.sqlite or Path(folder), given.data, given.runs))
        if given.only != "sqlite":
            if given.postgres:
                os.environ[servers.VARIABLE] = given.postgres
            with servers.postgres() as server, servers.database(server) as url:
                kept.append(on_postgres(url, Path(folder), given.data, given.runs))
    return 0 if all(kept) else 1


def child(url: str, data: Path | None) -> int:
    """Import the purchases and print seconds and peak megabytes; runs in a process of its own."""
    store = Store.open(url)
    begun = time.perf_counter()
    bring(store, data, "purchases")
    seconds = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "megabytes": peak_megabytes()}))
    return 0


def peak_megabytes() -> float:
    """Return this process's peak memory; rusage would count the parent's from before the exec."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bring(store: Store, data: Path | None, *kinds: str) -> None:
    """Import some kinds of the Complete Journey."""
    whole = (ROOT / "rules/imports/complete-journey.yaml").read_text()
    head, *parts = whole.split("\n  - kind: ")
    chosen = [part for part in parts if part.split("\n")[0] in kinds]
    facts = catalogue.read(documents.load_document(ROOT / "rules/facts.yaml"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mapping.yaml"
        path.write_text("\n  - kind: ".join([head, *chosen]))
        importer.run_import(store, path, Options(facts, (), b"k" * 32, Path(folder), data=data))


def ours(url: str, data: Path | None) -> tuple[float, float]:
    """Return seconds and peak megabytes of an import in a fresh process."""
    command = [sys.executable, __file__, "--child", url, *(["--data", str(data)] if data else [])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["seconds"], found["megabytes"]


def on_sqlite(folder: Path, data: Path | None, runs: int) -> bool:
    """Compare on SQLite, each run on a copy of a database that has everything but the purchases."""
    full, bare, work = (folder / name for name in ("full.db", "bare.db", "work.db"))
    servers.upgraded(f"sqlite:///{full}")
    store = Store.open(f"sqlite:///{full}")
    bring(store, data, "customers", "products", "purchases")
    store.close()
    ready = {}
    with sqlite3.connect(full, isolation_level=None) as connection:
        for table, columns in TABLES.items():
            ready[table] = connection.execute(f"SELECT {columns} FROM {table} ORDER BY {columns}").fetchall()
            with (folder / f"{table}.csv").open("w", newline="") as file:
                csv.writer(file).writerows(ready[table])
            connection.execute(f"DELETE FROM {table}")
        connection.execute(f"VACUUM INTO '{bare}'")
    connection.close()

    def fresh() -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{work}{suffix}").unlink(missing_ok=True)
        shutil.copy(bare, work)

    rivals: dict[str, Callable[[], float]] = {"executemany of ready tuples": lambda: by_driver(work, ready)}
    if shutil.which("sqlite3"):
        rivals["sqlite3 .import"] = lambda: by_shell(work, folder)
    return compare("SQLite", f"sqlite:///{work}", fresh, rivals, data, runs)


def by_shell(path: Path, folder: Path) -> float:
    """Load with SQLite's own shell under the settings we run it with; return seconds."""
    loads = [f".import {folder / table}.csv {table}\n" for table in TABLES]
    script = ";\n".join(PRAGMAS) + ";\n.mode csv\n" + "".join(loads)
    begun = time.perf_counter()
    subprocess.run(["sqlite3", str(path)], input=script, text=True, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def by_driver(path: Path, ready: dict[str, list[tuple[object, ...]]]) -> float:
    """Load tuples that lie ready in memory, each table with one prepared statement; return seconds."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(pragma)
    begun = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    for table, columns in TABLES.items():
        marks = ", ".join("?" * len(columns.split(", ")))
        connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", ready[table])
    connection.execute("COMMIT")
    seconds = time.perf_counter() - begun
    connection.close()
    return seconds


def on_postgres(url: str, folder: Path, data: Path | None, runs: int) -> bool:
    """Compare on PostgreSQL, each run on truncated tables."""
    store = Store.open(servers.upgraded(url))
    bring(store, data, "customers", "products", "purchases")
    store.close()
    for table, columns in TABLES.items():
        with (
            psycopg.connect(url) as connection,
            (folder / f"{table}.copy").open("wb") as file,
            connection.cursor().copy(f"COPY (SELECT {columns} FROM {table} ORDER BY {columns}) TO STDOUT") as copy,
        ):
            for block in copy:
                file.write(block)

    def fresh() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"TRUNCATE {', '.join(TABLES)}")
            connection.execute("CHECKPOINT")

    def by_copy() -> float:
        begun = time.perf_counter()
        with psycopg.connect(url) as connection:
            for table, columns in TABLES.items():
                with (
                    (folder / f"{table}.copy").open("rb") as file,
                    connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy,
                ):
                    while block := file.read(1 << 18):
                        copy.write(block)
        return time.perf_counter() - begun

    return compare("PostgreSQL", url, fresh, {"COPY of ready files": by_copy}, data, runs)


def compare(
    name: str, url: str, fresh: Callable[[], None], rivals: dict[str, Callable[[], float]], data: Path | None, runs: int
) -> bool:
    """Run ours and each rival in turn, print medians and ratio, and return whether the budgets are kept."""
    taken: dict[str, list[float]] = {rival: [] for rival in rivals}
    mine, peaks = [], []
    for _ in range(runs):
        for rival, load in rivals.items():
            fresh()
            taken[rival].append(load())
        fresh()
        seconds, megabytes = ours(url, data)
        mine.append(seconds)
        peaks.append(megabytes)
    medians = {rival: statistics.median(times) for rival, times in taken.items()}
    best = min(medians, key=lambda rival: medians[rival])
    ratio = statistics.median(mine) / medians[best]
    for rival, seconds in medians.items():
        print(f"{name}: {rival}: {seconds:.2f} s")
    print(f"{name}: our import: {statistics.median(mine):.2f} s = {ratio:.2f} x {best} (budget {MAX_RATIO})")
    print(f"{name}: peak memory {max(peaks):.0f} MB (budget {MAX_MEGABYTES})", flush=True)
    return ratio <= MAX_RATIO and max(peaks) < MAX_MEGABYTES


if __name__ == "__main__":
    sys.exit(main())
