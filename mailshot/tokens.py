"""Signs and verifies the ids in links and envelope addresses.

A token is base64url of: version (1 byte), key id (1 byte), the ids as varints, and a 128-bit HMAC-SHA-256 tag
(RFC 2104) under a key derived for its purpose, so that a click token can never unsubscribe. It never expires:
an unsubscribe link must work for as long as the mail is kept.

A forwarded mail carries its tokens along, so they allow nothing harmful: subscribing, unsubscribing and changing
preferences. Data is shown only to the owner of the inbox (`confirm`, then `session`). Where a token must not outlive
the customer's address, one of its ids is the `fingerprint` of that address.

In an address the same bytes are base32hex (RFC 4648 section 7) in lower case, after a prefix: servers may change the
case of a local part, and it holds 64 octets at most (RFC 5321).
"""

from __future__ import annotations

import hmac
import re
from base64 import b32hexdecode, b32hexencode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache

from mailshot.errors import SettingsError

VERSION = 1
TAG_BYTES = 16
FINGERPRINT_BYTES = 5
MAX_CHARACTERS = 120
# The characters of a link's token. Mail programs may append what follows in the text: a period, a bracket, a quote.
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


class Purpose(StrEnum):
    """What a token may be used for; each has its own derived key."""

    click = "click"
    open = "open"
    unsubscribe = "unsubscribe"
    preferences = "preferences"
    confirm = "confirm"
    session = "session"
    bounce = "bounce"
    leave = "leave"
    reply = "reply"
    message = "message"
    view = "view"
    address = "address"
    signup = "signup"


#: How the local part of an address begins, by the purpose of its token: returned mail, unsubscribe mail, replies.
PREFIXES = {Purpose.bounce: "b", Purpose.leave: "u", Purpose.reply: "r"}


class KeyRing:
    """Signs with its first key and verifies with all its keys, so that keys can be rotated with an overlap."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys:
            raise SettingsError("MAILSHOT_KEYS is empty.", "Run 'mailshot init', or set it to 1:<32 hex digits>.")
        self._signer = next(iter(keys))
        self._derived = {
            (number, purpose): hmac.digest(key, b"mailshot/" + purpose.encode(), "sha256")
            for number, key in keys.items()
            for purpose in Purpose
        }

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """Read 'id:hex,id:hex'. Raises SettingsError for a short or malformed key."""
        keys: dict[int, bytes] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            number, _, digits = part.partition(":")
            try:
                # A repeated number would silently replace the earlier key and break every link signed with it.
                key_id = int(number) if number.isascii() and number.strip().isdigit() else -1
                keys[-1 if key_id in keys else key_id] = bytes.fromhex(digits)
            except ValueError:
                keys[-1] = b""
            if not all(0 <= key < 256 and len(secret) >= 16 for key, secret in keys.items()):
                raise SettingsError("MAILSHOT_KEYS is malformed.", "Write 'id:hex' with an id of 0-255 and 32+ digits.")
        return cls(keys)

    def fingerprint(self, mailbox: str) -> int:
        """Return a 40-bit fingerprint of a mailbox for use in tokens."""
        return self._fingerprint(self._signer, mailbox)

    def is_fingerprint(self, number: int, mailbox: str) -> bool:
        """Return whether `number` is the fingerprint of a mailbox under any of the keys."""
        return number in {self._fingerprint(key, mailbox) for key, _ in self._derived}

    def sign(self, purpose: Purpose, *ids: int) -> str:
        """Return a token that carries `ids` (each 0 or more) for `purpose`."""
        return urlsafe_b64encode(self._signed(purpose, ids)).rstrip(b"=").decode()

    def verify(self, purpose: Purpose, token: str) -> tuple[int, ...] | None:
        """Return the ids of a valid token for `purpose`, None for any other text."""
        if not token.isascii() or len(token) > MAX_CHARACTERS:
            return None
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return None
        canonical = urlsafe_b64encode(raw).rstrip(b"=").decode() == token
        return self._ids_of(purpose, raw) if canonical else None

    def sign_local_part(self, purpose: Purpose, *ids: int) -> str:
        """Return the local part of an address that carries `ids`, for a purpose of `PREFIXES`: at most 64 octets."""
        return f"{PREFIXES[purpose]}+{_base32(self._signed(purpose, ids))}"

    def verify_local_part(self, local_part: str) -> tuple[Purpose, tuple[int, ...]] | None:
        """Return purpose and ids of a local part in upper or lower case, None when it carries no valid token."""
        prefix, _, token = local_part.strip().lower().partition("+")
        purpose = next((purpose for purpose, known in PREFIXES.items() if known == prefix), None)
        if purpose is None or not token.isascii() or len(token) > MAX_CHARACTERS:
            return None
        try:
            raw = b32hexdecode(token.upper() + "=" * (-len(token) % 8))
        except ValueError:
            return None
        ids = self._ids_of(purpose, raw) if _base32(raw) == token else None
        return None if ids is None else (purpose, ids)

    def _fingerprint(self, key: int, mailbox: str) -> int:
        digest = hmac.digest(self._derived[key, Purpose.preferences], b"mailbox/" + mailbox.encode(), "sha256")
        return int.from_bytes(digest[:FINGERPRINT_BYTES])

    def _signed(self, purpose: Purpose, ids: Sequence[int]) -> bytes:
        body = bytes((VERSION, self._signer)) + b"".join(map(_varint, ids))
        return body + hmac.digest(self._derived[self._signer, purpose], body, "sha256")[:TAG_BYTES]

    def _ids_of(self, purpose: Purpose, raw: bytes) -> tuple[int, ...] | None:
        body, tag = raw[:-TAG_BYTES], raw[-TAG_BYTES:]
        key = self._derived.get((body[1], purpose)) if len(body) > 2 and body[0] == VERSION else None
        # Compute a digest even without a key, so that the time reveals nothing.
        expected = hmac.digest(key or bytes(32), body, "sha256")[:TAG_BYTES]
        genuine = hmac.compare_digest(expected, tag) and key is not None
        return _ids(body[2:]) if genuine else None


def candidates(token: str) -> list[str]:
    """Return what the token of a link may have been before a mail program appended something, the likeliest first.

    Any other character ends a token; a dash or an underscore at the end may belong to it or not.
    """
    match = _TOKEN.match(token)
    if match is None:
        return []
    return list(dict.fromkeys((match[0], match[0].rstrip("-_"))))


def _base32(raw: bytes) -> str:
    return b32hexencode(raw).rstrip(b"=").decode().lower()


# All tokens of one mail carry the same ids.
@lru_cache(maxsize=4096)
def _varint(value: int) -> bytes:
    if value < 0:
        raise ValueError("an id is 0 or more")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _ids(data: bytes) -> tuple[int, ...]:
    ids, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            ids.append(value)
            value, shift = 0, 0
    return tuple(ids)
