"""The full loop with real servers: Mailshot sends, the mail comes back by each way, and the next plan differs."""

from __future__ import annotations

import imaplib
import mailbox as standard_mailbox
import smtplib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from mailshot import tasks
from mailshot.bootstrap import App
from mailshot.campaign import plan
from mailshot.deliver import pipeline
from mailshot.feedback import incoming_mail as applying
from mailshot.insight import report
from mailshot.intake.mailbox_address import MailboxAddress
from mailshot.states import DeliveryState, FeedbackKind, IncomingSource
from mailshot.store import dialect, feedback, inboxes, incoming_mail, tables
from mailshot.store.engine import Store
from mailshot.store.incoming_mail import RawMail
from tests.support import customer_site, ledger_rows, project, returned_mail
from tests.support.imap_server import ImapServer, imap_server
from tests.support.processes import Sink
from tests.support.project import Shop

Put = Callable[[str, bytes], None]
KINDS = ("hard", "soft", "block", "delayed", "complaint", "unsubscribe", "auto_reply", "reply", "silent")


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    """Return a shop with a customer for each kind of message, named by it."""
    opened = Shop.open(store, tmp_path / "shop")
    opened.add([project.person(kind, f"{kind}@mail.example") for kind in KINDS])
    return opened


def send(shop: Shop, app: App, name: str = "hello", now: datetime | None = None) -> int:
    run_id = shop.launch(shop.campaign(name, "repeat: yes\n"), now)
    pipeline.send_batch(app.send_settings, run_id, 1000, threading.Event())
    return run_id


def came_back(mail: dict[str, Any]) -> bytes | None:
    """Return what comes back about a mail, by the local part of its recipient."""
    kind = mail["rcpt"].partition("@")[0]
    if kind in returned_mail.STATUSES:
        return returned_mail.bounce(mail, kind)
    written = {
        "complaint": returned_mail.complaint,
        "unsubscribe": returned_mail.unsubscribe,
        "auto_reply": returned_mail.out_of_office,
        "reply": lambda mail: returned_mail.reply(mail, "Please remove me from your list.\n"),
    }
    return written[kind](mail) if kind in written else None


