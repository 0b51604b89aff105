"""Owns how often one token and one address may ask; refuses to remember more than two windows of time.

The library's own memory storage looks through every key on every request, which a campaign's worth of tokens in one
minute would turn into the slowest part of an answer. This one forgets a whole window at once.
"""

from __future__ import annotations

import time
from typing import Any

from limits import RateLimitItem, parse
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter
from starlette.exceptions import HTTPException

WINDOW = 60  # seconds
RETRY = {"Retry-After": str(WINDOW)}


class Windows(Storage):
    """Counts in fixed windows of a minute, in memory of this process."""

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._window = 0
        self._counts: dict[str, int] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1, **_: Any) -> int:
        self._turn()
        self._counts[key] = self._counts.get(key, 0) + amount
        return self._counts[key]

    def get(self, key: str) -> int:
        self._turn()
        return self._counts.get(key, 0)

    def get_expiry(self, key: str) -> float:
        return float((self._window + 1) * WINDOW)

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        counted = len(self._counts)
        self._counts.clear()
        return counted

    def clear(self, key: str) -> None:
        self._counts.pop(key, None)

    def _turn(self) -> None:
        window = int(time.time()) // WINDOW
        if window != self._window:
            self._window, self._counts = window, {}


class Rates:
    """The limits of one process, each 'n/minute': of a token, of an address on pages, of an address behind mails.

    Image proxies and mail providers fetch for thousands of customers from a few addresses, hence the third.
    """

    def __init__(self, tokens: str = "120/minute", pages: str = "600/minute", mails: str = "60000/minute") -> None:
        self._limiter = FixedWindowRateLimiter(Windows())
        self.tokens, self.pages, self.mails = parse(tokens), parse(pages), parse(mails)

    def take(self, rate: RateLimitItem, *who: str) -> None:
        """Count one request. Raises 429 when it is one too many."""
        if not self._limiter.hit(rate, *who):
            raise HTTPException(429, "Too many requests. Please try again in a minute.", RETRY)
