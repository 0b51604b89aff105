"""`mailshot up` and `mailshot worker` send in child processes: kills, and a graceful stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailshot.store.engine import Store
from tests.crash.siege import Siege
from tests.support import processes
from tests.support.project import Shop

CUSTOMERS = 800


@contextmanager
def _up(store: Store, folder: Path, *command: str) -> Iterator[tuple[Siege, subprocess.Popen[str]]]:
    """Give a launched run and a running `mailshot up`, or another command."""
    with processes.sink(folder, "--delay", "0.02") as sink:
        shop = Shop.open(store, folder / "shop", CUSTOMERS)
        environment = shop.environment(
            MAILSHOT_SMTP=sink.url, MAILSHOT_WEB_PORT=str(processes.free_port()), MAILSHOT_LEASE="5"
        )
        laid = Siege(shop, sink, shop.launch(shop.campaign()), environment, folder)
        with (folder / "up.log").open("w") as log:
            up = processes.start([sys.executable, "-m", "mailshot", *(command or ("up",))], environment, stderr=log)
        try:
            yield laid, up
        finally:
            up.kill()
            up.wait()


def _children(process: subprocess.Popen[str]) -> list[int]:
    """Return the child processes that send, not Python's resource tracker."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _begin(laid: Siege) -> None:
    processes.until(lambda: bool(laid.sink.recipients()), 60, "the first mail is sent")


def test_a_killed_child_is_started_again_and_sends_the_rest_once(store: Store, tmp_path: Path) -> None:
    with _up(store, tmp_path) as (laid, up):
        _begin(laid)
        (child,) = _children(up)
        os.kill(child, signal.SIGKILL)
        processes.until(laid.finished, 120, "the run is finished")
        assert _children(up) != [child]
        assert processes.end(up, signal.SIGTERM) == 0
        toll = laid.toll()
    assert toll.lost == toll.twice == toll.unknown == 0
    assert f"process {child} ended with -9; it is started again" in (tmp_path / "up.log").read_text()


def test_the_child_of_a_killed_process_ends_and_leaves_nothing_in_doubt(store: Store, tmp_path: Path) -> None:
    with _up(store, tmp_path) as (laid, up):
        _begin(laid)
        (child,) = _children(up)
        processes.end(up, signal.SIGKILL)
        processes.until(lambda: _has_ended(child), 60, "the child has ended")
        assert laid.state("dotting") == laid.state("unconfirmed") == 0
        assert laid.toll().twice == 0


def test_sigterm_ends_both_and_leaves_nothing_in_doubt(store: Store, tmp_path: Path) -> None:
    with _up(store, tmp_path) as (laid, up):
        _begin(laid)
        (child,) = _children(up)
        assert processes.end(up, signal.SIGTERM) == 0
        assert _has_ended(child)
        assert laid.state("dotting") == laid.state("claimed") == laid.state("unconfirmed") == 0
        assert laid.toll().twice == 0


def test_processes_of_one_worker_share_a_run_without_redis(store: Store, tmp_path: Path) -> None:
    with _up(store, tmp_path, "worker", "--processes", "2") as (laid, worker):
        processes.until(laid.finished, 120, "the run is finished")
        assert len(_children(worker)) == 2
        assert processes.end(worker, signal.SIGTERM) == 0
        toll = laid.toll()
        statement = f"SELECT count(DISTINCT token) FROM delivery WHERE run_id = {laid.run_id}"
        with store.read() as connection:
            senders = connection.exec_driver_sql(statement).scalar_one()
    assert toll.states == {"sent": CUSTOMERS}
    assert toll.lost == toll.twice == toll.unknown == 0
    assert senders >= 2
