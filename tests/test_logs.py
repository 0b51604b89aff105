"""Checks that no address of a person gets into a log, whoever writes it and at whatever level."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from mailshot import logs
from mailshot.profile import address


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
