"""The port for mail that comes back, attacked: it stores what servers send, nothing else, and logs no address."""

from __future__ import annotations

import logging
import re
import smtplib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mailshot.errors import MailshotError
from mailshot.intake import listener
from mailshot.intake.listener import MAX_BYTES, MAX_CONNECTIONS, Listener
from mailshot.intake.mailbox_address import MailboxAddress
from mailshot.intake.receiver import MailHandlers, receive_until
from mailshot.store.incoming_mail import RawMail
from mailshot.tokens import KeyRing, Purpose
from tests.support import customer_site, project

KEYS = KeyRing.parse(project.KEYS)
TOKEN = KEYS.sign_local_part(Purpose.bounce, 1, 2)
RECIPIENT = f"{TOKEN}@bay.example.com"


@contextmanager
def port(take: Callable[[RawMail], bool]) -> Iterator[int]:
    number = customer_site.free_port()
    mailbox = MailboxAddress.parse(f"smtp://127.0.0.1:{number}")
    assert mailbox
    opened = Listener(mailbox, take, KEYS)
    opened.start()
    try:
        yield number
    finally:
        opened.stop()


@pytest.fixture
def stored() -> list[RawMail]:
    return []


@pytest.fixture
def smtp(stored: list[RawMail]) -> Iterator[smtplib.SMTP]:
    def take(mail: RawMail) -> bool:
        stored.append(mail)
        return True

    with port(take) as number, smtplib.SMTP("127.0.0.1", number, timeout=30) as client:
        client.ehlo()
        yield client


@pytest.mark.parametrize(
    "address",
    [
        f"@relay.example:{RECIPIENT}x@evil.example", f"{TOKEN}%bay.example.com@relay",
        f"x{TOKEN}@bay.example.com", f"{TOKEN}", f"b+{'0' * 40}@bay.example.com", f"{TOKEN}@bay\x00.example",
        f"{TOKEN}@bay\u202e.example", "postmaster", "",
    ],
)  # fmt: skip
def test_only_an_address_that_we_signed_is_accepted(smtp: smtplib.SMTP, stored: list[RawMail], address: str) -> None:
    smtp.mail("")
    smtp.send(f"RCPT TO:<{address}>\r\n".encode())
    assert 500 <= smtp.getreply()[0] < 560
    assert smtp.docmd("DATA")[0] == 503
    assert stored == []


@pytest.mark.parametrize("address", [RECIPIENT.upper(), f'"{TOKEN}"@bay.example.com', f"{TOKEN}@another.example"])
def test_the_same_address_in_another_form_is_accepted(smtp: smtplib.SMTP, address: str) -> None:
    smtp.mail("")
    smtp.send(f"RCPT TO:<{address}>\r\n".encode())
    assert smtp.getreply()[0] == 250


def test_a_second_recipient_is_asked_for_later_and_ten_thousand_do_no_harm(
    smtp: smtplib.SMTP, stored: list[RawMail]
) -> None:
    smtp.mail("")
    assert smtp.rcpt(RECIPIENT)[0] == 250
    smtp.send(f"RCPT TO:<{RECIPIENT}>\r\n".encode() * 10_000)
    assert {smtp.getreply()[0] for _ in range(10_000)} == {452}
    assert smtp.data(b"Subject: x\r\n\r\nx\r\n")[0] == 250
    assert [mail.recipient for mail in stored] == [RECIPIENT]


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r.\r\n", b"\r\n\x00.\r\n"])
def test_no_second_message_can_be_smuggled_in(smtp: smtplib.SMTP, stored: list[RawMail], end: bytes) -> None:
    smtp.mail("")
    smtp.rcpt(RECIPIENT)
    assert smtp.docmd("DATA")[0] == 354
    second = b"MAIL FROM:<>\r\nRCPT TO:<%b>\r\nDATA\r\nSubject: smuggled\r\n\r\nx" % RECIPIENT.encode()
    smtp.send(b"Subject: first\r\n\r\nx" + end + second + b"\r\n.\r\n")
    assert smtp.getreply()[0] == 250
    assert smtp.noop()[0] == 250
    assert len(stored) == 1
    assert b"smuggled" in stored[0].raw