@contextmanager
def receiving(app: App, mailbox: MailboxAddress) -> Iterator[None]:
    """Run the mailbox process in a thread."""
    stop = threading.Event()
    thread = threading.Thread(target=tasks.receive_until, args=(app, mailbox, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; a test that never gets there fails at its own limit."""
    while not condition():
        threading.Event().wait(0.05)


@contextmanager
def _port(app: App, scheme: str, client: type[smtplib.SMTP]) -> Iterator[Put]:
    port = customer_site.free_port()
    mailbox = MailboxAddress.parse(f"{scheme}://127.0.0.1:{port}")
    assert mailbox
    with receiving(app, mailbox):
        wait_for(lambda: _answers(port))

        def put(recipient: str, raw: bytes) -> None:
            with client("127.0.0.1", port) as server:
                server.sendmail("", [recipient], raw)

        yield put


@contextmanager
def lmtp(app: App, folder: Path) -> Iterator[Put]:
    with _port(app, "lmtp", smtplib.LMTP) as put:
        yield put


@contextmanager
def smtp(app: App, folder: Path) -> Iterator[Put]:
    with _port(app, "smtp", smtplib.SMTP) as put:
        yield put


@contextmanager
def maildir(app: App, folder: Path) -> Iterator[Put]:
    box = standard_mailbox.Maildir(folder / "maildir", create=True)
    mailbox = MailboxAddress.parse(f"maildir:{folder / 'maildir'}")
    assert mailbox
    with receiving(app, mailbox):
        yield lambda recipient, raw: str(box.add(raw)) and None  # type: ignore[func-returns-value]


@contextmanager
def imap(app: App, folder: Path) -> Iterator[Put]:
    with imap_server() as server:

        def put(recipient: str, raw: bytes) -> None:
            with _client(server) as client:
                client.append("INBOX", "", "", raw)

        yield put
        mailbox = MailboxAddress.parse(server.url)
        assert mailbox
        # A round by hand: the process waits half a minute between two.
        stop = threading.Event()
        thread = threading.Thread(target=tasks.receive_until, args=(app, mailbox, stop))
        thread.start()
        wait_for(lambda: _in_inbox(server) == 0)
        stop.set()
        thread.join()


def _client(server: ImapServer) -> imaplib.IMAP4:
    client = imaplib.IMAP4("127.0.0.1", server.port)
    client.login(server.user, server.password)
    return client


def _in_inbox(server: ImapServer) -> int:
    with _client(server) as client:
        return int(client.select("INBOX")[1][0] or b"0")


def _answers(port: int) -> bool:
    try:
        with smtplib.socket.create_connection(("127.0.0.1", port), timeout=1):  # type: ignore[attr-defined]
            return True
    except OSError:
        return False


WAYS = {"lmtp": lmtp, "smtp": smtp, "maildir": maildir, "imap": imap}


def records(shop: Shop) -> dict[str, incoming_mail.IncomingRecord]:
    with shop.store.read() as connection:
        rows = incoming_mail.latest(connection, [], False, 1000)
    return {row.customer or "": row for row in rows if row.kind}


@pytest.mark.parametrize("way", WAYS)
def test_what_comes_back_changes_the_next_plan(
    shop: Shop, sink: Sink, app: Callable[..., App], tmp_path: Path, way: str
) -> None:
    made = app(mailbox="pipe")
    send(shop, made)
    mails = {mail["rcpt"].partition("@")[0]: mail for mail in sink.entries()}
    assert set(mails) == set(KINDS)
    with WAYS[way](made, tmp_path) as put:
        for kind, mail in mails.items():
            raw = came_back(mail)
            if raw is not None:
                # A person answers to the From address. The port takes no such mail: it has no token in its address.
                addresses = {"unsubscribe": returned_mail.leave_address, "reply": returned_mail.from_address}
                address = addresses.get(kind, itemgetter("from"))(mail)
                if kind == "reply" and way in ("lmtp", "smtp"):
                    continue
                put(address, raw)
                put(address, raw)  # a server that lost the reply to the dot sends it again
        expected = set(KINDS) - ({"silent", "reply"} if way in ("lmtp", "smtp") else {"silent"})
        if way != "imap":
            wait_for(lambda: len(records(shop)) == len(expected))
    assert {key: str(record.kind) for key, record in records(shop).items()} == {kind: kind for kind in expected}
    effects = {key: record.effect for key, record in records(shop).items() if record.effect}
    assert effects == {
        "hard": "suppressed the address", "complaint": "suppressed the address", "unsubscribe": "withdrew 'offers'",
    }  # fmt: skip
    assert "reply" not in expected or records(shop)["reply"].verdict["asks_to_stop"] is True
    now = datetime.now(UTC)
    edition = shop.campaign("hello", "repeat: yes\n")
    made_plan = plan.make_plan(shop.store, edition, now, now)
    assert made_plan.left_out == {"suppressed": 2}
    assert made_plan.mails == len(KINDS) - 3, "who unsubscribed is not in the audience any more"


def test_five_soft_bounces_suppress_unless_the_customer_opened_one(
    shop: Shop, sink: Sink, app: Callable[..., App]
) -> None:
    made = app(mailbox="pipe")
    opener = shop.add([project.person("soft2", "soft2@mail.example")])[0]
    at = datetime.now(UTC) - timedelta(days=30)
    for number in range(5):
        run_id = send(shop, made, f"hello {number}")
        for mail in sink.entries()[-(len(KINDS) + 1) :]:
            if mail["rcpt"].startswith("soft"):
                raw = returned_mail.bounce(mail, "soft")
                received = at + timedelta(days=number)
                new = incoming_mail.RawMail(raw, IncomingSource.pipe, mail["from"], received)
                assert applying.take(shop.store, new)
        if number == 2:
            opened = feedback.FeedbackEvent(opener, FeedbackKind.opened, "o", at + timedelta(days=2, hours=1), run_id)
            with shop.store.write() as connection:
                feedback.record_event(connection, opened)
        applying.process_waiting(shop.store, made.keys, lambda: datetime.now(UTC))
    now = datetime.now(UTC)
    assert plan.make_plan(shop.store, shop.campaign("hello", "repeat: yes\n"), now, now).left_out == {"suppressed": 1}


def test_a_bounce_of_an_old_address_does_not_suppress_the_new_one(
    shop: Shop, sink: Sink, app: Callable[..., App]
) -> None:
    made = app(mailbox="pipe")
    send(shop, made)
    (mail,) = (mail for mail in sink.entries() if mail["rcpt"].startswith("hard"))
    customer, new = dialect.table(tables.Customer), project.person("hard", "new@mail.example")
    with shop.store.write() as connection:
        hard = connection.scalar(customer.select().with_only_columns(customer.c.id).where(customer.c.key == "hard"))
        inboxes.leave(connection, [hard], datetime.now(UTC))
        values = {"email": new["email"], "address_hash": new["address_hash"]}
        connection.execute(customer.update().where(customer.c.id == hard).values(**values))
    raw = RawMail(returned_mail.bounce(mail, "hard"), IncomingSource.pipe, mail["from"], datetime.now(UTC))
    applying.take(shop.store, raw)
    applying.process_waiting(shop.store, made.keys, lambda: datetime.now(UTC))
    now = datetime.now(UTC)
    edition = shop.campaign("hello", "repeat: yes\n")
    assert plan.make_plan(shop.store, edition, now, now).left_out == {}
    shop.add([project.person("heir", "hard@mail.example")])
    assert plan.make_plan(shop.store, edition, now, now).left_out == {"suppressed": 1}


def test_a_bounce_confirms_a_mail_in_doubt(shop: Shop, sink: Sink, app: Callable[..., App]) -> None:
    made = app(mailbox="pipe")
    run_id = send(shop, made)
    (mail,) = (mail for mail in sink.entries() if mail["rcpt"].startswith("soft"))
    delivery = dialect.table(tables.Delivery)
    states = ledger_rows.states(shop.store, run_id)
    assert set(states.values()) == {"sent"}
    with shop.store.write() as connection:
        connection.execute(delivery.update().values(state=DeliveryState.unconfirmed))
    raw = RawMail(returned_mail.bounce(mail, "soft"), IncomingSource.pipe, mail["from"], datetime.now(UTC))
    applying.take(shop.store, raw)
    applying.process_waiting(shop.store, made.keys, lambda: datetime.now(UTC))
    after = list(ledger_rows.states(shop.store, run_id).values())
    assert sorted(after) == ["sent"] + ["unconfirmed"] * (len(KINDS) - 1)


def test_a_mail_names_an_address_for_unsubscribing_only_where_mail_is_read(
    shop: Shop, sink: Sink, app: Callable[..., App]
) -> None:
    send(shop, app(), "silent")
    assert all("mailto:" not in mail["data"].partition("\n\n")[0] for mail in sink.entries())
    assert all("X-Auto-Response-Suppress: OOF, AutoReply" in mail["data"] for mail in sink.entries())
    assert all("Precedence: bulk" in mail["data"] for mail in sink.entries())


def test_the_port_takes_only_mail_with_a_token(shop: Shop, app: Callable[..., App], tmp_path: Path) -> None:
    with lmtp(app(), tmp_path) as put:
        for recipient in ("hello@bay.example.com", "b+aaaa@bay.example.com", "root@localhost"):
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                put(recipient, b"Subject: x\r\n\r\nx\r\n")
    assert records(shop) == {}


def test_the_report_names_what_came_back_from_whom(shop: Shop, sink: Sink, app: Callable[..., App]) -> None:
    made = app(mailbox="pipe")
    run_id = send(shop, made)
    for mail in sink.entries():
        raw = came_back(mail)
        if raw is not None:
            applying.take(shop.store, RawMail(raw, IncomingSource.pipe, mail["from"], datetime.now(UTC)))
    applying.process_waiting(shop.store, made.keys, lambda: datetime.now(UTC))
    (summary,) = report.summaries(shop.store, datetime.now(UTC))
    assert (summary.bounced, summary.complained, summary.sent) == (3, 1, len(KINDS))
    people = {row["customer"]: row for row in report.people(shop.store, run_id)}
    assert set(people) == set(KINDS)
    assert people["hard"]["bounced"] == "550 5.1.1 <hard@mail.example>: Recipient address rejected: User unknown"
    assert people["complaint"]["complained"] == "yes"
    assert not any(people["silent"][name] for name in ("opened", "bounced", "complained", "replied"))
