from __future__ import annotations

import pytest

from mailshot import documents
from mailshot.errors import InvalidInput
from mailshot.profile import senders

GOOD = "shop:\n  name: Shop\n  postal_address: 1 Quay, Oslo\n  address: {address}\n  bounce_domain: {domain}\n"


def _read(address: str, domain: str = "''") -> senders.Sender:
    text = GOOD.format(address=address, domain=domain)
    return senders.read(documents.parse_document(text, "rules/senders.yaml"))["shop"]


@pytest.mark.parametrize("address", ["a@example.com", "hello@mail.example.org", "a@shop.test", "news@shop.example"])
def test_addresses_for_trying_things_out_are_accepted(address: str) -> None:
    assert _read(address).address == address


@pytest.mark.parametrize(
    "address",
    [
        "not an address@evilexample.com",
        "a b@example.com",
        "@example.com",
        "a@@example.org",
        "x.test",
        "<a@example.com>",
    ],
)
def test_what_only_ends_like_one_is_refused_with_its_place(address: str) -> None:
    with pytest.raises(InvalidInput, match=r"rules/senders\.yaml:4.*is not an e-mail address"):
        _read(f'"{address}"')


@pytest.mark.parametrize("domain", ["two words", "example.com>", "a@example.com", "-x.example", "x..example"])
def test_a_bounce_domain_that_is_none_is_refused(domain: str) -> None:
    with pytest.raises(InvalidInput, match="is not a domain"):
        _read("a@example.com", f'"{domain}"')


@pytest.mark.parametrize("field", ["address", "reply_to"])
def test_an_address_that_needs_smtputf8_is_refused_with_its_place(field: str) -> None:
    text = GOOD.format(address="a@example.com", domain="''") + "  reply_to: b@example.com\n"
    own = {"address": "a@example.com", "reply_to": "b@example.com"}[field]
    with pytest.raises(InvalidInput, match=r"rules/senders\.yaml:[46].*SMTPUTF8"):
        senders.read(documents.parse_document(text.replace(own, "ü@example.com"), "rules/senders.yaml"))


def test_replies_go_to_one_place() -> None:
    text = GOOD.format(address="a@example.com", domain="''") + "  replies: {replies}\n{more}"
    read = documents.parse_document(text.format(replies="mailbox", more=""), "rules/senders.yaml")
    assert senders.read(read)["shop"].replies == "mailbox"
    for replies, more, expected in (
        (
            "mailbox",
            "  reply_to: b@example.com\n",
            r"rules/senders\.yaml:\d.*'reply_to' and 'replies' exclude each other",
        ),
        ("b@example.com", "", r"rules/senders\.yaml:6.*'replies' 'b@example\.com'"),
    ):
        with pytest.raises(InvalidInput, match=expected):
            senders.read(documents.parse_document(text.format(replies=replies, more=more), "rules/senders.yaml"))


def test_a_sender_without_the_newest_field_is_frozen_as_before() -> None:
    assert _read("a@example.com").freeze("Bay") == {
        "name": "Shop", "address": "a@example.com", "postal_address": "1 Quay, Oslo", "reply_to": None,
        "bounce_domain": "", "list_domain": "", "feedback_id": "mailshot", "brand": "Bay",
    }  # fmt: skip


@pytest.mark.parametrize("word", ["two words", "käsehaus", "a:bcdef"])
def test_a_feedback_id_that_is_no_word_is_refused(word: str) -> None:
    text = GOOD.format(address="a@example.com", domain="''") + f"  feedback_id: '{word}'\n"
    with pytest.raises(InvalidInput, match="ASCII"):
        senders.read(documents.parse_document(text, "rules/senders.yaml"))


RELAYS = GOOD.format(address="a@example.com", domain="''") + "  through: {relays}\n"


def test_relays_are_frozen_by_name() -> None:
    text = RELAYS.format(relays="[{relay: own, weight: 3, connections: 20, rate: 900}, {relay: spare, spare: yes}]")
    sender = senders.read(documents.parse_document(text, "rules/senders.yaml"))["shop"]
    assert sender.freeze("")["through"] == [
        {"relay": "own", "weight": 3, "connections": 20, "rate": 900, "spare": False},
        {"relay": "spare", "weight": 1, "connections": None, "rate": None, "spare": True},
    ]
    assert "through" not in _read("a@example.com").freeze("")


@pytest.mark.parametrize(
    ("relays", "expected"),
    [
        ("[]", "'through' is empty"),
        ("[{weight: 3}]", "relay"),
        ("[{relay: Own}]", "must be a name of a-z, 0-9 and _"),
        ("[{relay: own}, {relay: own}]", "names the relay 'own' twice"),
        ("[{relay: own, spare: yes}]", "has only spare relays"),
        ("[{relay: own, weight: 0}]", "must be at least 1"),
        ("[{relay: own, rate: 1e3}]", "must be a whole number"),
        ("[{relay: own, wieght: 3}]", "wieght"),
        ("[{relay: own, spare: perhaps}]", "spare|boolean|yes or no"),
    ],
)
def test_relays_that_cannot_be_used_are_refused_with_their_place(relays: str, expected: str) -> None:
    with pytest.raises(InvalidInput, match=rf"(?s)rules/senders\.yaml:6:\d+.*({expected})"):
        senders.read(documents.parse_document(RELAYS.format(relays=relays), "rules/senders.yaml"))