def test_a_message_that_is_too_large_is_refused_and_the_connection_goes_on(
    smtp: smtplib.SMTP, stored: list[RawMail]
) -> None:
    line = b"x" * 998 + b"\r\n"
    large = b"Subject: x\r\n\r\n" + line * (MAX_BYTES // 1000)
    exact = large + b"y" * (MAX_BYTES - len(large) - 2) + b"\r\n"
    for content, code in ((exact, 250), (exact[:-2] + b"z\r\n", 552), (b"Subject: x\r\n\r\n", 250)):
        smtp.mail("")
        smtp.rcpt(RECIPIENT)
        assert smtp.data(content)[0] == code
    smtp.send(f"MAIL FROM:<> SIZE={MAX_BYTES + 1}\r\n".encode())
    assert smtp.getreply()[0] == 552
    assert [len(mail.raw) for mail in stored] == [MAX_BYTES, 14]


def test_long_lines_and_any_bytes_are_stored_as_they_came(smtp: smtplib.SMTP, stored: list[RawMail]) -> None:
    raw = b"Subject: caf\xe9 \x00\r\n\r\n" + b"<td>" * 10_000 + b"\r\n..\x00\xff\r\n"
    smtp.mail("")
    smtp.rcpt(RECIPIENT)
    assert smtp.data(raw)[0] == 250
    assert [mail.raw for mail in stored] == [raw]


def test_it_offers_no_login_and_takes_commands_in_one_packet(smtp: smtplib.SMTP, stored: list[RawMail]) -> None:
    assert not smtp.has_extn("auth")
    assert not smtp.has_extn("starttls")
    for command in ("STARTTLS", "AUTH PLAIN AHVzZXIAcGFzcw==", "VRFY root", "EXPN all", "TURN"):
        assert smtp.docmd(command)[0] in (252, 454, 500, 502, 503, 538)
    packet = f"MAIL FROM:<>\r\nRCPT TO:<{RECIPIENT}>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nNOOP\r\n"
    smtp.send(packet.encode())
    assert [smtp.getreply()[0] for _ in range(5)] == [250, 250, 354, 250, 250]
    assert len(stored) == 1


@pytest.mark.parametrize("error", [MailshotError("the database is locked"), ValueError("a canary in the mail")])
def test_what_cannot_be_stored_is_sent_again(error: Exception) -> None:
    def take(mail: RawMail) -> bool:
        raise error

    with port(take) as number, smtplib.SMTP("127.0.0.1", number, timeout=30) as client:
        client.ehlo()
        client.mail("")
        client.rcpt(RECIPIENT)
        code, reply = client.data(b"Subject: x\r\n\r\nx\r\n")
    assert code == 451
    assert b"canary" not in reply


def test_one_connection_too_many_is_asked_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", few := 3)
    assert few < MAX_CONNECTIONS
    with port(lambda mail: True) as number:
        held = [socket.create_connection(("127.0.0.1", number), timeout=30) for _ in range(few)]
        assert {client.recv(100)[:3] for client in held} == {b"220"}
        with closing(socket.create_connection(("127.0.0.1", number), timeout=30)) as late:
            assert late.recv(100).startswith(b"421 4.7.0")
            assert late.recv(100) == b""
        held.pop().close()
        for client in held:
            client.sendall(b"QUIT\r\n")
        while not _answers(number):
            pass
        for client in held:
            client.close()


def _answers(number: int) -> bool:
    with closing(socket.create_connection(("127.0.0.1", number), timeout=30)) as client:
        return client.recv(100).startswith(b"220")


def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "TIMEOUT_SECONDS", 0.2)
    with (
        port(lambda mail: True) as number,
        closing(socket.create_connection(("127.0.0.1", number), timeout=30)) as slow,
    ):
        assert slow.recv(100).startswith(b"220")
        slow.sendall(b"MAI")
        assert slow.recv(100) == b""


def test_no_address_and_no_token_is_logged_even_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    def take(mail: RawMail) -> bool:
        raise ValueError(f"{mail.recipient} {mail.raw!r}")

    caplog.set_level(logging.DEBUG)
    with port(take) as number, smtplib.SMTP("127.0.0.1", number, timeout=30) as client:
        client.ehlo()
        client.mail("ada@example.com")
        client.docmd(f"{TOKEN} {RECIPIENT}")
        client.rcpt(RECIPIENT)
        client.data(f"To: ada@example.com\r\nSubject: {TOKEN}\r\n\r\nx\r\n".encode())
    assert caplog.text
    assert not re.search(f"ada@|{re.escape(TOKEN)}", caplog.text, re.IGNORECASE)


def test_a_file_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    box = tmp_path / "box"
    (box / "new").mkdir(parents=True)
    (box / "new" / "2").write_bytes(b"Subject: x\n\nx\n")
    (box / "new" / "1").write_bytes(b"Subject: y\n\ny\n")
    stop, taken = threading.Event(), []

    def take(mail: RawMail) -> bool:
        taken.append(mail)
        if len(taken) == 1:
            raise ValueError("a fault of ours")
        stop.set() if len(taken) == 3 else None
        return True

    mailbox = MailboxAddress.parse(f"maildir:{box}")
    assert mailbox
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mailshot.intake.receiver.RETRY_SECONDS", 0.0)
        receive_until(mailbox, KEYS, MailHandlers(take, lambda: None), stop)
    assert [mail.raw[9:10] for mail in taken] == [b"y", b"y", b"x"]
