"""Replies to the address in Reply-To, from a worker's mail to the customer's data and its erasure."""

from __future__ import annotations

import json
import re
import smtplib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailshot.bootstrap import App
from mailshot.campaign import plan
from mailshot.states import IncomingKind
from mailshot.store import consent, incoming_mail
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing, Purpose
from tests.cli.test_errors import tried
from tests.intake.test_loop import WAYS, records, wait_for
from tests.support import ledger_rows, processes, project, returned_mail
from tests.support.processes import Sink
from tests.support.project import Shop

SENDERS = project.FILES["rules/senders.yaml"] + "  replies: mailbox\n  bounce_domain: back.bay.example.com\n"
WHO = ("asks", "away", "stops", "forged")
REPLY_TO = re.compile(r"\r\nReply-To: Bay Shop <(r\+[0-9a-v]+)@back\.bay\.example\.com>\r\n")
SECRET = "Do you have the blue one in my size, 44?"


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    opened = Shop.open(store, tmp_path / "shop", more={"rules/senders.yaml": SENDERS})
    opened.add([project.person(who, f"{who}@mail.example") for who in WHO])
    return opened


def send(shop: Shop, sink: Sink, **settings: str) -> dict[str, dict[str, Any]]:
    """Let a worker process send a mail to each customer, and return the mails by the customer's key."""
    run_id = shop.launch()
    worker = processes.worker(shop.environment(MAILSHOT_SMTP=sink.url, **settings), shop.folder / "worker.log")
    try:
        processes.until(lambda: set(ledger_rows.states(shop.store, run_id).values()) == {"sent"}, 60, "all is sent")
    finally:
        processes.end(worker)
    return {mail["rcpt"].partition("@")[0]: mail for mail in sink.entries()}


def came_back(mails: dict[str, dict[str, Any]]) -> dict[str, bytes]:
    """Return what comes to the reply address of each mail."""
    report = returned_mail.bounce(mails["forged"], "hard")
    address = returned_mail.reply_address(mails["forged"])
    return {
        "asks": returned_mail.reply(mails["asks"], f"{SECRET}\n\nOn Mon, Bay Shop wrote:\n> Dear Ann\n"),
        "away": returned_mail.out_of_office(mails["away"]),
        "stops": returned_mail.reply(mails["stops"], "STOP\n"),
        "forged": report.replace(b"the envelope sender", address.encode()),
    }


@pytest.mark.parametrize("way", ["lmtp", "maildir"])
def test_a_reply_comes_to_its_customer_and_changes_nothing(
    shop: Shop, sink: Sink, app: Callable[..., App], tmp_path: Path, way: str
) -> None:
    mails = send(shop, sink, MAILSHOT_MAILBOX="pipe")
    addresses = {who: returned_mail.reply_address(mail) for who, mail in mails.items()}
    keys = KeyRing.parse(project.KEYS)
    for who, mail in mails.items():
        (local,) = REPLY_TO.findall(mail["data"].partition("\r\n\r\n")[0])
        assert addresses[who] == f"{local}@back.bay.example.com"
        verified = keys.verify_local_part(local)
        assert verified is not None
        assert verified[0] is Purpose.reply
    with WAYS[way](app(mailbox="pipe"), tmp_path) as put:
        for who, raw in came_back(mails).items():
            put(addresses[who].upper() if who == "asks" else addresses[who], raw)
        wait_for(lambda: len(records(shop)) == len(WHO))
    kinds = {key: record.kind for key, record in records(shop).items()}
    assert kinds == {
        "asks": IncomingKind.reply, "away": IncomingKind.auto_reply, "stops": IncomingKind.reply,
        "forged": IncomingKind.hard,
    }  # fmt: skip
    assert {record.effect for record in records(shop).values()} == {""}
    assert records(shop)["stops"].verdict["asks_to_stop"] is True
    assert "no mail server sends reports" in records(shop)["forged"].verdict["note"]
    now = datetime.now(UTC)
    assert plan.make_plan(shop.store, shop.campaign("next"), now, now).mails == len(WHO)
    with shop.store.read() as connection:
        assert all(consent.latest_entries(connection, who)["offers"].given for who in shop.customers)
    _check_commands(shop, tmp_path)


