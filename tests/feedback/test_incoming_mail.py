"""What a message changes when things go wrong: read twice, read better, forged, broken, or about an erased customer."""

from __future__ import annotations

import base64
import json
import quopri
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from mailshot.feedback import incoming_effects, preferences
from mailshot.feedback import incoming_mail as applying
from mailshot.feedback.preference_controls import RequestedChanges
from mailshot.feedback.preferences import PreferenceChange
from mailshot.incoming import parser
from mailshot.profile import address
from mailshot.rulebook.rulebook import Rulebook
from mailshot.states import IncomingKind, IncomingSource
from mailshot.store import consent, dialect, incoming_mail, pauses, privacy, scrubbing, suppression, tables
from mailshot.store.engine import Store
from mailshot.store.incoming_mail import IncomingRecord, RawMail
from mailshot.tokens import KeyRing, Purpose
from tests.support import project, returned_mail
from tests.support.project import Shop

KEYS = KeyRing.parse(project.KEYS)
ADDRESS_KEY = bytes.fromhex(project.ADDRESS_KEY)


class Mailbox:
    """A launched run, and what comes back about its mails."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.shop = Shop.open(store, folder, 3)
        self.store, self.run_id = store, self.shop.launch()
        delivery = dialect.table(tables.Delivery)
        with store.write() as connection:
            connection.execute(delivery.update().values(state="sent", dotted_at=datetime.now(UTC)))

    def mail(self, customer: int, **more: str) -> dict[str, Any]:
        """Return a mail as the sink would have it."""
        envelope = f"{KEYS.sign_local_part(Purpose.bounce, self.run_id, customer)}@bay.example.com"
        number = self.shop.customers.index(customer) + 1
        data = (
            f"Message-ID: <{KEYS.sign(Purpose.message, self.run_id, customer)}@bay.example.com>\nSubject: Hello\n\nHi\n"
        )
        return {"rcpt": f"c{number}@mail.example", "from": envelope, "data": data, **more}

    def bounce(self, customer: int, kind: str, text: str = "") -> int:
        mail = self.mail(customer)
        return self.take(returned_mail.bounce(mail, kind) + text.encode(), mail["from"])

    def take(self, raw: bytes, recipient: str | None = None, at: datetime | None = None) -> int:
        """Take a message, process it, and return its number."""
        mail = RawMail(raw, IncomingSource.pipe, recipient, at or datetime.now(UTC))
        applying.take(self.store, mail)
        self.process()
        with self.store.read() as connection:
            return int(connection.scalar(select(incoming_mail.C.id).where(incoming_mail.C.digest == mail.digest)) or 0)

    def process(self) -> int:
        return applying.process_waiting(self.store, KEYS, lambda: datetime.now(UTC))

    def read_again(self) -> None:
        with self.store.write() as connection:
            incoming_mail.process_again(connection, 10**6)
        self.process()

    def record(self, number: int) -> IncomingRecord:
        with self.store.read() as connection:
            stored = incoming_mail.find(connection, number)
        assert stored
        return stored[0]

    def suppressed(self, number: int = 1) -> dict[str, Any] | None:
        hashed = address.hash_address(ADDRESS_KEY, f"c{number}@mail.example")
        with self.store.read() as connection:
            row = suppression.find_suppression(connection, hashed)
        return dict(row) if row else None

    def erase(self, customer: int) -> None:
        with self.store.write() as connection:
            assert privacy.erase(connection, customer, ADDRESS_KEY, "test", datetime.now(UTC))


@pytest.fixture
def box(store: Store, tmp_path: Path) -> Mailbox:
    return Mailbox(store, tmp_path / "shop")


def read_as(patch: pytest.MonkeyPatch, change: Callable[[bytes, parser.IncomingMessage], IncomingKind]) -> None:
    """Let a newer parser read messages as other kinds."""
    parse = parser.parse

    def newer(raw: bytes, keys: KeyRing, recipient: str | None) -> parser.IncomingMessage:
        message = parse(raw, keys, recipient)
        return replace(message, kind=change(raw, message))

    patch.setattr(parser, "parse", newer)


def test_a_message_that_breaks_the_parser_is_kept_and_stops_no_other(
    box: Mailbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ann, ben, _ = box.shop.customers
    with monkeypatch.context() as patch:

        def broken(raw: bytes, message: parser.IncomingMessage) -> IncomingKind:
            if b"poison" in raw:
                raise RecursionError(f"canary of {raw!r}")
            return message.kind

        read_as(patch, broken)
        poison = box.bounce(ann, "hard", "poison")
        box.bounce(ben, "hard")
    assert (box.suppressed(1), box.record(poison).kind) == (None, IncomingKind.unknown)
    assert box.record(poison).verdict == {"rule": "cannot be processed: RecursionError"}
    assert box.suppressed(2) is not None
    assert "canary" not in caplog.text
    box.read_again()
    assert box.suppressed(1) is not None, "its bytes were kept, and are read by the repaired parser"


def test_a_value_that_the_database_refuses_stops_no_other(box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, ben, _ = box.shop.customers
    verdict = incoming_effects._verdict

    def refused(message: parser.IncomingMessage) -> dict[str, Any]:
        return {**verdict(message), "rule": object()} if "poison" in message.text else verdict(message)

    with monkeypatch.context() as patch:
        patch.setattr(incoming_effects, "_verdict", refused)
        mail = box.mail(ann)
        box.take(returned_mail.reply({**mail, "data": "From: a@b.example\n" + mail["data"]}, "poison"))
        box.bounce(ben, "hard")
    assert box.suppressed(2) is not None


NUL = (
    "=?utf-8?q?a=00b?=",
    "a\x00b",
    "=?utf-16?b?AABhAAAA2A==?=",
    "&#0;&#xd800;\ufffe",
    "\ud800".encode("utf-8", "replace").decode(),
)


@pytest.mark.parametrize("text", NUL)
def test_bytes_that_no_database_stores_as_text_are_read_all_the_same(box: Mailbox, text: str) -> None:
    ann, ben, cal = box.shop.customers
    mail = box.mail(ann)
    raw = returned_mail.bounce(mail, "hard").replace(b"User unknown", f"User unknown {text}".encode())
    assert box.record(box.take(raw, mail["from"])).effect == "suppressed the address"
    for customer, kind in ((ben, "text/plain"), (cal, "text/html")):
        for charset in ("utf-8", "utf-16", "utf-7", "iso-2022-jp", "hz-gb-2312", "nonsense"):
            head = f"To: {box.mail(customer)['from']}\r\nReferences: <{text}>\r\nSubject: {text}\r\n"
            head += f"Content-Type: {kind}; charset={charset}\r\nAuto-Submitted: auto-replied\r\n\r\n"
            number = box.take(head.encode() + f"I am away {text} \x00\x1b$B".encode() + b"\xff\xfe\x00")
            assert box.record(number).kind is IncomingKind.auto_reply


def test_a_better_reading_lifts_what_only_that_message_had_suppressed(
    box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, ben, cal = box.shop.customers
    first = box.bounce(ann, "hard", "misread")
    box.bounce(ben, "hard", "misread")
    second = box.bounce(ben, "hard")
    box.bounce(cal, "soft", "soft in fact hard")
    assert box.suppressed(3) is None
    changes = {b"misread": IncomingKind.soft, b"in fact hard": IncomingKind.hard}
    read_as(
        monkeypatch, lambda raw, message: next((kind for text, kind in changes.items() if text in raw), message.kind)
    )
    for _ in range(2):
        box.read_again()
        assert box.suppressed(1) is None
        held = box.suppressed(2)
        assert held is not None, "another message says that the mailbox does not exist"
        assert held["source"] == f"message {second}"
        assert box.suppressed(3) is not None
    assert (box.record(first).kind, box.record(first).effect) == (IncomingKind.soft, "")


def test_reading_again_does_not_undo_what_happened_since(box: Mailbox) -> None:
    ann, ben, _ = box.shop.customers
    box.bounce(ann, "hard")
    hashed = address.hash_address(ADDRESS_KEY, "c1@mail.example")
    with box.store.write() as connection:
        assert suppression.lift_suppression(connection, hashed), "by hand: the mailbox works again"
    leave = f"{KEYS.sign_local_part(Purpose.leave, box.run_id, ben)}@bay.example.com"
    box.take(b"Subject: unsubscribe\r\n\r\n", leave)
    assert not wants_offers(box, ben)
    rules = Rulebook.load(box.shop.folder)
    change = PreferenceChange(ben, None, RequestedChanges(topics={"offers": True}), datetime.now(UTC))
    with box.store.write() as connection:
        preferences.save_changes(connection, change, rules.topics, rules.statements)
    box.read_again()
    assert box.suppressed(1) is None
    assert wants_offers(box, ben)


def wants_offers(box: Mailbox, customer: int) -> bool:
    with box.store.read() as connection:
        return consent.latest_entries(connection, customer)["offers"].given


def test_an_unsubscription_that_waited_does_not_undo_a_later_consent(box: Mailbox) -> None:
    ann, ben, cay = box.shop.customers
    asked = datetime.now(UTC) - timedelta(hours=2)
    rules = Rulebook.load(box.shop.folder)
    for customer, source in ((ann, "preference page"), (ben, "import"), (cay, "sign-up")):
        with box.store.write() as connection:
            if source != "preference page":  # an import is dated by the shop's clock, which may be wrong
                consent.record_consent(connection, customer, "offers", True, asked + timedelta(hours=1), source)
            else:
                for given, hours in ((False, 0.5), (True, 1.0)):
                    change = PreferenceChange(
                        customer, None, RequestedChanges(topics={"offers": given}), asked + timedelta(hours=hours)
                    )
                    preferences.save_changes(connection, change, rules.topics, rules.statements)
        leave = f"{KEYS.sign_local_part(Purpose.leave, box.run_id, customer)}@bay.example.com"
        box.take(f"Subject: unsubscribe {customer}\r\n\r\n".encode(), leave, asked)
    assert [wants_offers(box, customer) for customer in (ann, ben, cay)] == [True, False, True]


def test_a_complaint_replaces_a_bounce_as_the_reason_and_nothing_replaces_a_complaint(box: Mailbox) -> None:
    ann, ben, _ = box.shop.customers
    box.bounce(ann, "hard")
    complaint = box.take(returned_mail.complaint(box.mail(ann)), box.mail(ann)["from"])
    box.bounce(ann, "hard", "again")
    held = box.suppressed(1)
    assert held
    assert (held["reason"], held["source"]) == ("complained", f"message {complaint}")
    hashed = address.hash_address(ADDRESS_KEY, "c2@mail.example")
    box.bounce(ben, "hard")
    with box.store.write() as connection:
        assert suppression.add(connection, hashed, "asked by phone", "operator", datetime.now(UTC))
    held = box.suppressed(2)
    assert held
    assert held["reason"] == "asked by phone", "it takes more than a working mailbox to lift it"


LINKS = (Purpose.click, Purpose.open, Purpose.view, Purpose.unsubscribe, Purpose.preferences)


@pytest.mark.parametrize("purpose", LINKS)
@pytest.mark.parametrize("kind", ["hard", "soft", "block", "complaint"])
def test_a_link_of_a_forwarded_mail_suppresses_no_one(box: Mailbox, purpose: Purpose, kind: str) -> None:
    """A stranger has the text of a mail, and forges what a server would send back, five times."""
    ann = box.shop.customers[0]
    letter = {Purpose.click: "c", Purpose.open: "o", Purpose.view: "v", Purpose.unsubscribe: "u"}.get(purpose, "p")
    link = f"https://mail.bay.example.com/{letter}/{KEYS.sign(purpose, box.run_id, ann, 5)}"
    for number in range(5):
        data = f"Message-ID: <forged{number}@evil.example>\nFrom: hello@bay.example.com\n\nSee {link}\n"
        mail = {"rcpt": "c1@mail.example", "from": "hello@bay.example.com", "data": data}
        raw = returned_mail.complaint(mail) if kind == "complaint" else returned_mail.bounce(mail, kind)
        taken = box.take(raw, "hello@bay.example.com")
        record = box.record(taken)
        assert (str(record.kind), record.customer, record.effect) == (kind, "c1", "")
        assert "changes nothing" in record.verdict["note"]
    assert box.suppressed(1) is None
    feedback = dialect.table(tables.Feedback)
    with box.store.read() as connection:
        assert connection.execute(select(feedback)).all() == []


@pytest.mark.parametrize("kind", ["hard", "soft", "block", "complaint"])
def test_a_report_to_the_reply_address_suppresses_no_one(box: Mailbox, kind: str) -> None:
    """A stranger was in copy of a customer's reply, so they have its address and its reference to our Message-ID."""
    ann = box.shop.customers[0]
    address = f"{KEYS.sign_local_part(Purpose.reply, box.run_id, ann)}@bay.example.com"
    for number, recipient in enumerate((address, address.upper(), None) * 2):
        mail = box.mail(ann)
        raw = returned_mail.complaint(mail) if kind == "complaint" else returned_mail.bounce(mail, kind)
        raw = raw.replace(b"the envelope sender", address.encode())
        taken = box.take(raw + str(number).encode(), recipient)
        record = box.record(taken)
        assert (str(record.kind), record.customer, record.effect) == (kind, "c1", "")
        assert record.verdict["note"] == incoming_effects.NOT_FROM_SERVER
    assert box.suppressed(1) is None
    with box.store.read() as connection:
        assert connection.execute(select(dialect.table(tables.Feedback))).all() == []


