"""Owns the stable random number of a customer, for shares and holdouts; refuses to know any customer."""

from __future__ import annotations

import hashlib


def draw(key: str) -> int:
    """Return a number of 31 bits that the customer's key alone decides, the same on every machine and for ever."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4, person=b"mailshot lot").digest(), "big") >> 1
