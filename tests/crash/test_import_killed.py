"""Kills imports and checks that they leave no personal data on the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mailshot.store.engine import Store
from tests.support.project import Shop

CANARY = "Canary-Nansen"
ROWS = 60_000
PATIENCE_SECONDS = 60


def wait(until: Callable[[], bool]) -> bool:
    ends = time.monotonic() + PATIENCE_SECONDS
    while not (done := until()) and time.monotonic() < ends:
        time.sleep(0.01)
    return done


def left_in(*folders: Path) -> list[Path]:
    """Return all below these folders. It may be removed meanwhile, which os.walk does not mind."""
    walks = (walk for folder in folders for walk in os.walk(folder))
    return [Path(folder, name) for folder, *names in walks for name in (*names[0], *names[1])]


def naming(*folders: Path) -> list[Path]:
    """Return the files below these folders that hold the name."""
    paths = []
    for path in left_in(*folders):
        with suppress(OSError):  # a folder, or removed meanwhile
            paths += [path] * (CANARY.encode() in path.read_bytes())
    return paths


def test_a_killed_import_leaves_no_names(sqlite_url: str, tmp_path: Path) -> None:
    store = Store.open(sqlite_url)
    shop = Shop.open(store, tmp_path / "shop")
    store.close()
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    people = tmp_path / "people.csv"
    people.write_bytes(b"id,name\n" + b"".join(f"{n},{CANARY} \xe6 {n}\n".encode("cp1252") for n in range(ROWS)))
    mapping = shop.folder / "m.yaml"
    mapping.write_text(
        f"name: m\nimports:\n  - kind: customers\n    file: {people}\n    encoding: cp1252\n"
        "    columns: {key: id, first_name: name}\n",
        encoding="utf-8",
    )
    environment = {**os.environ, **shop.environment(), "TMPDIR": str(temporary)}
    rejects = shop.folder / "rejects"
    for _ in range(3):
        command = [sys.executable, "-m", "mailshot", "import", str(mapping)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert wait(lambda: bool(naming(rejects, temporary)))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert wait(lambda: not left_in(rejects, temporary)), left_in(rejects, temporary)