def _check_commands(shop: Shop, folder: Path) -> None:
    """Staff read the reply, the customer's data contains it, and an erasure deletes it."""
    listed = json.loads(tried(shop, "mailbox", "list", "--kind", "reply", "--json")[1])
    assert {record["customer"]: record["text"] for record in listed} == {"asks": SECRET, "stops": "STOP"}
    assert "asks to stop: STOP" in tried(shop, "mailbox", "list", "--kind", "reply", "--customer", "stops")[1]
    (record,) = json.loads(tried(shop, "mailbox", "list", "--customer", "asks@mail.example", "--json")[1])
    assert (record["from"], record["subject"]) == ("asks@mail.example", "Re: Hello")
    shown = tried(shop, "mailbox", "show", str(record["id"]))[1]
    assert f"text: {SECRET}" in shown
    assert "from: asks@mail.example" in shown
    assert "subject: Re: Hello" in shown
    exports = {who: folder / f"{who}.json" for who in WHO}
    for who, path in exports.items():
        assert tried(shop, "customer", "export", who, "--to", str(path))[0] == 0
    assert {who for who, path in exports.items() if SECRET in path.read_text()} == {"asks"}
    assert tried(shop, "customer", "export", "asks", "--html", "--to", str(folder / "asks.html"))[0] == 0
    assert SECRET in (folder / "asks.html").read_text()
    assert tried(shop, "customer", "erase", "asks", "--yes")[0] == 0
    with shop.store.read() as connection:
        left = incoming_mail.latest(connection, [], False, 100)
    assert {record.customer for record in left} == {"away", "stops", "forged"}
    assert SECRET not in tried(shop, "mailbox", "list", "--json")[1]


def test_without_a_mailbox_replies_go_to_the_sender_and_the_plan_says_so(shop: Shop, sink: Sink) -> None:
    for command in (("plan", "hello"), ("rules", "check")):
        shop.campaign()
        code, printed = tried(shop, *command)
        assert code == 0
        assert "no mailbox is set up, so replies go to hello@bay.example.com" in printed
        assert "no mailbox is set up" not in tried(shop, *command, MAILSHOT_MAILBOX="pipe")[1]
    for mail in send(shop, sink).values():
        head = mail["data"].partition("\r\n\r\n")[0]
        assert "Reply-To:" not in head
        assert "r+" not in head
        assert returned_mail.reply_address(mail) == "hello@bay.example.com"


def test_a_reply_to_an_erased_customers_mail_is_deleted(
    shop: Shop, sink: Sink, app: Callable[..., App], tmp_path: Path
) -> None:
    mails = send(shop, sink, MAILSHOT_MAILBOX="pipe")
    assert tried(shop, "customer", "erase", "asks", "--yes")[0] == 0
    with WAYS["lmtp"](app(mailbox="pipe"), tmp_path) as put:
        for who in ("asks", "away"):
            put(returned_mail.reply_address(mails[who]), came_back(mails)[who])
        wait_for(lambda: set(records(shop)) == {"away"})
    assert SECRET not in tried(shop, "mailbox", "list", "--json")[1]


def test_the_port_refuses_a_reply_address_that_was_changed(shop: Shop, app: Callable[..., App], tmp_path: Path) -> None:
    keys = KeyRing.parse(project.KEYS)
    token = keys.sign_local_part(Purpose.bounce, 1, shop.customers[0]).partition("+")[2]
    with WAYS["lmtp"](app(), tmp_path) as put:
        put(f"{keys.sign_local_part(Purpose.reply, 2**63 - 1, 2**63 - 1)}@back.bay.example.com", b"Subject: x\r\n\r\nx")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            put(f"r+{token}@back.bay.example.com", b"Subject: x\r\n\r\nx\r\n")
