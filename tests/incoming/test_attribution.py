"""Checks that our tokens are found however servers mangle them, and that forged ones are not."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailshot.incoming import parser
from mailshot.incoming.attribution import TokenPlace
from mailshot.states import IncomingKind
from mailshot.tokens import PREFIXES, KeyRing, Purpose
from tests.incoming.keys import KEYS

IDS = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))
RETURNED = "From: Shop <news@shop.example>\nTo: tom@example.org\nSubject: News\n"
REPORT = """\
From: MAILER-DAEMON@mx.example.net
To: {to}
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=r

--r
Content-Type: text/plain

<tom@example.org>: 550 5.1.1 User unknown

--r
Content-Type: message/delivery-status

Final-Recipient: rfc822; tom@example.org
Action: failed
Status: 5.1.1

--r
Content-Type: message/rfc822

{returned}
--r--
"""
MANGLES: dict[str, Callable[[str], str]] = {
    "as it is": lambda local: f"{local}@shop.example",
    "lower": lambda local: f"{local}@shop.example".lower(),
    "upper": lambda local: f"{local}@shop.example".upper(),
    "brackets": lambda local: f"<{local}@shop.example>",
    "quoted": lambda local: f'"{local}"@shop.example',
    "suffix": lambda local: f"{local}+x@shop.example",
    "prefix": lambda local: f"bounces+{local}@shop.example",
    "VERP": lambda local: f"{local}=40shop.example@relay.example",
    "VERP with =": lambda local: f"{local}=shop.example@relay.example",
    "SRS": lambda local: f"SRS0=ab12=XY=shop.example={local}@relay.example",
    "BATV": lambda local: f"prvs=1234567890={local}@shop.example",
    "encoded plus": lambda local: local.replace("+", "=2B") + "@shop.example",
    "encoded plus in a URL": lambda local: local.replace("+", "%2b") + "%40shop.example",
    "comment": lambda local: f"(ours) {local}@shop.example (bounces)",
    "display name": lambda local: f'"{local}" <{local}@shop.example>',
    "address type": lambda local: f"rfc822;{local}@shop.example",
    "wrapped": lambda local: f"{local[:20]}\r\n {local[20:]}@shop.example",
    "wrapped after =": lambda local: f"{local[:20]}=\r\n{local[20:]}@shop.example",
}


def _report(to: str = "b@shop.example", returned: str = RETURNED) -> bytes:
    return REPORT.format(to=to, returned=returned).encode()


@pytest.mark.parametrize("name", MANGLES)
@pytest.mark.parametrize("purpose", PREFIXES)
@settings(deadline=None)
@given(ids=IDS)
def test_a_mangled_recipient_is_resolved(name: str, purpose: Purpose, ids: tuple[int, int]) -> None:
    recipient = MANGLES[name](KEYS.sign_local_part(purpose, *ids))
    token = parser.parse(_report(), KEYS, recipient).token
    assert token is not None
    assert (token.purpose, token.ids, token.place) == (purpose, ids, TokenPlace.recipient)


@pytest.mark.parametrize("name", [name for name in MANGLES if not name.startswith("wrapped after")])
@pytest.mark.parametrize("purpose", PREFIXES)
@settings(deadline=None)
@given(ids=IDS)
def test_a_mangled_recipient_is_resolved_in_the_header(name: str, purpose: Purpose, ids: tuple[int, int]) -> None:
    address = MANGLES[name](KEYS.sign_local_part(purpose, *ids))
    token = parser.parse(_report(to=address), KEYS, None).token
    assert token is not None
    assert (token.purpose, token.ids, token.place) == (purpose, ids, TokenPlace.header)


@settings(deadline=None)
@given(ids=IDS)
def test_the_message_id_of_the_returned_mail_names_it(ids: tuple[int, int]) -> None:
    returned = f"{RETURNED}Message-ID:\n <{KEYS.sign(Purpose.message, *ids)}@shop.example>\n"
    token = parser.parse(_report(returned=returned), KEYS, "postmaster@shop.example").token
    assert token is not None
    assert (token.purpose, token.ids, token.place) == (Purpose.message, ids, TokenPlace.returned)


@pytest.mark.parametrize("purpose", [Purpose.unsubscribe, Purpose.preferences, Purpose.view, Purpose.click])
@settings(deadline=None)
@given(ids=IDS)
def test_a_link_quoted_in_the_returned_mail_names_it(purpose: Purpose, ids: tuple[int, int]) -> None:
    link = f"https://shop.example/u/{KEYS.sign(purpose, *ids, 5)}"
    encoded = f'Content-Transfer-Encoding: quoted-printable\n\n<a href=3D"{link[:40]}=\n{link[40:]}">x</a>\n'
    for returned in (f"{RETURNED}List-Unsubscribe: <{link}>\n", f"{RETURNED}\nSee {link}.\n", RETURNED + encoded):
        token = parser.parse(_report(returned=returned), KEYS, None).token
        assert token is not None
        assert (token.purpose, token.ids) == (purpose, (*ids, 5))


def test_the_envelope_counts_before_what_a_message_quotes() -> None:
    returned = f"{RETURNED}Message-ID: <{KEYS.sign(Purpose.message, 1, 2)}@shop.example>\n"
    recipient = f"{KEYS.sign_local_part(Purpose.bounce, 3, 4)}@shop.example"
    tokens = parser.parse(_report(returned=returned), KEYS, recipient).tokens
    assert [token.ids for token in tokens] == [(3, 4), (1, 2)]


BOUNCE, LEAVE, REPLY = (f"{KEYS.sign_local_part(purpose, 3, 4)}@shop.example" for purpose in PREFIXES)


@pytest.mark.parametrize(
    ("to", "recipient", "purpose"),
    [
        (f"Shop <{REPLY}>", None, Purpose.reply),
        ("hello@shop.example", REPLY, Purpose.reply),
        (f"{REPLY}, {LEAVE}", REPLY, Purpose.reply),
        (f"{REPLY}, {BOUNCE}", None, Purpose.bounce),
        (f"{REPLY}, {LEAVE}", None, Purpose.leave),
        (REPLY, BOUNCE, Purpose.bounce),
        ("hello@shop.example", "hello@shop.example", Purpose.message),
    ],
)
def test_a_message_to_a_reply_address_is_about_that_mail_whatever_it_quotes(
    to: str, recipient: str | None, purpose: Purpose
) -> None:
    returned = f"{RETURNED}Reply-To: <{REPLY}>\nMessage-ID: <{KEYS.sign(Purpose.message, 1, 2)}@shop.example>\n"
    token = parser.parse(_report(to=to, returned=returned), KEYS, recipient).token
    assert token is not None
    assert token.purpose is purpose
    assert token.is_proof is (purpose is not Purpose.reply)


def test_forged_messages_name_nobody() -> None:
    chance, other = random.Random(5), KeyRing.parse("7:" + "a5" * 32)
    for number in range(10_000):
        ids = (chance.randrange(1000), chance.randrange(10**6))
        genuine = KEYS.sign_local_part(Purpose.bounce, *ids)
        position = chance.randrange(2, len(genuine))
        letter = chance.choice([letter for letter in "0123456789abcdefghijklmnopqrstuv" if letter != genuine[position]])
        changed = genuine[:position] + letter + genuine[position + 1 :]
        foreign = other.sign(Purpose.message, *ids)
        misused = KEYS.sign(chance.choice([Purpose.confirm, Purpose.session, Purpose.click]), *ids)
        recipient = (changed, other.sign_local_part(Purpose.bounce, *ids), f"b+{number}", "")[number % 4]
        returned = f"{RETURNED}Message-ID: <{(foreign, misused)[number % 2]}@shop.example>\n"
        message = parser.parse(_report(returned=returned), KEYS, f"{recipient}@shop.example")
        assert message.kind is IncomingKind.hard
        assert message.tokens == ()
