"""Chooses the products that each mail offers: what the customer bought most, then what others buy.

Products that a guard forbids for the customer are never offered.
"""

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

#: Customers handled at a time, so that memory does not grow with the audience.
SLICE = 10_000
#: How many popular products are considered, and in which span they count as sold.
MAX_POPULAR, POPULAR_WITHIN = 300, timedelta(days=90)


@dataclass(frozen=True, slots=True)
class OfferSpec:
    """One offers entry of a campaign."""

    #: The contents that use it.
    contents: tuple[str, ...]
    products: ProductFilter
    #: Purchases from then on count.
    since: datetime
    #: Offers per mail, at most and at least; with fewer the customer gets no mail.
    take: int
    at_least: int
    #: Add popular products where the customer bought too few.
    fill: bool


def choose(
    connection: Connection, compiled: Compiler, plan_id: str, demand: OfferSpec, forbidden: Sequence[Forbidden]
) -> None:
    """Store the offers of each customer of a plan whose content has offers."""
    popular = _PopularProducts(connection, compiled, demand, [never for _, never in forbidden])
    last = 0
    while wanting := offers.next_customers(connection, compiled, plan_id, demand.contents, forbidden, last, SLICE):
        last = wanting[-1][0]
        customers = [customer_id for customer_id, _ in wanting]
        own = offers.most_bought(
            connection, compiled, demand.products, demand.since, customers, forbidden, 3 * demand.take
        )
        names = profiles.names(connection, {product for bought in own.values() for product, _ in bought})
        offers.write_offers(connection, plan_id, _filled(own, wanting, popular, demand, names | popular.names))


class _PopularProducts:
    """What others buy, without what the guards that apply to a customer forbid."""

    def __init__(
        self, connection: Connection, compiled: Compiler, demand: OfferSpec, never: Sequence[ProductFilter]
    ) -> None:
        since = max(demand.since, compiled.as_of - POPULAR_WITHIN)
        ranked = offers.popular(connection, demand.products, since, compiled.as_of, MAX_POPULAR) if demand.fill else []
        facts = profiles.products(connection, ranked)
        self.names = profiles.names(connection, ranked)
        self._ranked = [(product_id, [bar.matches(facts[product_id]) for bar in never]) for product_id in ranked]

    @cache  # noqa: B019  (lives as long as one plan)
    def without(self, flags: tuple[bool, ...]) -> list[int]:
        """Return the ids of popular products for a customer; `flags` says which guards apply."""
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
        # Two products with the same name would look like the same offer twice.
        chosen: dict[str, list[int]] = {}
        for product, times in candidates:
            chosen.setdefault(names.get(product, str(product)), [product, times])
        yield customer_id, list(chosen.values())[: demand.take], demand.at_least
