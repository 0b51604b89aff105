"""A mail a round trip: the dot travels with the next envelope, and servers that lose it are served plainly."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mailshot.deliver import pipelining
from mailshot.deliver.outcome import Outcome, Status
from mailshot.deliver.smtp import Connection, MailObject, Server, Timeouts
from tests.support import processes
from tests.support.processes import Sink

SHORT = Timeouts(connect=20.0, command=20.0, data=20.0, block=20.0, dot=5.0, probe=2.0)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    pipelining._known.clear()
    yield
    pipelining._known.clear()


def mail(local: str) -> MailObject:
    content = f"Message-ID: <{local}@bay.example.com>\r\nSubject: x\r\n\r\nHello\r\n.\r\n".encode()
    return MailObject("b@bay.example.com", f"{local}@mail.example", content)


def server(running: Sink) -> Server:
    return replace(Server.parse(running.url, "auto"), timeouts=SHORT)


async def send_all(running: Sink, mails: Sequence[MailObject]) -> tuple[list[Outcome], int]:
    """Send mails as the pipeline does; return their outcomes and the number of connections."""
    outcomes: list[Outcome] = []
    connection, opened, waiting = None, 0, list(mails)
    while waiting:
        if connection is None:
            connection, opened = await Connection.open(server(running)), opened + 1
        outcome = await connection.send_body(waiting[0])
        if outcome and outcome.resend:
            connection = None
            continue
        outcome = outcome or await connection.send_dot(waiting[1] if len(waiting) > 1 else None)
        waiting.pop(0)
        outcomes.append(outcome)
        connection = None if outcome.close else connection
    if connection:
        await connection.quit()
    return outcomes, opened


def sent_once(running: Sink, mails: Sequence[MailObject]) -> bool:
    return Counter(entry["rcpt"] for entry in running.entries()) == Counter(item.envelope_to for item in mails)


def test_mails_follow_one_another_and_none_is_harmed(tmp_path: Path) -> None:
    mails = [mail(f"c{number}") for number in range(50)]
    with processes.sink(tmp_path, "--pipelining") as running:
        outcomes, opened = asyncio.run(send_all(running, mails))
        known = pipelining.known("127.0.0.1", running.port)
        assert sent_once(running, mails)
    assert opened == 1
    assert {outcome.status for outcome in outcomes} == {Status.accepted}
    assert known.commands.proven
    assert known.after_dot.proven


@pytest.mark.parametrize("lie", ["after-command", "after-dot", "too-early"])
def test_a_server_that_loses_commands_is_found_out_and_served_plainly(tmp_path: Path, lie: str) -> None:
    mails = [mail(f"c{number}") for number in range(6)]
    with processes.sink(tmp_path, "--lies", lie) as running:
        outcomes, opened = asyncio.run(send_all(running, mails))
        known = pipelining.known("127.0.0.1", running.port)
        assert sent_once(running, mails)
    assert {outcome.status for outcome in outcomes} == {Status.accepted}
    assert opened == 2, "one connection to find it out, one for all mails"
    assert not (known.commands.usable and known.after_dot.usable)


@pytest.mark.parametrize("lies", [(), ("--lies", "data-for-none")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_refused_recipient_harms_no_neighbour(tmp_path: Path, lies: tuple[str, ...], place: int) -> None:
    """The server may accept DATA for a refused recipient; a lone dot then ends it, and nothing is delivered."""
    mails = [mail(f"c{number}") for number in range(3)]
    mails[place] = mail("550-rcpt-ann")
    with processes.sink(tmp_path, "--pipelining", *lies) as running:
        outcomes, opened = asyncio.run(send_all(running, mails))
        assert sent_once(running, [item for number, item in enumerate(mails) if number != place])
    expected = [Status.refused if number == place else Status.accepted for number in range(3)]
    assert [outcome.status for outcome in outcomes] == expected
    assert outcomes[place].no_mailbox
    assert opened == 1


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("451-dot", Status.retry), ("554-dot", Status.refused), ("421-dot", Status.retry), ("fin-dot", Status.in_doubt),
        ("rst-dot", Status.in_doubt), ("stall-dot", Status.in_doubt), ("rst-after-accept", Status.in_doubt),
    ],
)  # fmt: skip
def test_what_happens_to_a_dot_says_nothing_about_the_mail_behind_it(
    tmp_path: Path, fault: str, status: Status
) -> None:
    mails = [mail("first"), mail(f"{fault}-ann"), mail("last")]
    with processes.sink(tmp_path, "--pipelining") as running:
        outcomes, _ = asyncio.run(send_all(running, mails))
        arrived = Counter(entry["rcpt"] for entry in running.entries())
    assert [outcome.status for outcome in outcomes] == [Status.accepted, status, Status.accepted]
    assert max(arrived.values()) == 1
    assert {"first@mail.example", "last@mail.example"} <= arrived.keys()


def test_a_server_that_closes_after_some_mails_gets_all_of_them_once(tmp_path: Path) -> None:
    mails = [mail(f"c{number}") for number in range(10)]
    with processes.sink(tmp_path, "--pipelining", "--most", "3") as running:
        outcomes, opened = asyncio.run(send_all(running, mails))
        assert sent_once(running, mails)
    assert {outcome.status for outcome in outcomes} == {Status.accepted}
    assert opened == 4


class Odd(asyncio.Protocol):
    """A server that answers the commands of a script, each by a line, whatever they are."""

    answers: tuple[bytes, ...] = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.left = transport, list(self.answers)
        transport.write(self.left.pop(0))

    def data_received(self, data: bytes) -> None:
        if self.left:
            self.transport.write(self.left.pop(0))


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        # One reply too many for RCPT: DATA seems to be answered by 250.
        ((b"250 ok\r\n", b"250 ok\r\n250 ok\r\n", b"354 go\r\n", b"250 late\r\n"), Status.retry),
        # The reply to the dot is no reply to a dot.
        ((b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"354 again\r\n"), Status.in_doubt),
        ((b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"hello\r\n"), Status.in_doubt),
    ],
)
def test_replies_that_do_not_fit_are_never_taken_for_an_acceptance(answers: tuple[bytes, ...], status: Status) -> None:
    async def talk() -> Outcome:
        protocol = type("Script", (Odd,), {"answers": (b"220 odd\r\n", b"250 odd\r\n", *answers)})
        listening = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        url = f"smtp://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        connection = await Connection.open(replace(Server.parse(url, "auto"), timeouts=SHORT))
        outcome = await connection.send_body(mail("ann"))
        outcome = outcome or await connection.send_dot()
        listening.close()
        return outcome

    outcome = asyncio.run(talk())
    assert (outcome.status, outcome.close) == (status, True)
