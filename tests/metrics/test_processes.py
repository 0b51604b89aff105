"""`mailshot up` on real servers, scraped over HTTP: what it counts is what happened, and its logs name no person.

One run: mails that are accepted, refused and deferred; a click, an unsubscribe request, a bounce, and wrong requests.
"""

from __future__ import annotations

import json
import re
import signal
import smtplib
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mailshot.profile.topics import TRACKING
from mailshot.store import dialect, ledger_queries, tables
from mailshot.store.engine import Store
from tests.support import customer_site, processes, project, returned_mail, scraping
from tests.support.processes import Sink
from tests.support.project import Shop
from tests.support.scraping import Scrape

GOOD, REFUSED, DEFERRED = 30, 3, 2
#: The ports of the processes, from the one that is set (`http_server.PORT_OFFSETS`).
WEB, WORKER = 0, 3
TOKEN = re.compile(r"[A-Za-z0-9_-]{25,}|[0-9a-v]{35,}")


@dataclass
class Loop:
    """What happened, and what the processes showed of it."""

    store: Store
    run_id: int
    log: Path
    web: Scrape
    worker: Scrape
    #: Every token that was in a mail or in a request.
    tokens: set[str] = field(default_factory=set)

    @property
    def states(self) -> dict[str, int]:
        with self.store.read() as connection:
            return ledger_queries.count_states(connection, self.run_id)


