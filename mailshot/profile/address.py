"""Normalises, validates and hashes e-mail addresses.

The domain is kept as it travels (IDNA2008 A-labels, RFC 5891), the local part as it was written. Limits are in octets
(RFC 5321 section 4.5.3.1): local part 64, domain 255, path 256 including its angle brackets.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass

import email_validator

MAX_LOCAL = 64
MAX_DOMAIN = 255
MAX_ADDRESS = 254
#: More characters are no address in any normal form, and not looked at: the validator takes a second for a megabyte.
MAX_CHARACTERS = 4 * MAX_ADDRESS
FINGERPRINT_DIGITS = 32
#: Begins an encoded word (RFC 2047). In an address it means nothing, but programs decode it there, and what comes out
#: can be another address or a line end.
ENCODED = "=?"

# What needs no closer look: nearly all addresses, at a hundredth of the cost. A label with hyphens in its third and
# fourth place (xn--…) is left to the validator.
_PLAIN = re.compile(
    r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*"
    r"@(?:(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?!(?:arpa|invalid|local|localhost|onion)$)[a-z]{2,63}",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Address:
    """A valid address in normal form. `domain` is ASCII and lower case."""

    local: str
    domain: str

    @property
    def email(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def smtputf8(self) -> bool:
        """Whether a server must offer SMTPUTF8 (RFC 6531) to take mail for it."""
        return not self.local.isascii()


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a text is no address, in words for the one who wrote it."""

    reason: str


def normalise(text: str) -> Address | Fault:
    """Return the address in normal form, or what is wrong with it."""
    stripped = text.strip()
    if len(stripped) > MAX_CHARACTERS:
        return Fault(f"The address has {len(stripped)} characters; at most {MAX_ADDRESS} are allowed.")
    if len(stripped) <= MAX_ADDRESS and _PLAIN.fullmatch(stripped):
        local, _, domain = stripped.partition("@")
        address = Address(local, domain.lower())
    else:
        try:
            seen = email_validator.validate_email(stripped, check_deliverability=False, test_environment=True)
        except email_validator.EmailNotValidError as error:
            return Fault(_words(str(error)))
        if not seen.ascii_domain or "." not in seen.ascii_domain:
            return Fault("The part after the @-sign has no period.")
        if ENCODED in (seen.local_part or ""):
            return Fault(
                f"The part before the @-sign contains '{ENCODED}', by which mail programs may read it otherwise."
            )
        address = Address(seen.local_part or "", seen.ascii_domain.lower())
    return _within_limits(address)


def fold_mailbox(email: str) -> str:
    """Return what two spellings of one mailbox have in common."""
    return unicodedata.normalize("NFC", email.strip()).lower()


def hash_address(key: bytes, email: str) -> str:
    """Return 32 hex digits of HMAC-SHA256 (RFC 2104) over the mailbox: two spellings of one mailbox have one print."""
    return hmac.digest(key, fold_mailbox(email).encode(), "sha256").hex()[:FINGERPRINT_DIGITS]


def digest(email: str) -> str:
    """Return the SHA-256 of a mailbox as 64 hex digits, without a key: as other systems exchange addresses."""
    return hashlib.sha256(fold_mailbox(email).encode()).hexdigest()


def hash_customer_key(key: bytes, customer_key: str) -> str:
    """Return 32 hex digits of HMAC-SHA256 over a customer's key; never the print of an address."""
    return hmac.digest(key, b"customer key\0" + customer_key.encode(), "sha256").hex()[:FINGERPRINT_DIGITS]


def _within_limits(address: Address) -> Address | Fault:
    local, domain = len(address.local.encode()), len(address.domain)
    if local > MAX_LOCAL:
        return Fault(f"The part before the @-sign has {local} octets; at most {MAX_LOCAL} are allowed.")
    if domain > MAX_DOMAIN:
        return Fault(f"The part after the @-sign has {domain} octets; at most {MAX_DOMAIN} are allowed.")
    if local + 1 + domain > MAX_ADDRESS:
        return Fault(f"The address has {local + 1 + domain} octets; at most {MAX_ADDRESS} are allowed.")
    return address


def _words(reason: str) -> str:
    """Return the reason on one line."""
    return " ".join(reason.split())
