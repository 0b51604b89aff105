"""Kills the mailbox process: no message that it confirmed is lost, and none is applied twice."""

from __future__ import annotations

import random
import signal
import smtplib
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select

from mailshot.states import FeedbackKind
from mailshot.store import dialect, incoming_mail, tables
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing, Purpose
from tests.support import customer_site, processes, project, returned_mail
from tests.support.project import Shop

KEYS = KeyRing.parse(project.KEYS)
#: For each kill.
MESSAGES = 60
KILLS = 6
MANY_KILLS = 50


def _send(port: int, recipient: str, raw: bytes, given_up: threading.Event) -> None:
    """Send a message until it is confirmed, as a mail server does."""
    while not given_up.is_set():
        try:
            with smtplib.LMTP("127.0.0.1", port, timeout=20) as client:
                client.sendmail("", [recipient], raw)
            return
        except (OSError, smtplib.SMTPException):
            given_up.wait(0.05)


def _bounces(run_id: int, customers: list[int]) -> list[tuple[str, bytes]]:
    bounces = []
    for customer in customers:
        address = f"{KEYS.sign_local_part(Purpose.bounce, run_id, customer)}@bay.example.com"
        mail = {"rcpt": f"c{customer}@mail.example", "from": address, "data": f"Subject: Hello {customer}\n\nHello\n"}
        bounces.append((address, returned_mail.bounce(mail, "soft")))
    return bounces


def _check(store: Store, tmp_path: Path, kills: int) -> None:
    shop = Shop.open(store, tmp_path / "shop", MESSAGES * kills)
    run_id = shop.launch()
    port = customer_site.free_port()
    environment = shop.environment(MAILSHOT_MAILBOX=f"lmtp://127.0.0.1:{port}")
    command = [sys.executable, "-m", "workers.mailbox"]
    given_up, draw = threading.Event(), random.Random(kills)
    bounces = _bounces(run_id, shop.customers)
    senders = [
        threading.Thread(target=lambda part=part: [_send(port, *bounce, given_up) for bounce in part])  # type: ignore[misc]
        for part in (bounces[::2], bounces[1::2])
    ]
    for sender in senders:
        sender.start()
    try:
        for _ in range(kills):
            process = processes.start(command, environment)
            given_up.wait(1.0 + draw.random() * 1.5)
            processes.end(process, signal.SIGKILL)
        process = processes.start(command, environment)
        for sender in senders:
            sender.join(120)
        processes.until(lambda: _processed(store) == len(bounces), 60, "all messages are processed")
        processes.until(lambda: _answers(port), 60, "the last process is up")
        assert processes.end(process, signal.SIGTERM) == 0
    finally:
        given_up.set()
    feedback = dialect.table(tables.Feedback)
    with store.read() as connection:
        applied = connection.execute(
            select(feedback.c.customer_id, func.count())
            .where(feedback.c.kind == FeedbackKind.bounced)
            .group_by(feedback.c.customer_id)
        ).all()
    assert {row[0]: row[1] for row in applied} == dict.fromkeys(shop.customers, 1)


def _answers(port: int) -> bool:
    try:
        with smtplib.LMTP("127.0.0.1", port, timeout=20):
            return True
    except (OSError, smtplib.SMTPException):
        return False


def _processed(store: Store) -> int:
    with store.read() as connection:
        return sum(number for (kind, _), number in incoming_mail.count_kinds(connection).items() if kind)


def test_no_confirmed_message_is_lost_and_none_is_applied_twice(store: Store, tmp_path: Path) -> None:
    _check(store, tmp_path, KILLS)


def test_without_a_mailbox_the_process_waits_until_it_is_stopped(store: Store, tmp_path: Path) -> None:
    """The Procfile starts it in every project, and a process manager ends all processes with one of them."""
    shop = Shop.open(store, tmp_path / "shop")
    process = processes.start([sys.executable, "-m", "workers.mailbox"], shop.environment(), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert "No mailbox is configured" in process.stdout.readline()
    assert processes.end(process, signal.SIGTERM) == 0
    process.stdout.close()


@pytest.mark.torture
def test_fifty_kills(store: Store, tmp_path: Path) -> None:
    _check(store, tmp_path, MANY_KILLS)
