"""Checks `backtest` on the real command line: tables, charts, files, mistakes, Ctrl-C; nothing is ever written."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from mailshot.store import purchase_totals, tables
from mailshot.store.engine import Store
from tests.campaign.test_plan import everything
from tests.cli.test_errors import INVALID, MISSING, REFUSED, UNAVAILABLE, mailshot, rows, tried
from tests.support import processes, project
from tests.support.campaigns import WEEK, insert, open_shop
from tests.support.project import Shop

FIRST = datetime(2026, 1, 5, 15, tzinfo=UTC)
ODD = "audience: '[b]grün $x$ _all[/b]'\nwho: {bought: {within: 30 days}}\n"


@pytest.fixture
def shop(sqlite_url: str, tmp_path: Path) -> Iterator[Shop]:
    """Give a shop with 80 customers, of whom some buy each week for five months; on SQLite."""
    yield from _shop(Store.open(sqlite_url), tmp_path)


def _shop(store: Store, tmp_path: Path) -> Iterator[Shop]:
    made = open_shop(store, tmp_path / "shop", WEEK.replace("audience: all", "audience: '[b]grün $x$ _all[/b]'"))
    (made.folder / "rules/audiences/odd.yaml").write_text(ODD, encoding="utf-8")
    (made.folder / "rules/products.yaml").write_text("greens: {department: GREEN}\n", encoding="utf-8")
    customers = made.add([{**person, "country": "NO"} for person in project.people(80)], consent=False)
    entries = [{"customer_id": customer, "topic": "offers", "given": True, "at": FIRST} for customer in customers]
    insert(store, tables.Consent, entries)
    insert(store, tables.ConsentLog, [{**entry, "source": "test", "proof": {}} for entry in entries])
    lines = [
        {"customer_id": customer, "order_key": f"{week}", "product_id": 1 + week % 3, "nth": 1,
         "at": FIRST + week * timedelta(7), "quantity": Decimal(1), "amount": Decimal(week + 1)}
        for number, customer in enumerate(customers)
        for week in range(0, 22, 1 + number % 5)
        if number % 2
    ]  # fmt: skip
    insert(store, tables.Purchase, lines)
    with store.write() as connection:
        purchase_totals.refresh(connection)
    tried(made, "status")  # the first look keeps the print of the address key
    yield made
    store.close()


def test_a_campaign_is_shown_at_80_columns_and_nothing_is_written(shop: Shop) -> None:
    before = rows(shop)
    done = mailshot(shop, "backtest", "week")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    printed = " ".join(done.stdout.split())
    for phrase in ("week (campaign)", "mail: meat", "Audience (customers)", "Only the holdout of a real run", "●"):
        assert phrase in printed
    assert rows(shop) == before


def test_an_audience_as_one_json_document_and_as_files(shop: Shop) -> None:
    asked = ("--from", "2026-02-01", "--until", "2026-04-01", "--goal-group", "greens", "--goal-within", "1 week")
    files = ("--csv", "out.csv", "--plot", "out.svg")
    done = mailshot(shop, "backtest", "[b]grün $x$ _all[/b]", *asked, "--json", *files)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["goal"] == {"products": "greens", "within": "1 week"}
    assert [date["as_of"][:10] for date in document["dates"]] == ["2026-02-01", "2026-03-01", "2026-04-01"]
    assert document["dates"][1]["kept"] + document["dates"][1]["entered"] == document["dates"][1]["audience"] > 0
    with (shop.folder / "out.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [int(line["audience"]) for line in lines] == [date["audience"] for date in document["dates"]]
    drawn = (shop.folder / "out.svg").read_text(encoding="utf-8")
    assert drawn.startswith("<?xml")
    assert mailshot(shop, "backtest", "week", "--plot", "out.png").returncode == 0
    assert (shop.folder / "out.png").read_bytes().startswith(b"\x89PNG")


def test_one_date_and_a_moment_of_the_day(shop: Shop) -> None:
    done = mailshot(shop, "backtest", "all", "--from", "2026-03-08T02:30", "--until", "2026-03-08T02:30")
    assert done.returncode == 0, done.stderr
    assert "2026-03-08 02:30" in done.stdout
    assert "Audience (customers)" not in done.stdout


def test_past_campaigns(shop: Shop) -> None:
    assert mailshot(shop, "backtest", "all", "--past-campaigns").returncode == REFUSED
    at = FIRST + timedelta(days=60)
    run = {"id": 7, "campaign": "past", "topic": "offers", "definition": "d", "state": "past", "as_of": at,
           "launched_at": at, "finished_at": at + timedelta(days=20), "at_least_once": False}  # fmt: skip
    insert(shop.store, tables.Run, [run])
    insert(shop.store, tables.Delivery, [{"run_id": 7, "customer_id": n, "state": "sent"} for n in shop.customers])
    answers = [
        {"customer_id": n, "run_id": 7, "kind": "converted", "key": "k", "at": at} for n in shop.customers if n % 3 == 0
    ]
    insert(shop.store, tables.Feedback, answers)
    before = rows(shop)
    files = ("--csv", "past.csv", "--plot", "past.png")
    done = mailshot(shop, "backtest", "[b]grün $x$ _all[/b]", "--past-campaigns", *files)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "Mailing only the audience would have sent" in done.stdout
    assert (shop.folder / "past.png").stat().st_size > 1000
    document = json.loads(mailshot(shop, "backtest", "week", "--past-campaigns", "--json").stdout)
    assert document["together"]["in_audience"]["recipients"] + document["together"]["outside"]["recipients"] == 80
    assert rows(shop) == before


MISTAKES = {
    "unknown name": (("weak",), MISSING, "Did you mean 'week'?"),
    "unknown group": (("all", "--goal-group", "green"), MISSING, "Did you mean 'greens'?"),
    "unknown product field": (("all", "--goal-products", "{departmnt: GREEN}"), INVALID, "--goal-products:1:2"),
    "no product field": (("all", "--goal-products", "GREEN"), INVALID, "expected product fields"),
    "both goals": (("all", "--goal-products", "{brand: x}", "--goal-group", "greens"), 2, "exclude each other"),
    "from after until": (("all", "--from", "2026-05-01", "--until", "2026-04-01"), 2, "is after"),
    "no span": (("all", "--every", "monthly"), 2, "is not a length of time"),
    "no goal span": (("all", "--goal-within", "0 days"), 2, "is not a length of time"),
    "no date": (("all", "--from", "May"), 2, "May"),
    "far away": (("all", "--from", "9999-12-31"), 2, "1800"),
    "after the data": (("all", "--from", "2027-01-01"), REFUSED, "Purchases are known from 2026-01-05 to"),
    "too many": (("all", "--from", "1990-01-01", "--every", "1 day"), REFUSED, "more than 400 dates"),
    "neither PNG nor SVG": (("all", "--plot", "x.pdf"), 2, ".png or .svg"),
    "no folder": (("all", "--plot", "none/x.png"), REFUSED, "cannot be written"),
    "no folder for CSV": (("all", "--csv", "none/x.csv"), REFUSED, "cannot be written"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_told(shop: Shop, what: str) -> None:
    arguments, code, message = MISTAKES[what]
    exit_code, printed = tried(shop, "backtest", *arguments)
    plain = "".join(letter for letter in printed if letter not in "│╭╮╰╯─")
    assert (exit_code, message in " ".join(plain.split())) == (code, True), printed
    assert "Traceback" not in printed


def test_without_purchases_dates_are_asked_for(sqlite_url: str, tmp_path: Path) -> None:
    store = Store.open(sqlite_url)
    empty = open_shop(store, tmp_path / "empty")
    assert tried(empty, "backtest", "all")[0] == REFUSED
    code, printed = tried(
        empty, "backtest", "week", "--from", "2026-01-01", "--until", "2026-03-01", "--plot", str(tmp_path / "e.png")
    )
    assert (code, "There are no purchases." in printed) == (0, True), printed
    store.close()


def test_without_matplotlib_the_remedy_is_named_before_any_work(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError('matplotlib')\n", encoding="utf-8")
    surroundings = {**os.environ, "PYTHONPATH": f"{tmp_path}:{processes.ROOT}", **shop.environment()}
    command = [sys.executable, "-m", "mailshot", "backtest", "all", "--plot", "x.png"]
    done = subprocess.run(command, env=surroundings, cwd=shop.folder, text=True, capture_output=True, check=False)
    assert (done.returncode, "pip install 'mailshot[charts]'" in done.stderr) == (UNAVAILABLE, True)
    assert mailshot(shop, "backtest", "all").returncode == 0


def test_ctrl_c_leaves_no_file_and_no_row(postgres_url: str, tmp_path: Path) -> None:
    """The purchases are locked, so the signal comes in the middle of the work, however fast or busy the machine is."""
    for shop in _shop(Store.open(postgres_url), tmp_path):
        before = everything(shop.store)
        surroundings = {**os.environ, "PYTHONPATH": str(processes.ROOT), **shop.environment()}
        arguments = ["backtest", "week", "--from", "2026-02-01", "--until", "2026-04-01", "--csv", "out.csv"]
        with shop.store.engine.connect() as holder, holder.begin():
            holder.execute(text("LOCK TABLE purchase IN ACCESS EXCLUSIVE MODE"))
            command = [sys.executable, "-m", "mailshot", *arguments]
            running = subprocess.Popen(command, env=surroundings, cwd=shop.folder, stderr=subprocess.PIPE, text=True)
            _wait_until_blocked(shop.store, running)
            running.send_signal(signal.SIGINT)
            errors = running.communicate(timeout=120)[1]
        assert (running.returncode, "Traceback" in errors) == (130, False), errors
        assert not (shop.folder / "out.csv").exists()
        assert everything(shop.store) == before


def _wait_until_blocked(store: Store, running: subprocess.Popen[str]) -> None:
    """Wait until the process stands before the lock; raise when it ends instead."""
    blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'purchase'::regclass")
    while running.poll() is None:
        with store.engine.connect() as connection:
            if connection.scalar(blocked):
                return
        time.sleep(0.05)
    raise AssertionError(running.communicate()[1])
