"""Owns choosing the products each mail offers: own favourites first, then what others buy; refuses barred ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from mailshot.audience.compile import Compiler
from mailshot.facts.product_filters import ProductFilter
from mailshot.store import offers, profiles
from mailshot.store.engine import Connection
from mailshot.store.offers import Forbidden

# So few customers at a time that memory does not grow with the audience.
SLICE = 10_000
# What others buy: this many products are looked at, as they sold in this span.
POPULAR = 300
LATELY = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class OfferSpec:
    """One offers entry: which contents use it, from which products, how many at most and at least."""

    contents: tuple[str, ...]
    products: ProductFilter
    since: datetime
    take: int
    at_least: int
    fill: bool


def choose(
    connection: Connection, compiled: Compiler, plan_id: str, demand: OfferSpec, forbidden: Sequence[Forbidden]
) -> None:
    """Write the offers of every customer of a plan whose content asks for them."""
    popular = _PopularProducts(connection, compiled, demand, [never for _, never in forbidden])
    last = 0
    while wanting := offers.next_customers(connection, compiled, plan_id, demand.contents, forbidden, last, SLICE):
        last = wanting[-1][0]
        customers = [customer_id for customer_id, _ in wanting]
        own = offers.bought(connection, compiled, demand.products, demand.since, customers, forbidden, 3 * demand.take)
        names = profiles.names(connection, {product for bought in own.values() for product, _ in bought})
        offers.keep(connection, plan_id, _filled(own, wanting, popular, demand, names | popular.names))


class _PopularProducts:
    """What others buy, less what the guards that apply to a customer forbid."""

    def __init__(
        self, connection: Connection, compiled: Compiler, demand: OfferSpec, never: Sequence[ProductFilter]
    ) -> None:
        since = max(demand.since, compiled.as_of - LATELY)
        ranked = offers.popular(connection, demand.products, since, compiled.as_of, POPULAR) if demand.fill else []
        facts = profiles.products(connection, ranked)
        self.names = profiles.names(connection, ranked)
        self._ranked = [(product_id, [one.matches(facts[product_id]) for one in never]) for product_id in ranked]

    @cache  # noqa: B019  (lives as long as one plan)
    def without(self, flags: tuple[bool, ...]) -> list[int]:
        """Return the popular products for a customer to whom the guards marked in `flags` apply."""
        return [
            product_id
            for product_id, barred in self._ranked
            if not any(applies and bars for applies, bars in zip(flags, barred, strict=True))
        ]


def _filled(
    own: dict[int, list[tuple[int, int]]],
    wanting: Sequence[tuple[int, tuple[bool, ...]]],
    popular: _PopularProducts,
    demand: OfferSpec,
    names: Mapping[int, str],
) -> Iterator[tuple[int, list[list[int]], int]]:
    for customer_id, flags in wanting:
        candidates = [*own.get(customer_id, ()), *((product, 0) for product in popular.without(flags))]
        # Two products of one name look like the same offer twice.
        chosen: dict[str, list[int]] = {}
        for product, times in candidates:
            chosen.setdefault(names.get(product, str(product)), [product, times])
        yield customer_id, list(chosen.values())[: demand.take], demand.at_least
