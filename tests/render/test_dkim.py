"""Checks DKIM signatures with dkimpy, a verifier by others, over thousands of bodies and headers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

import dkim as verifier
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mailshot.render import dkim, dkim_keys, mime
from mailshot.render.dkim import SigningKey
from mailshot.render.dkim_keys import KeyType
from mailshot.render.mime import MailHeaders
from mailshot.render.template import RenderedMail

AT = datetime(2026, 6, 1, 9, 30, tzinfo=UTC)
DOMAIN = "greenleaf.example"
BODIES = 5000
LINES = (
    "", ".", "..", ".leading dot", "From the garden", " ", "\t", "trailing blanks  \t ", "two  blanks\tand\t\ttabs",
    "x" * 76, "x" * 990, "x" * 1200, "grønt, blått og 緑 🌱", "=20 =? ?= =", "-- ", "a" * 300 + " é " + "b" * 700,
)  # fmt: skip
SUBJECTS = (
    "Fresh greens", "Grønt & 緑 🌱 " * 12, "word " * 60, "a: colon:", "  odd   blanks\t here ", "x" * 400,
    "=?utf-8?q?posing?=",
)  # fmt: skip
HOSTILE = (b"From: evil@example.net\r\n", b"Subject: Another\r\n", b"Reply-To: evil@example.net\r\n")


@cache
def key(kind: KeyType = KeyType.rsa, selector: str = "m1") -> SigningKey:
    return dkim_keys.parse(dkim_keys.generate(kind), DOMAIN, selector)


def is_valid(message: bytes, keys: Sequence[SigningKey], number: int = 0) -> bool:
    """Return whether the signature of this number, counted from the top, is valid."""
    records = {f"{key.dns_name}.".encode(): key.record.encode() for key in keys}
    verification = verifier.DKIM(message, minkey=1024)
    try:
        return bool(verification.verify(idx=number, dnsfunc=lambda name, timeout=5: records.get(name)))
    except verifier.ValidationError:
        return False


def a_mail(dice: random.Random, eight_bit: bool) -> bytes:
    body = "\n".join(dice.choice(LINES) for _ in range(dice.randrange(25))) + "\n" * dice.randrange(4)
    headers = MailHeaders(
        message_id=f"{dice.getrandbits(64):x}@{DOMAIN}",
        date=AT,
        from_name=dice.choice(("Green Leaf", "Grünblatt 緑", 'Odd "name", here')),
        from_address=f"news@{DOMAIN}",
        to_name=dice.choice(("", "Ann B.", "Åse " * 40)),
        to_address="ann@example.org",
        boundary_seed="seed",
        list_id=dice.choice(("", f"offers.{DOMAIN}")),
        list_name="Offers",
        feedback_id=dice.choice(("", "1:offers:hello:mailshot")),
        unsubscribe_url=dice.choice((None, f"https://{DOMAIN}/u/" + "t" * 200)),
        reply_to=dice.choice((None, f"help@{DOMAIN}")),
    )
    rendered = RenderedMail(dice.choice(SUBJECTS), f"<p>{body}</p>", body)
    return mime.assemble(rendered, headers, eight_bit)


def test_every_signature_is_valid() -> None:
    dice, keys = random.Random(6376), [key(), key(KeyType.ed25519, "e1")]
    for number in range(BODIES):
        message = dkim.sign(a_mail(dice, eight_bit=number % 2 == 0), keys, AT)
        assert is_valid(message, keys, number % 2), message
        if number % 50 == 0:
            assert is_valid(message, keys, 1 - number % 2), message
            assert max(map(len, message.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 998


@pytest.mark.parametrize("body", [b"", b"\r\n", b"\r\n\r\n\r\n", b" \t\r\n \r\n", b"a \t b \r\n\r\n", b".\r\n", b"a"])
def test_odd_bodies_are_valid(body: bytes) -> None:
    message = dkim.sign(b"From: a@greenleaf.example\r\nSubject:\r\n folded\r\n\t more\r\n\r\n" + body, [key()], AT)
    assert is_valid(message, [key()])


def test_a_signature_is_a_function_of_mail_key_and_date() -> None:
    keys, mail = [key(), key(KeyType.ed25519, "e1")], a_mail(random.Random(1), eight_bit=False)
    assert dkim.sign(mail, keys, AT) == dkim.sign(mail, keys, AT)
    assert f"t={int(AT.timestamp())};".encode() in dkim.sign(mail, keys, AT)


@pytest.mark.parametrize("added", HOSTILE)
def test_headers_cannot_be_added(added: bytes) -> None:
    message = dkim.sign(a_mail(random.Random(2), eight_bit=False), [key()], AT)
    assert is_valid(message, [key()])
    head, body = message.split(b"\r\n\r\n", 1)
    assert not is_valid(added + message, [key()])
    assert not is_valid(head + b"\r\n" + added.rstrip() + b"\r\n\r\n" + body, [key()])


def test_a_relay_may_fold_and_trim_but_not_change_the_text() -> None:
    mail = b"From: a@greenleaf.example\r\nSubject: one two\r\nX-Own: a\r\n\r\nHello  there \r\n"
    message = dkim.sign(mail, [key()], AT)
    assert is_valid(message.replace(b"one two", b"one\r\n  two").replace(b"X-Own: a", b"X-Own: b"), [key()])
    assert is_valid(message.replace(b"Hello  there \r\n", b"Hello there\r\n\r\n"), [key()])
    assert not is_valid(message.replace(b"Hello", b"Hullo"), [key()])
    assert not is_valid(message + b"more\r\n", [key()])


def test_what_is_signed() -> None:
    mail = b"From: a@b.example\r\nList-Unsubscribe: <https://b.example/u>\r\nX-Own: a\r\n\r\nHello\r\n"
    header = dkim.sign(mail, [key()], AT).decode().partition("\r\nFrom:")[0]
    names = header.partition("h=")[2].partition(";")[0].replace(":", " ").split()
    assert names == ["From", "From", "To", "Subject", "Date", "Reply-To", "List-Unsubscribe"]
    assert " l=" not in header


def test_other_keys_are_not_taken() -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content, reason in (
        (pem, "neither an RSA nor an Ed25519"),
        (b"", "not a private key"),
        (b"x", "not a private"),
    ):
        with pytest.raises(ValueError, match=reason):
            dkim_keys.parse(content, DOMAIN, "m1")
