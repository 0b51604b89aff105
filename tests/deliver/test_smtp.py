"""Checks the outcome of every failure in every phase against a real server, and whether the connection is kept."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mailshot.deliver import pipelining, smtp
from mailshot.deliver.outcome import Outcome, Phase, Status
from mailshot.deliver.smtp import Connection, MailObject, Server, Timeouts, stuffed
from mailshot.errors import Unavailable
from tests.support import processes
from tests.support.processes import Sink

SHORT = Timeouts(connect=1.0, command=1.0, data=1.0, block=1.0, dot=1.0)
SMALL = b"Message-ID: <m1@bay.example.com>\r\nSubject: x\r\n\r\nHello\r\n"
LARGE = SMALL + (b"x" * 78 + b"\r\n") * 400_000
BROKEN = ("fin", "rst", "stall")


@pytest.fixture(scope="module", params=[(), ("--pipelining",)], ids=["plain", "pipelining"])
def sink(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Sink]:
    with processes.sink(tmp_path_factory.mktemp("sink"), *request.param) as running:
        yield running


@pytest.fixture(autouse=True)
def _forget() -> None:
    pipelining._known.clear()


def server(running: Sink, starttls: str = "auto") -> Server:
    return replace(Server.parse(running.url, starttls), timeouts=SHORT)


async def hand_over(connection: Connection, local: str, sender: str = "b", data: bytes = SMALL) -> Outcome:
    """Run a whole transaction, with a commit that takes until the server's leaving is heard, if it leaves."""
    verdict = await connection.send_body(MailObject(f"{sender}@bay.example.com", f"{local}@mail.example", data))
    for _ in range(100 if "-body-" in local else 0):
        await asyncio.sleep(0.02 if connection.alive else 0)
    return verdict or await connection.send_dot()


def transaction(running: Sink, local: str, sender: str = "b", data: bytes = SMALL) -> tuple[Outcome, bool]:
    """Return the verdict and whether another mail went through on the same connection afterwards."""

    async def both() -> tuple[Outcome, bool]:
        connection = await Connection.open(server(running))
        verdict = await hand_over(connection, local, sender, data)
        again = False if verdict.close else (await hand_over(connection, "ann")).status is Status.accepted
        connection.drop()
        return verdict, again

    return asyncio.run(both())


@pytest.mark.parametrize("fault", ["450", "554", "421", *BROKEN])
def test_a_failed_greeting_is_unavailable(tmp_path: Path, fault: str) -> None:
    with processes.sink(tmp_path, "--at-connect", fault) as running, pytest.raises(Unavailable):
        asyncio.run(Connection.open(server(running)))


@pytest.mark.parametrize(
    ("phase", "fault", "outcome", "kept"),
    [
        *[("mail", fault, "retry", False) for fault in ("450", "550", "421", *BROKEN)],
        ("rcpt", "450", "retry", True),
        ("rcpt", "550", "refused", True),
        *[("rcpt", fault, "retry", False) for fault in ("421", *BROKEN)],
        ("data", "451", "retry", False),
        ("data", "554", "refused", False),
        *[("data", fault, "retry", False) for fault in ("421", *BROKEN)],
        *[("body", fault, "retry", False) for fault in ("451", "554", "421", "fin", "rst")],
        ("dot", "451", "retry", True),
        ("dot", "554", "refused", True),
        ("dot", "421", "retry", False),
        *[("dot", fault, "in_doubt", False) for fault in BROKEN],
        ("after-accept", "fin", "in_doubt", False),
        ("after-accept", "rst", "in_doubt", False),
        ("after-accept", "stall", "in_doubt", False),
    ],
)
def test_each_fault_in_each_phase_has_its_outcome(sink: Sink, phase: str, fault: str, outcome: str, kept: bool) -> None:
    name = f"{fault}-{phase}-ann"
    verdict, again = transaction(sink, "ann", name) if phase == "mail" else transaction(sink, name)
    assert (verdict.status, again) == (outcome, kept)
    assert verdict.phase == ("dot" if phase == "after-accept" else phase)
    assert verdict.close is not kept


