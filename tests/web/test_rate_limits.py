"""Checks the counting of requests."""

from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException

from mailshot.web.rate_limits import FixedWindowStorage, RequestLimits


def test_a_limit_applies_to_its_own_key_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailshot.web.rate_limits.time.time", lambda: 1_000_000.0)
    rates = RequestLimits(tokens="3/minute")
    for _ in range(3):
        rates.count_request(rates.tokens, "token", "a")
    with pytest.raises(HTTPException) as refusal:
        rates.count_request(rates.tokens, "token", "a")
    assert refusal.value.status_code == 429
    assert (refusal.value.headers or {})["Retry-After"] == "60"
    rates.count_request(rates.tokens, "token", "b")


def test_a_new_minute_forgets_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = FixedWindowStorage()
    now = [1_000_000.0]
    monkeypatch.setattr("mailshot.web.rate_limits.time.time", lambda: now[0])
    assert [windows.incr("a", 60) for _ in range(3)] == [1, 2, 3]
    now[0] += 60
    assert windows.get("a") == 0
    assert windows.incr("a", 60) == 1
