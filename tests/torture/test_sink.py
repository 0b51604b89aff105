"""The fault programme's mail server: it keeps accounts before it answers, and fails on demand."""

from __future__ import annotations

import json
import smtplib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.torture import running_sink
from tests.torture.running_sink import Sink

MAIL = b"Message-ID: <a@mail.example>\r\nSubject: Hello\r\n\r\n..dot\r\n"


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    with running_sink.start(tmp_path, {}) as running:
        yield running


def send(sink: Sink, recipient: str) -> int:
    """Send the mail as another program does; return the code of the last reply."""
    with smtplib.SMTP("127.0.0.1", sink.port, timeout=20) as client:
        try:
            client.sendmail("shop@bay.example", [f"{recipient}@mail.example"], MAIL)
        except smtplib.SMTPRecipientsRefused as error:
            return int(next(iter(error.recipients.values()))[0])
        except smtplib.SMTPResponseException as error:
            return int(error.smtp_code)
    return 250


def test_what_is_answered_is_on_disk(sink: Sink) -> None:
    assert send(sink, "ann") == 250
    [event] = [json.loads(line) for line in sink.log.read_text().splitlines()]
    assert (event["rcpt"], event["id"], event["subject"]) == ("ann@mail.example", "a@mail.example", "Hello")
    assert event["phase"] == "accepted"
    assert event["bytes"] == len(MAIL)


@pytest.mark.parametrize(
    ("recipient", "code"),
    [("451-rcpt-ann", 451), ("554-data-ann", 554), ("421-dot-ann", 421), ("greylist-rcpt-ann", 451)],
)
def test_replies_by_recipient(sink: Sink, recipient: str, code: int) -> None:
    assert send(sink, recipient) == code
    assert sink.acceptances() == []


def test_a_fault_may_happen_a_limited_number_of_times(sink: Sink) -> None:
    assert [send(sink, "450-dot-2x-ann") for _ in range(3)] == [450, 450, 250]


@pytest.mark.parametrize("action", ["fin", "rst"])
@pytest.mark.parametrize("phase", ["rcpt", "data", "body", "dot", "after-accept"])
def test_connections_end_by_recipient(sink: Sink, action: str, phase: str) -> None:
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        send(sink, f"{action}-{phase}-ann")
    assert len(sink.acceptances()) == (phase == "after-accept")


def test_pipelined_commands_are_answered_in_order(sink: Sink) -> None:
    with talking(sink) as say:
        assert say("EHLO me").splitlines()[1:3] == ["250-PIPELINING", "250-8BITMIME"]
        replies = say("MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@mail.example>\r\nDATA", lines=3)
        assert [line[:3] for line in replies.splitlines()] == ["250", "250", "354"]
        replies = say("x\r\n.\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<550-rcpt-ben@mail.example>\r\nDATA", lines=4)
        assert [line[:3] for line in replies.splitlines()] == ["250", "250", "550", "503"]


def test_a_lenient_server_takes_data_for_no_recipient_and_refuses_it_after_the_dot(sink: Sink) -> None:
    sink.change(lenient=True, mail="451", every=2)
    with talking(sink) as say:
        say("EHLO me")
        replies = say("MAIL FROM:<a@b.example>\r\nRCPT TO:<550-rcpt-ben@mail.example>\r\nDATA\r\n.", lines=4)
        assert [line[:3] for line in replies.splitlines()] == ["250", "550", "354", "554"]
        assert say("MAIL FROM:<a@b.example>")[:3] == "451"


class talking:
    """Talks to the sink line by line."""

    def __init__(self, sink: Sink) -> None:
        self.connection = socket.create_connection(("127.0.0.1", sink.port), 20)
        self.file = self.connection.makefile("r", newline="\r\n")

    def __enter__(self) -> Callable[..., str]:
        self.file.readline()
        return self.say

    def say(self, text: str, lines: int = 1) -> str:
        self.connection.sendall(text.encode() + b"\r\n")
        replies: list[str] = []
        while len([line for line in replies if line[3] == " "]) < lines:
            replies.append(self.file.readline())
        return "".join(replies).replace("\r\n", "\n")

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.connection.close()
