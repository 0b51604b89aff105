"""Several processes on one machine with one setting, and what stays right when one of them is killed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailshot.store import ledger_queries
from mailshot.store.engine import Store
from tests.support import processes, scraping
from tests.support.project import Shop

CLOCK, WORKER = 1, 3
CUSTOMERS = 300


@pytest.fixture
def first() -> int:
    return scraping.free_ports(8)


def _is_served(port: int, process: str) -> bool:
    try:
        return (process,) in {key[:1] for key in scraping.scrape(port).named("mailshot_info")}
    except (urllib.error.URLError, ConnectionError):
        return False


def _until_served(port: int, process: str) -> None:
    processes.until(lambda: _is_served(port, process), 60, f"the {process} serves its metrics on {port}")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []
    yield running
    for process in running:
        processes.end(process)


def test_each_worker_has_a_port_and_the_next_one_takes_that_of_one_that_ended(
    postgres_store: Store, tmp_path: Path, first: int, started: list[subprocess.Popen[str]]
) -> None:
    shop = Shop.open(postgres_store, tmp_path / "shop", 1)
    environment = shop.environment(MAILSHOT_METRICS=str(first))
    for place in range(2):
        started.append(processes.worker(environment, tmp_path / "workers.log"))
        _until_served(first + WORKER + place, "worker")
    processes.end(started[0])
    assert not _is_served(first + WORKER, "worker")
    started.append(processes.worker(environment, tmp_path / "workers.log"))
    _until_served(first + WORKER, "worker")


def test_a_port_in_use_is_logged_and_the_process_works(
    sqlite_store: Store, tmp_path: Path, first: int, started: list[subprocess.Popen[str]]
) -> None:
    shop, log, web = Shop.open(sqlite_store, tmp_path / "shop", 1), tmp_path / "web.log", processes.free_port()
    environment = shop.environment(MAILSHOT_METRICS=f"127.0.0.1:{first}", MAILSHOT_WEB_PORT=str(web))
    with socket.create_server(("127.0.0.1", first)), log.open("w") as file:
        started.append(processes.start([sys.executable, "-m", "workers.web"], environment, stderr=file))
        message = f"metrics cannot be served on 127.0.0.1:{first}: Address already in use. See MAILSHOT_METRICS."
        processes.until(lambda: message in log.read_text(), 60, "the port is reported")

        def answers() -> bool:
            with socket.socket() as tried:
                return tried.connect_ex(("127.0.0.1", web)) == 0

        processes.until(answers, 60, "the site answers")


def test_no_port_is_opened_unless_it_is_set(
    sqlite_store: Store, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    shop = Shop.open(sqlite_store, tmp_path / "shop", 1)
    program = "import sys, threading; from mailshot.cli import processes; from mailshot.cli.context import app; "
    program += "processes._serve_metrics(app(), 'worker'); print('prometheus_client' in sys.modules)"
    for metrics, imported in (("", "False\n"), (f"127.0.0.1:{processes.free_port()}", "True\n")):
        environment = shop.environment(MAILSHOT_METRICS=metrics)
        process = processes.start([sys.executable, "-c", program], environment, stdout=subprocess.PIPE)
        started.append(process)
        assert process.communicate(timeout=60)[0] == imported


def test_what_a_killed_worker_left_behind_is_counted_as_the_ledger_has_it(
    store: Store, tmp_path: Path, first: int, started: list[subprocess.Popen[str]]
) -> None:
    shop = Shop.open(store, tmp_path / "shop", CUSTOMERS)
    run_id = shop.launch()

    def states() -> dict[str, int]:
        with store.read() as connection:
            return ledger_queries.count_states(connection, run_id)

    with processes.sink(tmp_path, "--delay", "0.5") as sink:
        environment = shop.environment(MAILSHOT_SMTP=sink.url, MAILSHOT_METRICS=str(first), MAILSHOT_LEASE="2")
        started.append(processes.worker(environment, tmp_path / "workers.log"))
        processes.until(lambda: states().get("sent", 0) >= 40, 60, "some mails are sent")
        processes.end(started[0], signal.SIGKILL)
        before = states()
        started.append(processes.worker(environment, tmp_path / "workers.log"))
        processes.until(
            lambda: states().get("sent", 0) + states().get("unconfirmed", 0) == CUSTOMERS, 90, "all is sent"
        )
        after = states()
        rest = after["sent"] - before["sent"]
        # What is committed is counted a moment later.
        counted = ("mailshot_mails_total", "sent")
        processes.until(lambda: scraping.scrape(first + WORKER)[counted] >= rest, 60, "all is counted")
        seen = scraping.scrape(first + WORKER)
    assert before["dotting"] == after["unconfirmed"] > 0
    assert seen.named("mailshot_mails_total") == {
        ("sent",): rest,
        ("unconfirmed",): after["unconfirmed"],
        ("returned",): before["claimed"],
    }
    assert seen["mailshot_reply_seconds_count"] == rest


def test_a_standby_shows_no_clock_until_it_is_one(
    postgres_store: Store, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    shop = Shop.open(postgres_store, tmp_path / "shop", 7)
    shop.launch()  # no worker is running, so it waits
    places = [scraping.free_ports(8)]
    places.append(places[0] + 4)
    lag, due = ("mailshot_clock_lag_seconds",), ("mailshot_due_mails",)
    for place in places:
        environment = shop.environment(MAILSHOT_METRICS=str(place))
        started.append(processes.start([sys.executable, "-m", "workers.clock"], environment, stdout=subprocess.DEVNULL))
        _until_served(place + CLOCK, "clock")
        if place == places[0]:
            processes.until(lambda: due in scraping.scrape(places[0] + CLOCK).samples, 60, "the clock counts due mail")
    assert scraping.scrape(places[0] + CLOCK)[due] == 7
    standby = scraping.scrape(places[1] + CLOCK).samples
    assert lag not in standby
    assert due not in standby
    processes.end(started[0])
    processes.until(lambda: due in scraping.scrape(places[1] + CLOCK).samples, 60, "the standby is the clock")
    assert lag in scraping.scrape(places[1] + CLOCK).samples


def test_each_process_of_a_worker_has_a_port(
    postgres_store: Store, tmp_path: Path, first: int, started: list[subprocess.Popen[str]]
) -> None:
    shop = Shop.open(postgres_store, tmp_path / "shop", 1)
    command = [sys.executable, "-m", "mailshot", "worker", "--processes", "2"]
    environment = shop.environment(MAILSHOT_METRICS=str(first))
    started.append(processes.start(command, environment, stdout=subprocess.DEVNULL))
    for place in range(2):
        _until_served(first + WORKER + place, "worker")
    assert processes.end(started[0], signal.SIGTERM) == 0
