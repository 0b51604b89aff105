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

MINUTE = 60  # seconds


class Windows(Storage):
    """Counts in fixed windows, in memory of this process: for each length of window the present one alone."""

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[int, tuple[int, dict[str, int]]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1, **_: Any) -> int:
        counts = self._counts(int(expiry))
        counts[key] = counts.get(key, 0) + amount
        return counts[key]

    def get(self, key: str) -> int:
        return max((self._counts(length).get(key, 0) for length in self._windows), default=0)

    def get_expiry(self, key: str) -> float:
        ends = (float((window + 1) * length) for length, (window, counts) in self._windows.items() if key in counts)
        return max(ends, default=time.time())

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        counted = sum(len(counts) for _, counts in self._windows.values())
        self._windows.clear()
        return counted

    def clear(self, key: str) -> None:
        for _, counts in self._windows.values():
            counts.pop(key, None)

    def _counts(self, length: int) -> dict[str, int]:
        now = int(time.time()) // length
        window, counts = self._windows.get(length, (now, {}))
        if window != now:
            counts = {}
        self._windows[length] = now, counts
        return counts


class RequestLimits:
    """The limits of one process, each 'n/minute' or 'n/hour'.

    Of a token, of an address on pages, of an address behind mails, and of one customer's downloads. Image proxies and
    mail providers fetch for thousands of customers from a few addresses, hence the third.
    """

    def __init__(
        self,
        tokens: str = "120/minute",
        pages: str = "600/minute",
        mails: str = "60000/minute",
        exports: str = "5/hour",
    ) -> None:
        self._limiter = FixedWindowRateLimiter(Windows())
        self.tokens, self.pages, self.mails, self.exports = map(parse, (tokens, pages, mails, exports))

    def take(self, rate: RateLimitItem, *who: str) -> None:
        """Count one request. Raises 429 when it is one too many."""
        if not self._limiter.hit(rate, *who):
            wait = "an hour" if rate.get_expiry() > MINUTE else "a minute"
            retry = {"Retry-After": str(rate.get_expiry())}
            raise HTTPException(429, f"Too many requests. Please try again in {wait}.", retry)
