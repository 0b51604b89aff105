"""A zero-inflated beta-binomial model of how often customers buy a kind of product.

Customers differ in how often they buy a thing, so the share of, say, meat lines among food lines follows a beta
distribution over the customers, and one customer's count a beta-binomial (Skellam 1948). Some customers never buy it
on purpose: with probability `abstain` a customer is one of those, and the others follow the beta-binomial. Fitting
this mixture to all customers gives the probability that "0 of 212" is abstention and not chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, lgamma, sqrt
from statistics import NormalDist

ROUNDS = 60
MIN_SPREAD, MAX_SPREAD = 1e-4, 0.9


@dataclass(frozen=True, slots=True)
class Prior:
    """The fitted model: mean share and spread (intra-class correlation, 0 to 1) of buyers, share of abstainers."""

    mean: float
    spread: float
    abstain: float

    @property
    def alpha(self) -> float:
        return self.mean * (1 - self.spread) / self.spread

    @property
    def beta(self) -> float:
        return (1 - self.mean) * (1 - self.spread) / self.spread

    def chance_of_none(self, lines: int) -> float:
        """Return the probability that a buyer has none in `lines` lines."""
        alpha, beta = self.alpha, self.beta
        return exp(lgamma(beta + lines) + lgamma(alpha + beta) - lgamma(alpha + beta + lines) - lgamma(beta))

    def abstains(self, lines: int) -> float:
        """Return the probability that a customer with none in `lines` lines abstains (Bayes)."""
        chance = (1 - self.abstain) * self.chance_of_none(lines)
        return self.abstain / (self.abstain + chance) if self.abstain else 0.0

    def exceeds(self, lines: int, hits: int, times: float) -> float:
        """Return the probability that a customer's own share is more than `times` the mean.

        The posterior is Beta(alpha + hits, beta + misses); it is read through its normal approximation.
        """
        first, second = self.alpha + hits, self.beta + lines - hits
        total = first + second
        deviation = sqrt(first * second / (total * total * (total + 1)))
        return 1 - NormalDist(first / total, deviation).cdf(min(times * self.mean, 1.0))


def fit(counts: Iterable[tuple[int, int]]) -> Prior | None:
    """Fit the model to (lines, hits) of many customers; None if no customer ever bought it, or there is no variance.

    Expectation-maximisation: weigh each customer without a hit by how likely it is a buyer, then match the moments of
    the beta-binomial (Kleinman 1973) to the weighted counts.
    """
    seen = [(lines, hits) for lines, hits in counts if lines > 0]
    base = _moments(seen, [1.0] * len(seen), 0.01)
    for _ in range(ROUNDS):
        if base is None:
            return None
        known = {lines: base.abstains(lines) for lines in {lines for lines, hits in seen if not hits}}
        abstaining = [0.0 if hits else known[lines] for lines, hits in seen]
        share = min(max(sum(abstaining) / len(seen), 1e-6), 0.999)
        base = _moments(seen, [1 - weight for weight in abstaining], share)
    return base


def _moments(seen: Sequence[tuple[int, int]], weights: Sequence[float], abstain: float) -> Prior | None:
    lines = sum(weight * n for weight, (n, _) in zip(weights, seen, strict=True))
    hits = sum(weight * k for weight, (_, k) in zip(weights, seen, strict=True))
    if not hits or hits >= lines:
        return None
    mean = hits / lines
    scatter = sum(weight * n * (k / n - mean) ** 2 for weight, (n, k) in zip(weights, seen, strict=True))
    room = sum(weight * (n - 1) for weight, (n, _) in zip(weights, seen, strict=True))
    excess = scatter / (mean * (1 - mean)) - sum(weights)
    spread = excess / room if room > 0 else MIN_SPREAD
    return Prior(mean, min(max(spread, MIN_SPREAD), MAX_SPREAD), abstain)