def test_a_report_to_the_bounce_address_may_quote_the_reply_address(box: Mailbox) -> None:
    ann = box.shop.customers[0]
    mail = box.mail(ann)
    reply_to = f"{KEYS.sign_local_part(Purpose.reply, box.run_id, ann)}@bay.example.com"
    mail["data"] = f"Reply-To: <{reply_to}>\n{mail['data']}"
    for recipient in (mail["from"], "postmaster@bay.example.com"):
        taken = box.take(returned_mail.bounce(mail, "hard"), recipient)
        assert box.record(taken).effect == "suppressed the address"


def test_a_reply_is_recorded_and_neither_stops_nor_suppresses(box: Mailbox) -> None:
    ann = box.shop.customers[0]
    address = f"{KEYS.sign_local_part(Purpose.reply, box.run_id, ann)}@bay.example.com"
    taken = box.take(b"From: Eve <eve@mail.example>\r\nSubject: unsubscribe\r\n\r\nunsubscribe\r\n", address)
    record = box.record(taken)
    assert (record.kind, record.customer, record.effect) == (IncomingKind.reply, "c1", "")
    assert (record.verdict["asks_to_stop"], record.verdict["from"]) == (True, "eve@mail.example")
    assert wants_offers(box, ann)
    assert box.suppressed(1) is None
    feedback = dialect.table(tables.Feedback)
    with box.store.read() as connection:
        rows = connection.execute(select(feedback.c.customer_id, feedback.c.kind)).all()
    assert [tuple(row) for row in rows] == [(ann, "replied")]


