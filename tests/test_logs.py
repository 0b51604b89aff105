"""Checks that no address of a person gets into a log, whoever writes it and at whatever level."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mailshot import logs
from mailshot.profile import address
from mailshot.tokens import KeyRing, Purpose
from tests.support import processes

TOKEN = KeyRing({1: bytes(16)}).sign(Purpose.unsubscribe, 1)


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Give what is written to a log of its own while records are masked."""
    before, log = logging.getLogRecordFactory(), logging.getLogger("tests.masked")
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    logs.mask_logs()
    yield text
    logging.setLogRecordFactory(before)
    log.removeHandler(handler)


@pytest.mark.parametrize(
    "message",
    [
        "550 5.1.1 <canary@shop.example>: unknown user",
        "550 5.1.1 canary@shop.example... User unknown",
        '550 "canary bird"@shop.example is unknown',
        "550 CANARY@shop.example, canary+tag@shop.example",
        "rcpt:canary@localhost",
        "mary.o'canary@shop.example and 'canary@shop.example'",
        '550 "canary \\"q\\" bird"@shop.example',
        "canary@[192.0.2.1] of shop.example",
        "canary%40shop.example, canary=40shop.example",
        "smtp://user:canary@shop.example:25",
    ],
)
def test_addresses_are_hashed_and_domains_stay(written: io.StringIO, message: str) -> None:
    log = logging.getLogger("tests.masked")
    log.debug("the server said: %s", message)
    log.error(message)
    try:
        raise ValueError(message)
    except ValueError:
        log.exception("failed")
    text = written.getvalue()
    assert "canary" not in text.lower().replace("canary, ", "")
    assert "shop.example" in text or "localhost" in text
    assert "Traceback" in text


def test_a_hash_is_the_one_of_the_database() -> None:
    key = b"k" * 16
    logs.use_key(key)
    assert (
        logs.masked("canary@shop.example") == f"<{address.hash_address(key, 'canary@shop.example')[:8]}>@shop.example"
    )


@pytest.mark.parametrize(
    "text", ["", "no address", "@", "a @ b", "at 10 @home", "user@", "x" * 100_000 + "@", "@" * 100_000]
)
def test_other_text_stays(text: str) -> None:
    assert "@" not in text or logs.masked(text).count("@") == text.count("@")


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        (f"GET /u/{TOKEN} failed", "GET /u/… failed"),
        (f"https://news.example.com/c/{TOKEN}?utm=x", "https://news.example.com/c/…?utm=x"),
        (f"/signup/confirm/{TOKEN}", "/signup/confirm/…"),
        ("/u/short and /static/style.css", "/u/short and /static/style.css"),
    ],
)
def test_links_lose_their_tokens(message: str, masked: str) -> None:
    assert logs.masked(message) == masked


def test_json_logs_are_one_object_a_line_with_the_run_and_the_masked_traceback(written: io.StringIO) -> None:
    log = logging.getLogger("tests.masked")
    log.handlers[0].setFormatter(logs.JsonFormatter())

    async def send() -> None:
        await asyncio.to_thread(log.info, "in\na \u2028 thread of %s", "canary@shop.example")

    with logs.of_run(7):
        asyncio.run(send())
    try:
        raise ValueError("canary@shop.example")
    except ValueError:
        log.exception("failed")
    first, second = (json.loads(line) for line in written.getvalue().splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    message = first.pop("message")
    assert message.startswith("in\na \u2028 thread of <")
    assert first == {"level": "INFO", "logger": "tests.masked", "run": 7}
    assert "run" not in second
    assert second["exception"].startswith("Traceback")
    assert "canary" not in written.getvalue()


def test_half_a_character_does_not_break_a_line_of_json() -> None:
    # Not logged: pytest could not report what it captures.
    record = logging.LogRecord("tests", logging.INFO, __file__, 1, "a \udc80 b", (), None)
    line = logs.JsonFormatter().format(record)
    assert json.loads(line.encode())["message"] == "a \udc80 b"


def test_what_ends_a_thread_or_the_process_is_masked_json_too() -> None:
    program = """
import threading
from mailshot import logs
from mailshot.cli import context
context.logs()
logs.use_format("json")
def fail(): raise ValueError("canary@shop.example")
thread = threading.Thread(target=fail, name="links")
thread.start()
thread.join()
import warnings
warnings.warn("canary@shop.example")
fail()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=processes.ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    thread, warning, process = (json.loads(line) for line in ended.stderr.splitlines())
    assert (ended.returncode, thread["message"], process["message"]) == (
        1,
        "the thread links ended by an exception",
        "the process ended by an exception",
    )
    assert warning["level"] == "WARNING"
    assert "canary" not in ended.stderr
