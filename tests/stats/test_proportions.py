"""Checks intervals against published figures, and that few customers are called few."""

from __future__ import annotations

from random import Random

import pytest

from mailshot.stats import proportions


def test_wilson_and_newcombe_as_published() -> None:
    """Newcombe (1998), tables I and II: 81 of 263, and 56 of 70 against 48 of 80 by method 10."""
    share = proportions.proportion(263, 81)
    assert (round(share.low, 4), round(share.high, 4)) == (0.2553, 0.3662)
    difference = proportions.difference((70, 56), (80, 48))
    assert (round(difference.value, 4), round(difference.low, 4), round(difference.high, 4)) == (0.2, 0.0524, 0.3339)
    assert difference.enough
    assert not difference.could_be_chance


@pytest.mark.parametrize("counted", [((0, 0), (10, 5)), ((10, 5), (0, 0)), ((400, 4), (400, 200)), ((9, 5), (9, 5))])
def test_few_are_too_few_to_compare(counted: tuple[tuple[int, int], tuple[int, int]]) -> None:
    assert not proportions.difference(*counted).enough


def test_nobody_is_no_share_and_no_mean() -> None:
    assert (
        proportions.proportion(0, 0) == proportions.mean(0, 0.0, 0.0) == proportions.pooled([]) == proportions.NOTHING
    )
    assert [proportions.proportion(29, hits).enough for hits in (0, 4, 5, 24, 25, 29)] == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]
    assert proportions.proportion(30, 0).low == 0.0
    assert proportions.proportion(30, 30).high == 1.0


def test_a_mean_is_the_mean_and_reaches_two_standard_errors() -> None:
    drawn = [float(n) for n in range(100)]
    mean = proportions.mean(100, sum(drawn), sum(value * value for value in drawn))
    assert mean.value == 49.5
    assert mean.high - mean.value == pytest.approx(1.96 * 29.01149 / 10, rel=1e-4)
    assert proportions.mean(1, 7.0, 49.0).high == 7.0


def test_one_pair_pooled_is_the_plain_difference() -> None:
    pooled = proportions.pooled([((100, 40), (50, 10))])
    assert pooled.value == pytest.approx(0.2)
    assert pooled.high - pooled.value == pytest.approx(1.959964 * (0.4 * 0.6 / 100 + 0.2 * 0.8 / 50) ** 0.5)


def test_pooling_compares_only_within_a_pair() -> None:
    """Everyone's share is the same in each pair; the sums alone would show 50 points (Simpson's paradox)."""
    pooled = proportions.pooled([((900, 810), (100, 90)), ((100, 10), (900, 90)), ((5, 5), (0, 0))])
    assert pooled.value == pytest.approx(0.0)
    assert pooled.could_be_chance


def test_pooled_intervals_cover_the_truth_as_often_as_they_say() -> None:
    chance = Random(7)

    def drawn(size: int, share: float) -> tuple[int, int]:
        return size, sum(chance.random() < share for _ in range(size))

    covered = 0
    for _ in range(400):
        pairs = [
            (drawn(n1, base + 0.1), drawn(n0, base)) for n1, n0, base in ((40, 15, 0.1), (120, 30, 0.3), (12, 50, 0.2))
        ]
        pooled = proportions.pooled(pairs)
        covered += pooled.low <= 0.1 <= pooled.high
    assert 0.92 <= covered / 400 <= 0.98
