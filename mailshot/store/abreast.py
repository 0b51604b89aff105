"""Owns asking several connections side by side, each about some of the customers; refuses to know what is asked.

SQLite works on one core for each connection, and PostgreSQL looks at customers one by one on one core too.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mailshot.store.engine import Connection, Store

LEAST = 50_000  # ids; for fewer a second connection is not worth opening


def total(store: Store, counted: Callable[[Connection, range], int], ids: range) -> int:
    """Add up what is counted of each part of the ids. Every connection sees the moment at which it begins."""

    def part(some: range) -> int:
        with store.read() as connection:
            return counted(connection, some)

    some = parts(ids, min(store.readers, -(-len(ids) // LEAST)))
    with ThreadPoolExecutor(max(len(some), 1)) as pool:
        return sum(pool.map(part, some))


def parts(ids: range, number: int) -> list[range]:
    """Cut a range into so many of about the same length; none of them is empty."""
    step = -(-len(ids) // max(number, 1))
    return [ids[start : start + step] for start in range(0, len(ids), step)] if step else []
