"""Checks what commands say about the relays of senders, and that single mails go through them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mailshot.store.engine import Store
from tests.cli.test_errors import mailshot
from tests.support import processes, project
from tests.support.processes import Sink
from tests.support.project import Shop

INVALID, UNAVAILABLE = 3, 6
THROUGH = "  through: [{relay: own, weight: 3}, {relay: spare, spare: yes}]\n"
#: Nothing listens there.
NOWHERE = "smtp://ann:canary@127.0.0.1:1"


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path) -> Shop:
    more = {"rules/senders.yaml": project.FILES["rules/senders.yaml"] + THROUGH}
    return Shop.open(sqlite_store, tmp_path / "shop", 3, more)


def test_plan_and_launch_refuse_a_relay_without_an_address(shop: Shop, sink: Sink) -> None:
    shop.campaign()
    some = {"MAILSHOT_RELAY_OWN": sink.url, "MAILSHOT_SMTP": NOWHERE}
    planned = mailshot(shop, "plan", "hello", **some)
    assert planned.returncode == INVALID
    assert "MAILSHOT_RELAY_SPARE is missing" in " ".join(planned.stdout.split())
    launched = mailshot(shop, "launch", "hello", **some)
    assert (launched.returncode, "MAILSHOT_RELAY_SPARE is missing" in launched.stderr) == (INVALID, True)
    down = {**some, "MAILSHOT_RELAY_OWN": NOWHERE, "MAILSHOT_RELAY_SPARE": NOWHERE}
    assert mailshot(shop, "plan", "hello", **down).returncode == 0
    launched = mailshot(shop, "launch", "hello", **down)
    assert (launched.returncode, "MAILSHOT_RELAY_OWN" in launched.stderr) == (UNAVAILABLE, True)
    assert "canary" not in launched.stderr
    # One relay that works is enough.
    assert mailshot(shop, "launch", "hello", **down | {"MAILSHOT_RELAY_SPARE": sink.url}).returncode == 0


def test_a_worker_says_which_relay_is_missing_and_sends_nothing(shop: Shop, sink: Sink) -> None:
    shop.launch()
    log = shop.folder / "worker.log"
    worker = processes.worker(shop.environment(MAILSHOT_RELAY_OWN=sink.url), log)
    try:
        processes.until(lambda: "MAILSHOT_RELAY_SPARE is missing" in log.read_text(), 60, "the worker says so")
    finally:
        processes.end(worker)
    assert sink.entries() == []
    assert log.read_text().count("MAILSHOT_RELAY_SPARE is missing") == 1


def test_doctor_checks_each_relay(shop: Shop, sink: Sink) -> None:
    shop.campaign()
    relays = {"MAILSHOT_RELAY_OWN": sink.url, "MAILSHOT_RELAY_OLD": NOWHERE, "MAILSHOT_SMTP": NOWHERE}
    parts = {part["part"]: part for part in json.loads(mailshot(shop, "doctor", "--json", **relays).stdout)}
    assert parts["smtp"]["sound"], "no sender uses it"
    assert parts["relay own"] == {"part": "relay own", "sound": True, "says": f"{sink.url[7:]} is reachable"}
    assert "See MAILSHOT_RELAY_OLD." in parts["relay old"]["says"]
    assert "MAILSHOT_RELAY_SPARE is missing" in parts["relay spare"]["says"]
    assert "canary" not in str(parts)


def test_doctor_checks_what_senders_relays_prove(shop: Shop, sink: Sink) -> None:
    relays = {"MAILSHOT_RELAY_OWN": sink.url, "MAILSHOT_RELAY_SPARE": "smtp://127.0.0.1:2"}
    done = mailshot(shop, "doctor", "--senders", "--nameserver", "127.0.0.1:1", "--json", **relays)
    about = {finding["about"] for finding in json.loads(done.stdout)}
    assert {f"relay {sink.url[7:]}", "relay 127.0.0.1:2"} <= about


def test_single_mails_take_the_first_relay_that_works(shop: Shop, sink: Sink) -> None:
    shop.campaign()
    relays = {"MAILSHOT_RELAY_OWN": NOWHERE, "MAILSHOT_RELAY_SPARE": sink.url, "MAILSHOT_SMTP": NOWHERE}
    assert mailshot(shop, "plan", "hello", **relays).returncode == 0
    done = mailshot(shop, "send-test", "hello", "me@example.com", **relays)
    assert done.returncode == 0, done.stderr
    assert [entry["rcpt"] for entry in sink.entries()] == ["me@example.com"]
