"""Assigns customers to stable random buckets, the same on every machine and in SQL.

Each customer has a random number, computed once by hashing the key. A salt (the name of the campaign or experiment)
selects one of a family of pairwise independent hash functions (a * number + b mod p, Carter and Wegman 1979), so that
being held out of one campaign says nothing about the next. All numbers stay below 2^62, so both databases compute the
same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

PRIME = 2_147_483_647
PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Assigner:
    """The hash function of one salt. Works on whole numbers and on SQL expressions alike."""

    factor: int
    offset: int

    def part(self, lot: Any) -> Any:
        """Return 0 to 9,999."""
        return (lot * self.factor + self.offset) % PRIME % PARTS


def assigner(salt: str) -> Assigner:
    """Return the hash function that `salt` chooses."""
    digest = hashlib.blake2b(salt.encode(), digest_size=16).digest()
    factor = int.from_bytes(digest[:8], "big") % (PRIME - 1) + 1
    return Assigner(factor, int.from_bytes(digest[8:], "big") % PRIME)


def holdout(campaign: str) -> Assigner:
    """Return the hash function that decides who is held out of a campaign: the parts below its share."""
    return assigner(f"holdout:{campaign}")


def bucket(key: str) -> int:
    """Return a customer's lot, 0 to 2^31 - 2, from the key in the shop's system."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") % PRIME