@pytest.mark.parametrize("fault", ["451", "554", "421", *BROKEN])
def test_a_body_that_never_arrives_is_retried(sink: Sink, fault: str) -> None:
    verdict, _ = transaction(sink, f"{fault}-body-large", data=LARGE)
    assert (verdict.status, verdict.phase, verdict.close) == (Status.retry, Phase.body, True)


def test_a_mail_whose_reply_was_lost_has_arrived(sink: Sink) -> None:
    verdict, _ = transaction(sink, "rst-after-accept-kept")
    assert verdict.status is Status.in_doubt
    assert "rst-after-accept-kept@mail.example" in sink.recipients()


@pytest.mark.parametrize(("code", "enhanced_code"), [("454", "4.7.0"), ("557", "5.7.1")])
@pytest.mark.parametrize("phase", ["rcpt", "dot"])
def test_policy_codes_are_the_senders_fault(sink: Sink, code: str, enhanced_code: str, phase: str) -> None:
    verdict, _ = transaction(sink, f"{code}-{phase}-ann")
    assert verdict.sender_fault
    assert verdict.status is Status.retry
    assert enhanced_code in verdict.reply


def test_dots_at_line_beginnings_survive(sink: Sink) -> None:
    data = b".first\r\nMessage-ID: <dots@bay.example.com>\r\n\r\n.\r\n..\r\n.x\r\nx.\r\n.\r\n"
    assert transaction(sink, "dots", data=data)[0].status is Status.accepted
    entry = next(entry for entry in sink.entries() if entry["rcpt"] == "dots@mail.example")
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()


def test_stuffing_ends_the_last_line() -> None:
    assert stuffed(b"a\r\n.") == b"a\r\n..\r\n"


def test_8bitmime_is_used_only_where_offered(sink: Sink, tmp_path: Path) -> None:
    async def offered(running: Sink) -> tuple[bool, Status]:
        connection = await Connection.open(server(running))
        return connection.eight_bit, (await hand_over(connection, "ann")).status

    assert asyncio.run(offered(sink)) == (True, Status.accepted)
    with processes.sink(tmp_path, "--seven-bit") as plain:
        assert asyncio.run(offered(plain)) == (False, Status.accepted)


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder of certificates: `good` and `other` (of another name) signed by one we trust, `own` by itself."""
    _openssl(tmp_path, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ca")
    for name, place in (("good", "IP:127.0.0.1"), ("other", "DNS:other.example")):
        (tmp_path / f"{name}.ext").write_text(f"subjectAltName={place}\n")
        _openssl(tmp_path, f"req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}")
        signed = f"-CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext"
        _openssl(tmp_path, f"x509 -req -in {name}.csr -out {name}.crt {signed}")
    own = "-addext subjectAltName=IP:127.0.0.1"
    _openssl(tmp_path, f"req -x509 -newkey rsa:2048 -nodes -keyout own.key -out own.crt -days 2 -subj /CN=own {own}")
    for name in ("good", "other", "own"):
        pem = (tmp_path / f"{name}.key").read_text() + (tmp_path / f"{name}.crt").read_text()
        (tmp_path / f"{name}.pem").write_text(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    smtp.tls_context.cache_clear()
    yield tmp_path
    smtp.tls_context.cache_clear()


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)


def test_starttls_accepts_only_a_valid_certificate_of_the_right_name(trusted: Path) -> None:
    def outcome(name: str) -> Status:
        async def send(running: Sink) -> Status:
            connection = await Connection.open(server(running, "required"))
            return (await hand_over(connection, "ann")).status

        with processes.sink(trusted, "--certificate", str(trusted / f"{name}.pem")) as running:
            return asyncio.run(send(running))

    assert outcome("good") is Status.accepted
    for name in ("other", "own"):
        with pytest.raises(Unavailable, match=r"(?i)certificate|verify"):
            outcome(name)


def test_a_server_stripped_of_starttls_is_refused(sink: Sink) -> None:
    with pytest.raises(Unavailable):
        asyncio.run(Connection.open(server(sink, "required")))


def test_starttls_is_required_everywhere_but_on_loopback() -> None:
    assert Server.parse("smtp://mail.example.com", "auto").secure
    assert not Server.parse("smtp://127.0.0.1:2525", "auto").secure
    assert not Server.parse("smtps://mail.example.com", "auto").secure
    assert Server.parse("smtps://mail.example.com", "auto").tls
