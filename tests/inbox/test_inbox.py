"""Checks the inbox over SMTP and HTTP."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from smtplib import SMTP
from typing import Any

import httpx
import pytest

from mailshot import inbox
from mailshot.errors import Refused, Unavailable
from mailshot.store.engine import Store
from mailshot.web import server
from tests.support import customer_site


class Running:
    def __init__(self, folder: Path) -> None:
        self.smtp, self.web = customer_site.free_port(), customer_site.free_port()
        self.url = f"http://127.0.0.1:{self.web}"
        self.inbox = inbox.Inbox(self.smtp, self.web, folder)
        self.inbox.start()

    def send(self, *mails: EmailMessage) -> None:
        with SMTP("127.0.0.1", self.smtp) as connection:
            for mail in mails:
                connection.send_message(mail)

    def list(self, **query: Any) -> list[dict[str, str]]:
        mails: list[dict[str, str]] = httpx.get(f"{self.url}/api/mails", params=query).json()["mails"]
        return mails


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    started = Running(tmp_path / "inbox")
    yield started
    started.inbox.stop()


def mail(subject: str = "Figs", html: str = "<p>Figs</p>", **headers: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Greenleaf <offers@example.com>", "ada@example.com", subject
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content("Figs")
    made.add_alternative(html, subtype="html")
    return made


def test_mails_are_listed_in_order_and_shown(running: Running) -> None:
    running.send(*(mail(f"Für dich {number}") for number in range(3)))
    mails = running.list()
    assert [listed["subject"] for listed in mails] == ["Für dich 0", "Für dich 1", "Für dich 2"]
    assert [listed["subject"] for listed in running.list(after=mails[0]["id"], most=1)] == ["Für dich 1"]
    first = httpx.get(f"{running.url}/api/mails/{mails[0]['id']}").json()
    assert "<p>Figs</p>" in first["html"]
    assert first["source"].startswith("Return-Path: <offers@example.com>\nDelivered-To: ada@example.com\n")
    page = httpx.get(running.url).text
    assert page.index("Für dich 2") < page.index("Für dich 0")
    for view in ("html", "text", "links", "source", "nonsense"):
        assert "Für dich 0" in httpx.get(f"{running.url}/mail/{mails[0]['id']}", params={"view": view}).text


def test_thousands_are_paged_and_searched(running: Running) -> None:
    for number in range(2000):
        running.inbox.box.add("a@example.com", ["b@example.com"], f"Subject: Mail {number}\r\n\r\nx".encode())
    page = httpx.get(running.url, params={"page": 3}).text
    assert "of 2,000" in page
    assert "Mail 1899" in page
    results = httpx.get(running.url, params={"search": "mail 1234"}).text
    assert "of 1</span>" in results
    assert f"Times in {datetime.now().astimezone():%Z}" in results
    assert "Nothing found" in httpx.get(running.url, params={"search": "<script>alert(1)</script>"}).text


def test_the_greeting_offers_extensions_and_commands_may_be_pipelined(running: Running) -> None:
    with SMTP("127.0.0.1", running.smtp) as connection:
        connection.ehlo()
        assert {"pipelining", "8bitmime", "smtputf8", "size"} <= set(connection.esmtp_features)
        assert connection.sock is not None
        transaction = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
        body = "Subject: Grüße\r\n\r\n..dot\r\nx\r\n.\r\n".encode()
        connection.sock.sendall(transaction + body + transaction + body)
        replies = [connection.getreply()[0] for _ in range(8)]
    assert replies == [250, 250, 354, 250] * 2
    first, second = running.list()
    assert first["id"] < second["id"]
    source = httpx.get(f"{running.url}/api/mails/{first['id']}").json()["source"]
    assert source.endswith("\n\n.dot\nx\n")


def test_many_senders_at_once_lose_nothing(running: Running) -> None:
    senders = [
        threading.Thread(target=running.send, args=[mail(f"{sender_number}/{n}") for n in range(40)])
        for sender_number in range(8)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert {listed["subject"] for listed in running.list()} == {
        f"{sender_number}/{n}" for sender_number in range(8) for n in range(40)
    }


def test_mails_survive_a_restart_and_can_be_emptied(tmp_path: Path) -> None:
    first = Running(tmp_path)
    first.send(mail("Before"))
    first.inbox.stop()
    second = Running(tmp_path)
    second.send(mail("After"))
    assert [listed["subject"] for listed in second.list()] == ["Before", "After"]
    foreign = httpx.delete(f"{second.url}/api/mails", headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert httpx.delete(f"{second.url}/api/mails").json() == {"removed": 2}
    assert second.list() == []
    assert list((tmp_path / "new").iterdir()) == []
    second.inbox.stop()


def test_html_is_framed_without_scripts_or_our_origin(running: Running) -> None:
    running.send(mail(html="<script>alert(1)</script><a href='https://x.example'>x</a>"))
    where = f"{running.url}/mail/{running.list()[0]['id']}"
    page = httpx.get(where).text
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    assert "alert(1)" not in page
    framed = httpx.get(f"{where}/html").headers["content-security-policy"]
    assert framed.startswith("sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'")
    assert "script" not in framed


@pytest.mark.parametrize("name", ["evil.example", "evil.example:8025", "127.0.0.1.evil.example", ""])
def test_a_foreign_host_name_is_rejected(running: Running, name: str) -> None:
    for path in ("/", "/api/mails", "/mail/x"):
        assert httpx.get(running.url + path, headers={"Host": name}).status_code in (400, 421)


@pytest.mark.parametrize("mail_id", ["x", "../../etc/passwd", "%2e%2e%2fx", "1795364539790809-000000"])
def test_an_unknown_mail_is_not_found(running: Running, mail_id: str) -> None:
    assert httpx.get(f"{running.url}/api/mails/{mail_id}").status_code == 404


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com", ""])
def test_it_listens_on_this_machine_only(tmp_path: Path, host: str) -> None:
    with pytest.raises(Refused):
        inbox.Inbox(1025, 8025, tmp_path, host).serve()


def test_a_port_in_use_is_reported(running: Running, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=str(running.smtp)):
        inbox.Inbox(running.smtp, customer_site.free_port(), tmp_path).start()
    with pytest.raises(Unavailable, match=str(running.web)):
        inbox.Inbox(customer_site.free_port(), running.web, tmp_path).start()


def test_the_button_unsubscribes_as_a_mail_client_would(running: Running, store: Store) -> None:
    customer_site.seed(store)
    port = customer_site.free_port()
    site = server.ThreadedServer(customer_site.site(store), "127.0.0.1", port)
    site.start()
    try:
        url = f"http://127.0.0.1:{port}{customer_site.UNSUBSCRIBE}"
        one_click = "List-Unsubscribe=One-Click"
        running.send(mail(List_Unsubscribe=f"<{url}>, <mailto:u@example.com>", List_Unsubscribe_Post=one_click))
        where = f"{running.url}/mail/{running.list()[0]['id']}"
        assert "One-click unsubscribe" in httpx.get(where).text
        assert httpx.post(f"{where}/unsubscribe", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert "the sender answered 200" in httpx.post(f"{where}/unsubscribe", follow_redirects=True).text
        assert customer_site.Look(store).given(customer_site.ADA, "offers") is False
    finally:
        site.stop()
    assert "cannot be reached" in httpx.post(f"{where}/unsubscribe", follow_redirects=True).text


def test_only_the_owner_reads_the_folder(running: Running, tmp_path: Path) -> None:
    running.send(mail())
    assert (tmp_path / "inbox").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r\n\x00.\r\n"])
def test_only_a_dot_on_a_line_of_its_own_ends_a_mail(running: Running, end: bytes) -> None:
    with SMTP("127.0.0.1", running.smtp) as connection:
        connection.ehlo()
        assert connection.sock is not None
        smuggled = b"MAIL FROM:<thief@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"
        outer = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: outer\r\n\r\nx"
        connection.sock.sendall(outer + end + smuggled + b"\r\n.\r\n")
        assert [connection.getreply()[0] for _ in range(4)][:3] == [250, 250, 354]
    assert [listed["subject"] for listed in running.list() if listed["from"] == "thief@example.com"] == []
    assert len(running.list()) <= 1


def test_a_mail_has_a_thousand_recipients_at_most(running: Running) -> None:
    with SMTP("127.0.0.1", running.smtp) as connection:
        connection.ehlo()
        connection.mail("a@example.com")
        codes = [connection.rcpt(f"b{number}@example.com")[0] for number in range(1_002)]
    assert codes == [250] * 1_000 + [452] * 2


def test_the_inbox_logs_neither_recipients_nor_mails(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        running.send(mail("Secret figs"))
    assert "example.com" not in caplog.text
    assert "Secret" not in caplog.text


def test_a_mail_of_2_000_levels_is_shown(running: Running) -> None:
    heads = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(2_000))
    mail_id = running.inbox.box.add("a@example.com", ["b@example.com"], heads.encode())
    for path in ("/", f"/mail/{mail_id}", f"/mail/{mail_id}/html", f"/api/mails/{mail_id}"):
        assert httpx.get(running.url + path).status_code == 200
