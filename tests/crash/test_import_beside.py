"""Measures a one-click unsubscribe while a year of purchases is imported into SQLite for the first time."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from mailshot.store import consent
from mailshot.store.engine import Store
from mailshot.tokens import Purpose
from tests.crash.test_web_killed import CUSTOMERS, crowd, process
from tests.support import customer_site

IMPORT = """
import sys
from pathlib import Path
from mailshot import documents
from mailshot.ingest import importer
from mailshot.facts import catalogue
from mailshot.store.engine import Store
facts = catalogue.read(documents.load_document(Path("rules/facts.yaml")))
options = importer.Options(facts, ("offers", "recipes", "service"), b"k" * 32, Path(sys.argv[2]))
importer.run_import(Store.open(sys.argv[1]), Path("rules/imports/complete-journey.yaml"), options)
"""
BUDGET_SECONDS = 1.0
EVERY_SECONDS = 0.1


@pytest.mark.torture
def test_unsubscribing_while_a_first_import_runs(sqlite_url: str, tmp_path: Path) -> None:
    store = Store.open(sqlite_url)
    crowd(store)
    port, taken, clicks = customer_site.free_port(), [], 0
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    with process(sqlite_url, port), httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        importing = subprocess.Popen([sys.executable, "-c", IMPORT, sqlite_url, str(tmp_path)], env=environment)
        began = time.monotonic()
        try:
            while importing.poll() is None and time.monotonic() - began < 600:
                customer = 1000 + clicks % CUSTOMERS
                path = customer_site.path(Purpose.unsubscribe, customer_site.RUN, customer)
                sent = time.monotonic()
                answer = client.post(path, data={"List-Unsubscribe": "One-Click"})
                taken.append(time.monotonic() - sent)
                assert answer.status_code == 200
                with store.read() as connection:
                    assert not consent.latest_entries(connection, customer)["offers"].given
                clicks += 1
                time.sleep(max(EVERY_SECONDS - taken[-1], 0))
        finally:
            importing.kill()
        assert importing.wait() == 0
    ordered = sorted(taken)
    p99 = ordered[int(len(ordered) * 0.99)]
    print(
        f"\n{clicks} one-click requests in {time.monotonic() - began:.0f} s of import: "
        f"p50 {statistics.median(taken) * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, longest {ordered[-1] * 1000:.0f} ms"
    )
    assert p99 <= BUDGET_SECONDS
    store.close()
