"""Checks that the statistics behind traits find what simulated customers were made of, and bear odd input."""

from __future__ import annotations

import random

import pytest

from mailshot.stats import beta_binomial
from mailshot.stats.beta_binomial import Prior


def simulated(mean: float, spread: float, abstain: float, customers: int = 4000) -> list[tuple[int, int]]:
    chance = random.Random(1)
    base, counts = Prior(mean, spread, abstain), []
    for _ in range(customers):
        lines = chance.randint(20, 300)
        share = 0.0 if chance.random() < abstain else chance.betavariate(base.alpha, base.beta)
        counts.append((lines, sum(chance.random() < share for _ in range(lines))))
    return counts


@pytest.mark.parametrize(("mean", "spread", "abstain"), [(0.15, 0.03, 0.05), (0.3, 0.1, 0.2), (0.1, 0.02, 0.01)])
def test_the_fit_finds_what_the_customers_were_made_of(mean: float, spread: float, abstain: float) -> None:
    base = beta_binomial.fit(simulated(mean, spread, abstain))
    assert base is not None
    assert base.mean == pytest.approx(mean, rel=0.1)
    assert base.spread == pytest.approx(spread, rel=0.35)
    assert base.abstain == pytest.approx(abstain, abs=0.02)


def test_more_lines_without_any_are_surer() -> None:
    base = Prior(0.15, 0.05, 0.05)
    sure = [base.abstains(lines) for lines in range(0, 2000, 10)]
    assert sure == sorted(sure)
    assert sure[0] == pytest.approx(0.05)
    assert sure[-1] > 0.99
    chances = [base.exceeds(100, hits, 1.5) for hits in range(101)]
    assert chances == sorted(chances)
    assert 0 <= chances[0] < chances[-1] <= 1


@pytest.mark.parametrize("counts", [[], [(0, 0)], [(10, 0)] * 5, [(10, 10)] * 5])
def test_without_variety_nothing_is_concluded(counts: list[tuple[int, int]]) -> None:
    assert beta_binomial.fit(counts) is None


@pytest.mark.parametrize(
    "counts", [[(1, 0), (1, 1)], [(5, 1)], [(10, 0), (10, 10)], [(10**6, 1), (1, 0)], [(100, 99)] * 3]
)
def test_odd_bases_give_probabilities(counts: list[tuple[int, int]]) -> None:
    base = beta_binomial.fit(counts)
    if base is not None:
        for lines in (0, 1, 10**6):
            assert 0 <= base.abstains(lines) <= 1
            assert 0 <= base.exceeds(lines + 1, 1, 1.5) <= 1