def test_a_proof_in_the_returned_header_counts_before_any_number_of_links(box: Mailbox) -> None:
    ann = box.shop.customers[0]
    mail = box.mail(ann)
    links = "".join(
        f"https://mail.bay.example.com/c/{KEYS.sign(Purpose.click, box.run_id, ann, number)}\n" for number in range(60)
    )
    mail["data"] = mail["data"].replace("\n\n", f"\n\n{links}")
    taken = box.take(returned_mail.bounce(mail, "hard").replace(mail["from"].encode(), b"hello@bay.example.com"))
    assert (box.record(taken).effect, box.record(taken).verdict["token"]) == ("suppressed the address", "returned")


def test_two_processes_apply_a_message_once(box: Mailbox) -> None:
    ann = box.shop.customers[0]
    mail = box.mail(ann)
    for number in range(20):
        raw = returned_mail.bounce(mail, "soft") + str(number).encode()
        takers = [
            threading.Thread(
                target=applying.take,
                args=(box.store, RawMail(raw, IncomingSource.pipe, mail["from"], datetime.now(UTC))),
            )
            for _ in range(2)
        ]
        for taker in takers:
            taker.start()
        for taker in takers:
            taker.join()
    counts: list[int] = []
    both = [threading.Thread(target=lambda: counts.append(box.process())) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sum(counts) == 20
    feedback = dialect.table(tables.Feedback)
    with box.store.read() as connection:
        assert len(connection.execute(select(feedback)).all()) == 20


def encoded(text: str) -> dict[str, bytes]:
    head = b"From: x@y.example\r\nSubject: hello\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    quoted = quopri.encodestring(text.encode(), quotetabs=True).replace(b"c1@", b"c1=40")
    return {
        "plain": head + b"\r\n" + text.encode(),
        "upper": head + b"\r\n" + text.upper().encode(),
        "base64": head + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(text.encode()),
        "quoted": head + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted,
        "header": b"Subject: =?utf-8?b?" + base64.b64encode(text.encode()) + b"?=\r\n\r\nx\r\n",
    }


def test_erasing_leaves_nothing_of_a_customer_in_messages(box: Mailbox, tmp_path: Path) -> None:
    ann, ben, _ = box.shop.customers
    canary = "c1@mail.example"
    about_ann = box.bounce(ann, "hard")
    unmatched = [box.take(raw) for raw in encoded(f"I am {canary}.\n").values()]
    about_ben = [
        box.take(raw, box.mail(ben)["from"]) for raw in encoded(f"Write to {canary} instead of c2.\n").values()
    ]
    kept = box.take(b"Subject: other\r\n\r\nI am c3@mail.example\r\n")
    with box.store.write() as connection:
        pauses.record_pause(connection, ann, datetime.now(UTC) + timedelta(days=30), canary, datetime.now(UTC))
    box.erase(ann)
    with box.store.read() as connection:
        rows = [dict(row._mapping) for row in connection.execute(select(incoming_mail.INCOMING))]
        assert list(connection.execute(select(pauses.PAUSE))) == []
    assert {row["id"] for row in rows} == {*about_ben, kept}
    assert not {about_ann, *unmatched} & {row["id"] for row in rows}
    assert all(row["raw"] is None for row in rows if row["id"] != kept)
    assert canary not in json.dumps(rows, default=str).lower()


def test_later_mail_of_an_erased_customer_is_deleted_and_scrubbed(sqlite_store: Store, tmp_path: Path) -> None:
    box = Mailbox(sqlite_store, tmp_path / "shop")
    ann = box.shop.customers[0]
    box.bounce(ann, "soft", "before")
    box.erase(ann)
    scrubbing.work(box.store, datetime.now(UTC), whole=True)
    for kind in ("hard", "soft", "delayed"):
        assert box.bounce(ann, kind) == 0
    mail = box.mail(ann)
    box.take(returned_mail.reply({**mail, "data": "From: a@b.example\n" + mail["data"]}, "My name is canary-ann."))
    feedback = dialect.table(tables.Feedback)
    with box.store.read() as connection:
        assert list(connection.execute(select(incoming_mail.C.id))) == []
        assert {row.why for row in connection.execute(select(feedback))} <= {""}
    assert scrubbing.work(box.store, datetime.now(UTC), whole=True) == 1, "the erasure was pending again"
    box.store.close()
    for file in Path(str(box.store.engine.url.database)).parent.glob("mailshot.db*"):
        content = file.read_bytes()
        assert b"c1@mail.example" not in content
        assert b"canary-ann" not in content


def test_a_waiting_unsubscription_of_another_customer_survives_an_erasure(box: Mailbox) -> None:
    ann = box.shop.customers[0]
    mate = box.shop.add([project.person("mate", "c1@mail.example")])[0]
    run_id = box.shop.launch(box.shop.campaign("second", "repeat: yes\n"))
    leave = f"{KEYS.sign_local_part(Purpose.leave, run_id, mate)}@bay.example.com"
    raw = b"From: c1@mail.example\r\nSubject: unsubscribe\r\n\r\n"
    applying.take(box.store, RawMail(raw, IncomingSource.pipe, leave, datetime.now(UTC)))
    box.erase(ann)
    box.process()
    assert not wants_offers(box, mate)


def test_a_message_whose_customer_is_erased_meanwhile_leaves_nothing(box: Mailbox) -> None:
    """The erasure commits between reading the message and applying it."""
    ann = box.shop.customers[0]
    mail = box.mail(ann)
    parse = parser.parse

    def erasing(raw: bytes, keys: KeyRing, recipient: str | None) -> parser.IncomingMessage:
        box.erase(ann)
        return parse(raw, keys, recipient)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parser, "parse", erasing)
        box.take(returned_mail.bounce(mail, "hard"), mail["from"])
    feedback = dialect.table(tables.Feedback)
    with box.store.read() as connection:
        assert list(connection.execute(select(incoming_mail.C.id))) == []
        assert list(connection.execute(select(feedback))) == []


