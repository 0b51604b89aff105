"""The header Reply-To, in bytes: an address of ours only for a sender that wants it, and only where mail is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailshot.render import compose
from mailshot.render.compose import Recipient
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing, Purpose
from tests.support import project
from tests.support.project import NOW, Shop

KEYS = KeyRing.parse(project.KEYS)
IDS = (2**63 - 1, 2**63 - 1)
OWN = KEYS.sign_local_part(Purpose.reply, *IDS)
SENDERS = project.FILES["rules/senders.yaml"]


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path) -> Shop:
    return Shop.open(sqlite_store, tmp_path / "shop", 1)


def reply_to(shop: Shop, senders: str, reads_mail: bool) -> list[bytes]:
    """Return the lines of Reply-To in a mail, without their line ends."""
    (shop.folder / "rules" / "senders.yaml").write_text(senders, encoding="utf-8")
    recipient = Recipient(*IDS, "hello", "ida@mail.example", {"first_name": "Ida"}, [], False, NOW)
    mail = compose.compose(shop.campaign().mailing(), recipient, KEYS, "https://x.example", reads_mail)
    lines = mail.data(False).partition(b"\r\n\r\n")[0].split(b"\r\n")
    start = next((number for number, line in enumerate(lines) if line.startswith(b"Reply-To:")), len(lines))
    rest = lines[start:]
    end = next((number for number, line in enumerate(rest) if number and not line.startswith(b" ")), len(rest))
    return rest[:end]


@pytest.mark.parametrize(
    ("name", "bounce_domain", "expected"),
    [
        ("Bay Shop", "", ["Reply-To: Bay Shop", " <{own}@bay.example.com>"]),
        ('Bay: "A"', "k\u00e4se.example", [r'Reply-To: "Bay: \"A\""', " <{own}@xn--kse-qla.example>"]),
        ("K\u00e4se", "bay.example", ["Reply-To: =?utf-8?b?S8Okc2U=?=", " <{own}@bay.example>"]),
    ],
)
def test_a_mail_names_its_own_reply_address(shop: Shop, name: str, bounce_domain: str, expected: list[str]) -> None:
    senders = SENDERS.replace("name: Bay Shop", f"name: '{name}'")
    lines = reply_to(shop, f"{senders}  replies: mailbox\n  bounce_domain: '{bounce_domain}'\n", reads_mail=True)
    assert len(OWN) <= 64
    assert [line.decode() for line in lines] == [line.format(own=OWN) for line in expected]


@pytest.mark.parametrize("reads_mail", [False, True])
def test_an_address_of_the_sender_stays_as_it_is(shop: Shop, reads_mail: bool) -> None:
    assert reply_to(shop, SENDERS, reads_mail) == []
    own = SENDERS + "  reply_to: ask@bay.example.com\n"
    assert reply_to(shop, own, reads_mail) == [b"Reply-To: ask@bay.example.com"]


def test_an_address_that_is_not_read_is_not_named(shop: Shop) -> None:
    assert reply_to(shop, SENDERS + "  replies: mailbox\n", reads_mail=False) == []
