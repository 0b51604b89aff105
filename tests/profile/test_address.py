"""Checks normal form, limits and fingerprints of addresses against the validator and the standards."""

from __future__ import annotations

import email_validator
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailshot.profile import address
from mailshot.profile.address import Address, Fault

KEY = b"k" * 32

GOOD = {
    "household-1@example.com": "household-1@example.com",
    "  Bob.Smith+news@Example.COM ": "Bob.Smith+news@example.com",
    "a@faß.de": "a@xn--fa-hia.de",
    "user@例え.jp": "user@xn--r8jz45g.jp",
    "user@bücher.example": "user@xn--bcher-kva.example",
    "пользователь@пример.рф": "пользователь@xn--e1afmkfd.xn--p1ai",
    "jose\N{COMBINING ACUTE ACCENT}@example.org": "josé@example.org",
    "o'brien@example.org": "o'brien@example.org",
    "x@shop.test": "x@shop.test",
    "a@xn--fa-hia.de": "a@xn--fa-hia.de",
    "l" * 64 + "@example.com": "l" * 64 + "@example.com",
}

BAD = [
    "",
    "=?utf-8?q?x?=@example.com",
    "=?utf-8?b?eEBleGFtcGxlLmNvbQ0KQmNjOiB5?=@example.com",
    "a=?b@example.com",
    "a(comment)@example.com",
    "<a@example.com>",
    '"a\r\nBcc: x"@example.com',
    "\x1ba@example.com",
    "a\x85b@example.com",
    "a\u2028b@example.com",
    "a\u00a0b@example.com",
    "a\u200bb@example.com",
    "a@example.com;b@example.com",
    "nobody",
    "@example.com",
    "a@",
    "a@b",
    "a@localhost",
    "a@@example.com",
    "a b@example.com",
    ".a@example.com",
    "a.@example.com",
    "a..b@example.com",
    "a@example..com",
    "a@-example.com",
    "a@example-.com",
    "a@exa_mple.com",
    "a@💩.la",
    "a@xn--iñvalid.com",
    '"a b"@example.com',
    "Bob <bob@example.com>",
    "bob@example.com\r\nBcc: all@example.com",
    "bob@example.com,eve@example.com",
    "a@[127.0.0.1]",
    "a\x00b@example.com",
    "a\u202eb@example.com",
    "l" * 65 + "@example.com",
    "é" * 33 + "@example.com",
    "a@" + "d" * 64 + ".com",
    "a@" + ".".join(["d" * 60] * 5) + ".com",
    "l" * 64 + "@" + ".".join(["d" * 47] * 4) + ".com",
]


@pytest.mark.parametrize(("written", "normal"), GOOD.items())
def test_a_good_address_has_one_normal_form(written: str, normal: str) -> None:
    normalised = address.normalise(written)
    assert isinstance(normalised, Address)
    assert normalised.email == normal
    assert normalised.domain.isascii()
    assert address.normalise(normalised.email) == normalised


@pytest.mark.parametrize("written", BAD)
def test_a_bad_address_is_a_fault_with_a_reason(written: str) -> None:
    fault = address.normalise(written)
    assert isinstance(fault, Fault)
    assert fault.reason
    assert "\n" not in fault.reason


def test_a_local_part_beyond_ascii_needs_smtputf8() -> None:
    plain, wide = address.normalise("a@faß.de"), address.normalise("josé@example.org")
    assert isinstance(plain, Address)
    assert isinstance(wide, Address)
    assert (plain.smtputf8, wide.smtputf8) == (False, True)


@given(st.from_regex(address._PLAIN, fullmatch=True).filter(lambda text: text.index("@") <= 64))
def test_the_short_cut_agrees_with_the_validator(text: str) -> None:
    normalised = address.normalise(text)
    try:
        seen = email_validator.validate_email(text, check_deliverability=False, test_environment=True)
    except email_validator.EmailNotValidError:
        assert isinstance(normalised, Fault)
    else:
        assert isinstance(normalised, Address)
        assert normalised.email.lower() == f"{seen.local_part}@{seen.ascii_domain}".lower()


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_a_fault(text: str) -> None:
    normalised = address.normalise(text)
    if isinstance(normalised, Address):
        assert not any(ord(letter) < 33 or ord(letter) == 127 for letter in normalised.email)


def test_a_fingerprint_is_of_the_mailbox_and_the_key() -> None:
    hashed = address.hash_address(KEY, "Bob@example.com")
    assert len(hashed) == 32
    assert hashed == address.hash_address(KEY, "bob@example.com ")
    assert hashed != address.hash_address(b"other" * 8, "bob@example.com")
    assert hashed != address.hash_address(KEY, "bob2@example.com")


def test_a_text_of_a_megabyte_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the validator was asked")

    monkeypatch.setattr(email_validator, "validate_email", fail)
    fault = address.normalise("a" + "\N{COMBINING ACUTE ACCENT}" * 1_000_000 + "@example.com")
    assert isinstance(fault, Fault)
    assert fault.reason == "The address has 1000013 characters; at most 254 are allowed."
