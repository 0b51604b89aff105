"""Limits the number of requests per token and per client address.

The in-memory storage of `limits` scans all keys on every request. With the tokens of a whole campaign in one
minute, that would be the slowest part of a response. This storage discards a whole window at once.
"""

from __future__ import annotations

import time
from typing import Any

from limits import RateLimitItem, parse
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter
from starlette.exceptions import HTTPException

MINUTE_SECONDS = 60


class FixedWindowStorage(Storage):
    """Counts requests in fixed windows of time, in memory: only the current window of each length is kept."""

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        #: Length in seconds -> (number of the window since 1970, requests by key).
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

    `tokens`: per token. `pages`: per client address on preference pages. `mails`: per client address for pixels, links
    and unsubscribing; higher, because mail providers fetch for thousands of customers from a few addresses. `exports`:
    downloads per customer.
    """

    def __init__(
        self,
        tokens: str = "120/minute",
        pages: str = "600/minute",
        mails: str = "60000/minute",
        exports: str = "5/hour",
    ) -> None:
        self._limiter = FixedWindowRateLimiter(FixedWindowStorage())
        self.tokens, self.pages, self.mails, self.exports = map(parse, (tokens, pages, mails, exports))

    def count_request(self, rate: RateLimitItem, *key: str) -> None:
        """Count one request for a key. Raises HTTPException(429) above the limit."""
        if not self._limiter.hit(rate, *key):
            wait = "an hour" if rate.get_expiry() > MINUTE_SECONDS else "a minute"
            retry = {"Retry-After": str(rate.get_expiry())}
            raise HTTPException(429, f"Too many requests. Please try again in {wait}.", retry)