def test_messages_processed_during_erasures_never_deadlock(box: Mailbox) -> None:
    customers = box.shop.add(project.people(30, first=10))
    box.run_id = box.shop.launch(box.shop.campaign("second", "repeat: yes\n"))
    delivery = dialect.table(tables.Delivery)
    with box.store.write() as connection:
        connection.execute(delivery.update().values(state="sent", dotted_at=datetime.now(UTC)))
    for customer in customers:
        mail = {**box.mail(customer), "rcpt": f"c{customers.index(customer) + 10}@mail.example"}
        applying.take(
            box.store, RawMail(returned_mail.bounce(mail, "hard"), IncomingSource.pipe, mail["from"], datetime.now(UTC))
        )
    box.process()
    with box.store.write() as connection:
        incoming_mail.process_again(connection, 10**6)
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [
        threading.Thread(target=run, args=(box.process,)),
        threading.Thread(target=run, args=(box.process,)),
        threading.Thread(target=run, args=(lambda: deque(map(box.erase, reversed(customers))),)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with box.store.read() as connection:
        assert list(connection.execute(select(incoming_mail.C.id))) == []


def test_old_messages_are_deleted_and_what_was_read_of_mails_stays(box: Mailbox) -> None:
    ann = box.shop.customers[0]
    mail, long_ago = box.mail(ann), datetime.now(UTC) - applying.RETENTION - timedelta(days=1)
    old = box.take(returned_mail.bounce(mail, "hard"), mail["from"], long_ago)
    new = box.take(returned_mail.bounce(mail, "soft"), mail["from"])
    unmatched = box.take(b"Subject: x\r\n\r\nHello there\r\n", None, long_ago)
    assert applying.drop_old(box.store, datetime.now(UTC)) == 2
    assert applying.drop_old(box.store, datetime.now(UTC)) == 0
    with box.store.read() as connection:
        assert incoming_mail.find(connection, unmatched) is None
        assert {number: incoming_mail.find(connection, number)[1] is None for number in (old, new)} == {  # type: ignore[index]
            old: True, new: False,
        }  # fmt: skip
    assert box.record(old).effect == "suppressed the address"
