"""Checks that runs leave signed, as the server stored them, and that no mail leaves without its signature."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailshot.bootstrap import App
from mailshot.deliver import pipeline, requested_mails, sign_up_mails
from mailshot.errors import SettingsError
from mailshot.render import dkim_keys
from mailshot.render.dkim_keys import KeyType
from mailshot.store import ledger_queries
from mailshot.store.engine import Store
from mailshot.store.sign_ups import SIGN_UP
from tests.render.test_dkim import is_valid
from tests.support import processes, project
from tests.support.processes import Sink
from tests.support.project import Shop

Apps = Callable[..., App]
SIGN = "  sign: {domain: bay.example.com, selector: [m1, e1]}\n"
DOTS = ".first\n..second\n\n.  \nGrønt  &\tblått 緑\n\n\n"


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    body = project.FILES["templates/hello/body.html"].replace("<p>Dear", f"<pre>{DOTS}</pre><p>Dear")
    more = {
        "rules/senders.yaml": project.FILES["rules/senders.yaml"] + SIGN,
        "templates/hello/body.html": body,
        "templates/hello/subject.txt": "Grønt {{ customer.first_name }} 緑",
    }
    return Shop.open(store, tmp_path / "shop", 60, more)


def make_keys(shop: Shop) -> None:
    folder = shop.folder / "dkim"
    folder.mkdir(exist_ok=True)
    for selector, kind in (("m1", KeyType.rsa), ("e1", KeyType.ed25519)):
        path = folder / dkim_keys.file_name("bay.example.com", selector)
        if not path.exists():
            path.write_bytes(dkim_keys.generate(kind))


def states(shop: Shop, run_id: int) -> dict[str, int]:
    with shop.store.read() as connection:
        return ledger_queries.count_states(connection, run_id)


def send(app: App, run_id: int) -> None:
    pipeline.send_batch(app.send_settings, run_id, 2000, threading.Event())


@pytest.mark.parametrize("options", [(), ("--seven-bit",)])
def test_what_the_server_stored_is_signed(shop: Shop, app: Apps, tmp_path: Path, options: tuple[str, ...]) -> None:
    make_keys(shop)
    run_id = shop.launch()
    with processes.sink(tmp_path, "--whole", *options) as sink:
        process = app(smtp=sink.url)
        send(process, run_id)
        entries = sink.entries()
    assert states(shop, run_id) == {"sent": 60}
    keys = process.dkim_keys.find({"domain": "bay.example.com", "selector": ["m1", "e1"]})
    for entry in entries:
        message = entry["data"].encode()
        assert message.isascii()
        assert is_valid(message, keys, 0)
        assert is_valid(message, keys, 1)
        assert b"\r\n.first" in message or b"=2Efirst" in message or b"\n.first" in message


def test_without_its_key_a_run_waits_and_nothing_leaves(shop: Shop, app: Apps, sink: Sink) -> None:
    run_id = shop.launch()
    with pytest.raises(SettingsError, match=r"m1._domainkey.bay.example.com.pem is missing"):
        send(app(), run_id)
    assert (states(shop, run_id), sink.entries()) == ({"pending": 60}, [])
    make_keys(shop)
    send(app(), run_id)
    assert states(shop, run_id) == {"sent": 60}


def test_a_worker_says_what_is_missing_and_goes_on_after_a_restart(shop: Shop, sink: Sink, tmp_path: Path) -> None:
    run_id, log = shop.launch(), tmp_path / "worker.log"
    surroundings = shop.environment(MAILSHOT_SMTP=sink.url)
    worker = processes.worker(surroundings, log)
    try:
        line = f"run {run_id}: The DKIM key "
        processes.until(lambda: line in log.read_text(), 60, "the worker names the key")
    finally:
        processes.end(worker)
    assert (states(shop, run_id), sink.entries()) == ({"pending": 60}, [])
    make_keys(shop)
    worker = processes.worker(surroundings, log)
    try:
        processes.until(lambda: states(shop, run_id) == {"sent": 60}, 60, "all mails are sent")
    finally:
        processes.end(worker)
    assert all("DKIM-Signature" in entry["data"] for entry in sink.entries())


def test_a_mail_that_was_asked_for_is_signed_or_waits(shop: Shop, app: Apps, sink: Sink) -> None:
    now = datetime.now(UTC)
    sender = {"name": "Bay", "brand": "", "address": "hello@bay.example.com", "postal_address": "1 Quay, 0150 Oslo",
              "reply_to": None, "sign": {"domain": "bay.example.com", "selector": "m1"}}  # fmt: skip
    row = {"email": "nina@example.com", "address_hash": "ab" * 16, "client_hash": "", "language": "en", "topics": [],
           "form": "", "sender": sender, "state": "asked", "asked_at": now, "due_at": now}  # fmt: skip
    with shop.store.write() as connection:
        connection.execute(SIGN_UP.insert(), row)

    def send_links(at: datetime) -> int:
        return requested_mails.send_due(app().send_settings, sign_up_mails.LINKS, at, threading.Event())

    assert (send_links(now), sink.entries()) == (0, [])
    make_keys(shop)
    assert send_links(now + timedelta(hours=1)) == 1
    keys = dkim_keys.read_folder(shop.folder / "dkim").find(sender["sign"])  # type: ignore[arg-type]
    assert is_valid(sink.entries()[0]["data"].encode(), keys)


def test_a_run_without_a_signature_is_as_it_was(shop: Shop) -> None:
    unsigned = project.FILES["rules/senders.yaml"]
    (shop.folder / "rules/senders.yaml").write_text(unsigned, encoding="utf-8")
    assert "sign" not in shop.campaign().body["mailing"]["sender"]
