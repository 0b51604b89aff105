"""Checks that no bytes make the parser fail, and that its limits hold."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailshot.incoming import mime_tree, parser
from tests.incoming.keys import KEYS

SAMPLES = sorted((Path(__file__).parents[1] / "inputs/incoming").glob("*.eml"))
HOSTILE = {
    "nothing": b"",
    "NUL": b"\0" * 10_000,
    "no header": b"\n\n\n",
    "header without end": b"X: " + b"a" * 10**6,
    "folded header": b"Subject: x\n" + b" y\n" * 10**5,
    "many headers": b"A: b\n" * 10**5,
    "encoded words": b"Subject: " + b"=?utf-8?b?" * 10**5,
    "broken base64": b"Content-Transfer-Encoding: base64\n\n" + b"A" * 100_001,
    "broken quoted-printable": b"Content-Transfer-Encoding: quoted-printable\n\n" + b"=" * 100_000,
    "bad charset": b"Content-Type: text/plain; charset=\xff\xfe\n\n\xff\xfe\xfd",
    "not a charset": b"Content-Type: text/plain; charset=rot13\n\nabc",
    "empty boundary": b'Content-Type: multipart/mixed; boundary=""\n\n--\n--\n--\n',
    "many boundaries": b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n" * 10**5,
    "many addresses": b"From: mailer-daemon@x.example\n\n" + b"<a@b.example>: user unknown\n" * 10**5,
    "long word": b"From: mailer-daemon@x.example\n\n" + b"a" * 10**6,
    "signs": b"From: mailer-daemon@x.example\n\n" + b"@" * 10**6,
    "tags": b"Content-Type: text/html\n\n" + b"<" * 10**6,
    "scripts": b"Content-Type: text/html\n\n" + b"<script" * 10**5,
    "blanks": b"From: mailer-daemon@x.example\n\n" + b" " * 10**6,
    "blank lines": b"From: mailer-daemon@x.example\n\n" + b"\n" * 10**6,
    "digits": b"From: mailer-daemon@x.example\n\n" + b"550 5.1.1 " * 10**5,
    "quotes": b"From: a@x.example\n\n" + b"On a wrote " * 10**5,
    "attachment": b"From: a@x.example\nContent-Type: application/pdf\n\n" + b"%PDF" * (10 * 2**18),
    "links": b"From: a@x.example\n\n" + (b"http://x.example/u/" + b"A" * 60 + b" ") * 50_000,
    "years": b"Auto-Submitted: auto-replied\nDate: x\n\n" + b"until 99999-99-99 " * 10**5,
}


def _nested(levels: int, kind: str) -> bytes:
    head = "".join(f"Content-Type: {kind}; boundary=b{level}\n\n--b{level}\n" for level in range(levels))
    return head.encode() + b"Content-Type: text/plain\n\nuser unknown\n"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_read(name: str) -> None:
    message = parser.parse(HOSTILE[name], KEYS, None)
    assert message.tokens == ()
    assert len(message.text) <= 20_000


@pytest.mark.parametrize("kind", ["multipart/mixed", "multipart/report", "multipart/alternative", "message/rfc822"])
def test_deep_nesting_is_cut_off(kind: str) -> None:
    for levels in (100, 2000):
        parser.parse(_nested(levels, kind), KEYS, None)
        tree = mime_tree.parse(_nested(levels, kind))
        assert len(list(tree.walk())) <= mime_tree.MAX_DEPTH + 1


def test_the_number_of_parts_is_limited() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 10_000
    assert len(list(mime_tree.parse(raw).walk())) <= mime_tree.MAX_PARTS


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_message_cut_off_somewhere_is_read(path: Path) -> None:
    raw = path.read_bytes()
    for end in range(len(path.stem) % 13, len(raw), 13):
        parser.parse(raw[:end], KEYS, None)


@pytest.mark.torture
def test_a_message_cut_off_anywhere_is_read() -> None:
    for path in SAMPLES:
        raw = path.read_bytes()
        for end in range(len(raw)):
            parser.parse(raw[:end], KEYS, None)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_damaged_message_is_read(path: Path) -> None:
    chance, raw = random.Random(path.stem), path.read_bytes()
    for _ in range(50):
        damaged = bytearray(raw)
        for _ in range(chance.randrange(1, 20)):
            position = chance.randrange(len(damaged) + 1)
            damaged[position : position + chance.randrange(3)] = chance.randbytes(chance.randrange(4))
        parser.parse(bytes(damaged), KEYS, chance.choice([None, "", "\0", "b+\ud800@x", raw[:50].decode("latin-1")]))


@settings(deadline=None)
@given(st.binary(max_size=2000), st.one_of(st.none(), st.text(max_size=100)))
def test_any_bytes_are_read(raw: bytes, recipient: str | None) -> None:
    assert parser.parse(raw, KEYS, recipient).tokens == ()
    parser.parse(b"Content-Type: multipart/report; boundary=b\n\n--b\n" + raw, KEYS, recipient)
