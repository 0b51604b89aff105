"""Signs the bytes of a mail with DKIM (RFC 6376), with RSA or Ed25519 (RFC 8463).

The same bytes, keys and date give the same signature: RSA PKCS#1 v1.5 and Ed25519 use no randomness, and `t=` is the
date of the mail. Header and body are canonicalised as "relaxed", because relays fold headers and trim lines anew. There
is no `l=`: with it, anyone could add to a signed body (RFC 6376 section 8.2). Start at `sign`.
"""

from __future__ import annotations

import base64
import hashlib
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

CRLF = b"\r\n"
#: Named once more than they occur: a header that is added later breaks the signature (RFC 6376 section 8.15).
OVERSIGNED = ("From", "To", "Subject", "Date", "Reply-To")
#: Signed where they occur. Yahoo wants both List-Unsubscribe headers signed, Gmail also Feedback-ID.
SIGNED = (
    "Message-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "List-Id", "List-Unsubscribe",
    "List-Unsubscribe-Post", "Feedback-ID", "CFBL-Address", "CFBL-Feedback-ID",
)  # fmt: skip
#: Characters of a folded line after its blank: with `b=`, it stays below 78 octets.
_WIDTH = 74
_FIELD_END = re.compile(rb"\r\n(?![ \t])")
_BLANKS = re.compile(rb"[ \t]{2,}|\t")
_FOLD = re.compile(rb"\r\n(?=[ \t])")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with the place of its public half in DNS."""

    #: In A-labels.
    domain: str
    selector: str
    #: `rsa-sha256` or `ed25519-sha256`.
    algorithm: str
    #: Of the modulus; 256 for Ed25519.
    bits: int
    #: The TXT record of the public key, unsplit.
    record: str
    #: Signs a SHA-256 digest.
    sign_digest: Callable[[bytes], bytes]

    @property
    def dns_name(self) -> str:
        """Where verifiers look for the public key, without a dot at its end."""
        return record_name(self.domain, self.selector)


def record_name(domain: str, selector: str) -> str:
    """Return the DNS name of a public key (RFC 6376 section 3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


def sign(message: bytes, keys: Sequence[SigningKey], at: datetime) -> bytes:
    """Return a message with one DKIM-Signature of each key in front of its headers.

    `message` has CRLF line ends and a body. `at` becomes the time of signing.
    """
    head, _, body = message.partition(CRLF + CRLF)
    fields = [_relaxed_field(field) for field in _FIELD_END.split(head)]
    names, signed = _signed_fields(fields)
    body_hash = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest()).decode()
    lines = [_signature(key, names, signed, body_hash, int(at.timestamp())) for key in keys]
    return b"".join([*lines, message])


def relaxed_body(body: bytes) -> bytes:
    """Return a body with CRLF line ends in canonical form (RFC 6376 section 3.4.4)."""
    trimmed = _BLANKS.sub(b" ", body).replace(b" \r\n", CRLF).rstrip(b" ").rstrip(CRLF)
    return trimmed + CRLF if trimmed else b""


def _relaxed_field(field: bytes) -> bytes:
    """Return a header field in canonical form, without a line end (RFC 6376 section 3.4.2)."""
    name, _, value = field.partition(b":")
    return name.strip().lower() + b":" + _BLANKS.sub(b" ", _FOLD.sub(b"", value)).strip(b" ")


def _signed_fields(fields: Sequence[bytes]) -> tuple[list[str], bytes]:
    """Return the names for `h=`, and the fields that they stand for, the last of a name first."""
    by_name: dict[bytes, list[bytes]] = {}
    for field in fields:
        by_name.setdefault(field.partition(b":")[0], []).append(field)
    names: list[str] = []
    signed: list[bytes] = []
    for name in (*OVERSIGNED, *SIGNED):
        present = by_name.get(name.lower().encode(), [])
        names += [name] * (len(present) + (name in OVERSIGNED))
        signed += reversed(present)
    return names, b"".join(field + CRLF for field in signed)


def _signature(key: SigningKey, names: Sequence[str], signed: bytes, body_hash: str, at: int) -> bytes:
    """Return the header field, with its line end."""
    lines = [
        f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/relaxed; t={at};",
        f"d={key.domain}; s={key.selector};",
        *_folded(f"h={': '.join(names)};"),
        f"bh={body_hash};",
        "b=",
    ]
    unsigned = "\r\n ".join(lines)
    digest = hashlib.sha256(signed + _relaxed_field(unsigned.encode("ascii"))).digest()
    signature = base64.b64encode(key.sign_digest(digest)).decode()
    pieces = (signature[start : start + _WIDTH] for start in range(0, len(signature), _WIDTH))
    return "\r\n ".join([unsigned + next(pieces), *pieces, ""]).rstrip(" ").encode("ascii")


def _folded(names: str) -> list[str]:
    return textwrap.wrap(names, _WIDTH, break_long_words=False, break_on_hyphens=False)
