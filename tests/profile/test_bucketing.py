"""Checks that lots are stable, small and even."""

from __future__ import annotations

from mailshot.profile import bucketing


def test_a_lot_is_decided_by_the_key_alone() -> None:
    assert bucketing.bucket("42") == bucketing.bucket("42")
    assert bucketing.bucket("42") != bucketing.bucket("43")
    assert all(0 <= bucketing.bucket(str(n)) < 2**31 for n in range(1000))


def test_lots_are_spread_evenly() -> None:
    shares = [0] * 10
    for n in range(20_000):
        shares[bucketing.bucket(str(n)) % 10] += 1
    assert all(1_800 < share < 2_200 for share in shares)