def _request(url: str, data: bytes | None = None, method: str | None = None) -> int:
    """Send a request that follows no redirect; return the status."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    headers = {"User-Agent": customer_site.BROWSER}
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.build_opener(Stay()).open(request, timeout=20) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def _links(mail: dict[str, Any], kind: str) -> list[str]:
    data = mail["data"].replace("=\r\n", "").replace("=3D", "=").replace("\r\n ", "")
    return re.findall(rf"http://127\.0\.0\.1:\d+/{kind}/[\w-]+", data)


def _shop(store: Store, folder: Path) -> Shop:
    shop = Shop.open(store, folder)
    shop.add(project.people(GOOD, "canary{n}"))
    shop.add(project.people(REFUSED, "554-dot-canary{n}", 101))
    shop.add(project.people(DEFERRED, "450-rcpt-canary{n}", 201))
    consents = [
        {"customer_id": number, "topic": TRACKING, "given": True, "at": project.NOW} for number in shop.customers
    ]
    with store.write() as connection:
        connection.execute(dialect.table(tables.Consent).insert(), consents)
    return shop


def _happen(loop_tokens: set[str], sink: Sink, mailbox: int, base: str) -> None:
    """Click, unsubscribe, bounce, and ask for what is not there."""
    clicked, left, bounced, answered, *_ = [mail for mail in sink.entries() if mail["rcpt"].startswith("canary")]
    for mail in sink.entries():
        loop_tokens.update(link.rpartition("/")[2] for kind in "ocupv" for link in _links(mail, kind))
        loop_tokens.add(mail["from"].partition("@")[0].partition("+")[2])
    assert _request(_links(clicked, "c")[0]) == 302
    assert _request(_links(left, "u")[0], b"List-Unsubscribe=One-Click") == 200
    wrong = _links(left, "u")[0][:-3] + "aaa"
    loop_tokens.add(wrong.rpartition("/")[2])
    assert _request(wrong) == 404
    assert _request(f"{base}/nothing/canary@mail.example") == 404
    assert _request(f"{base}/healthz", method="DELETE") == 405
    with socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2])), 10) as raw:
        raw.sendall(f"GET {wrong} nonsense\r\n\r\n".encode())
        raw.recv(1000)
    with smtplib.LMTP("127.0.0.1", mailbox, timeout=20) as client:
        client.sendmail("", [bounced["from"]], returned_mail.bounce(bounced, "hard"))
        client.sendmail("", [answered["from"]], returned_mail.out_of_office(answered))
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("canary@mail.example", ["canary@bay.example.com"], b"Subject: canary")


@pytest.fixture(params=["text", "json"], scope="module")
def loop(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loop]:
    folder = tmp_path_factory.mktemp("loop")
    database = folder / "mailshot.db"
    database.write_bytes(sqlite_template.read_bytes())
    store = Store.open(f"sqlite:///{database}")
    shop, web, mailbox, first = (
        _shop(store, folder / "shop"),
        processes.free_port(),
        processes.free_port(),
        scraping.free_ports(4),
    )
    run_id, tokens, log = shop.launch(), set[str](), folder / "up.log"
    with processes.sink(folder, "--whole") as sink, log.open("w") as file:
        environment = shop.environment(
            MAILSHOT_SMTP=sink.url, MAILSHOT_WEB_PORT=str(web), MAILSHOT_MAILBOX=f"lmtp://127.0.0.1:{mailbox}",
            MAILSHOT_METRICS=f"127.0.0.1:{first}", MAILSHOT_LOG_FORMAT=request.param, LOGLEVEL="DEBUG",
        )  # fmt: skip
        up = processes.start(
            [sys.executable, "-m", "mailshot", "up"], environment, stderr=file, stdout=subprocess.DEVNULL
        )
        try:
            processes.until(lambda: _settled(store, run_id) == GOOD + REFUSED + DEFERRED, 60, "all mails are settled")
            _happen(tokens, sink, mailbox, f"http://127.0.0.1:{web}")
            # Either process may be the one that reads the bounce.
            processes.until(lambda: _incoming(first) == 2, 60, "both messages are read")
            # The clock counts them every 15 seconds, for the first time perhaps in the middle of the run.
            processes.until(
                lambda: scraping.scrape(first + WORKER).samples.get(("mailshot_due_mails",)) == 0,
                60,
                "due mail is counted after the run",
            )
            seen = Loop(store, run_id, log, scraping.scrape(first + WEB), scraping.scrape(first + WORKER), tokens)
        finally:
            assert processes.end(up, signal.SIGTERM) == 0
    yield seen
    store.close()


def _settled(store: Store, run_id: int) -> int:
    with store.read() as connection:
        counts = ledger_queries.count_states(connection, run_id)
    return sum(counts.get(state, 0) for state in ("sent", "refused", "deferred"))


def _incoming(first: int) -> float:
    return sum(
        sum(scraping.scrape(first + port).named("mailshot_incoming_mails_total").values()) for port in (WEB, WORKER)
    )


def test_mails_are_counted_as_the_ledger_has_them(loop: Loop) -> None:
    assert loop.states == {"sent": GOOD, "refused": REFUSED, "deferred": DEFERRED}
    assert loop.worker.named("mailshot_mails_total") == {
        ("sent",): GOOD, ("refused",): REFUSED, ("deferred",): DEFERRED
    }  # fmt: skip
    # The dots of the refused mails were answered, too; deferred ones had none.
    assert loop.worker["mailshot_reply_seconds_count"] == GOOD + REFUSED
    assert loop.worker["mailshot_round_mails_sum"] >= GOOD + REFUSED
    rounds = loop.worker["mailshot_round_mails_count"]
    assert loop.worker["mailshot_commit_seconds_count"] == loop.worker["mailshot_round_seconds_count"] == rounds
    assert loop.worker["mailshot_commit_seconds_sum"] <= loop.worker["mailshot_round_seconds_sum"]


def test_nothing_is_held_after_the_batch_and_nothing_is_due(loop: Loop) -> None:
    for name in (
        "mailshot_smtp_connections",
        "mailshot_claimed_mails",
        "mailshot_rendered_mails",
        "mailshot_due_mails",
    ):
        assert loop.worker[name] == 0
    assert ("mailshot_clock_lag_seconds",) in loop.worker.samples


def test_requests_are_counted_by_route_and_events_by_kind(loop: Loop) -> None:
    assert loop.web.named("mailshot_http_requests_total") == {
        ("GET", "/c/{token:path}", "302"): 1,
        ("POST", "/u/{token:path}", "200"): 1,
        ("GET", "/u/{token:path}", "404"): 1,
        ("GET", "none", "404"): 1,
        ("other", "/healthz", "405"): 1,
    }
    assert loop.web["mailshot_http_request_duration_seconds_count", "/c/{token:path}"] == 1
    events = Counter[str]()
    for scrape in (loop.web, loop.worker):
        for (_by, kind), number in scrape.named("mailshot_feedback_events_total").items():
            events[kind] += int(number)
    assert events == {"clicked": 1, "unsubscribed": 1, "bounced": 1}
    assert loop.web["mailshot_group_commit_writes_sum"] == 2


def test_messages_are_counted_by_kind(loop: Loop) -> None:
    kinds = Counter[str]()
    for scrape in (loop.web, loop.worker):
        for (kind,), number in scrape.named("mailshot_incoming_mails_total").items():
            kinds[kind] += int(number)
    assert kinds == {"hard": 1, "auto_reply": 1}


def test_each_process_says_what_it_is_and_shows_no_other_metrics(loop: Loop) -> None:
    assert {key[0] for key in loop.web.named("mailshot_info")} == {"web", "mailbox"}
    assert {key[0] for key in loop.worker.named("mailshot_info")} == {"worker", "clock"}
    assert loop.web.named("mailshot_mails_total") == {}
    assert "mailshot_http_requests_total" not in loop.worker.text
    assert loop.worker["process_resident_memory_bytes"] > 0


def test_no_metric_names_a_person_or_a_token(loop: Loop) -> None:
    text = loop.web.text + loop.worker.text
    assert "canary" not in text
    assert "@" not in text
    assert [token for token in loop.tokens if token in text] == []


def test_no_log_at_the_lowest_level_names_a_person_or_a_token(loop: Loop) -> None:
    text = loop.log.read_text()
    assert len(loop.tokens) > 4 * GOOD
    assert [line for line in text.splitlines() if "canary" in line.lower() or "Ann c" in line] == []
    assert [token for token in loop.tokens if token in text] == []


def test_logs_are_one_json_object_a_line_or_as_ever(loop: Loop, request: pytest.FixtureRequest) -> None:
    lines = loop.log.read_text().splitlines()
    assert lines
    if request.node.callspec.params["loop"] == "text":
        usual = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.()]+: |WARNING:  ")
        assert [line for line in lines if not usual.match(line)] == []
        return
    objects = [json.loads(line) for line in lines]
    assert all({"time", "level", "logger", "message"} <= set(item) for item in objects)
    assert {item["run"] for item in objects if "run" in item} == {loop.run_id}
