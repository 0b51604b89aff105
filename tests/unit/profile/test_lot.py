"""Checks that lots are stable, small and even."""

from __future__ import annotations

from mailshot.profile import lot


def test_a_lot_is_decided_by_the_key_alone() -> None:
    assert lot.bucket("42") == lot.bucket("42")
    assert lot.bucket("42") != lot.bucket("43")
    assert all(0 <= lot.bucket(str(n)) < 2**31 for n in range(1000))


def test_lots_are_spread_evenly() -> None:
    shares = [0] * 10
    for n in range(20_000):
        shares[lot.bucket(str(n)) % 10] += 1
    assert all(1_800 < share < 2_200 for share in shares)
