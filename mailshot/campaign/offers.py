"""Owns choosing the products each mail offers: own favourites first, then what others buy; refuses barred ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailshot.audience.compile import Compiler
from mailshot.profile.products import Selection
from mailshot.store import offers
from mailshot.store.engine import Connection
from mailshot.store.offers import Forbidden

SLICE = 20_000


@dataclass(frozen=True, slots=True)
class Demand:
    """One offers entry: which contents use it, from which products, how many at most and at least."""

    contents: tuple[str, ...]
    products: Selection
    since: datetime
    take: int
    at_least: int
    fill: bool


def choose(
    connection: Connection, compiled: Compiler, plan_id: str, demand: Demand, forbidden: Sequence[Forbidden]
) -> None:
    """Write the offers of every customer of a plan whose content asks for them."""
    popular: dict[tuple[bool, ...], list[int]] = {}
    last = 0
    # In slices of customers, so that memory does not grow with the audience.
    while wanting := offers.wanting(connection, compiled, plan_id, demand.contents, forbidden, last, SLICE):
        first, last = wanting[0][0], wanting[-1][0]
        own = offers.bought(connection, compiled, demand.products, demand.since, (first, last), forbidden, demand.take)
        for flags in {flags for _, flags in wanting} - popular.keys():
            popular[flags] = _popular(connection, compiled, demand, forbidden, flags)
        offers.keep(connection, plan_id, _filled(own, wanting, popular, demand))


def _popular(
    connection: Connection, compiled: Compiler, demand: Demand, forbidden: Sequence[Forbidden], flags: tuple[bool, ...]
) -> list[int]:
    if not demand.fill:
        return []
    without = [never for (_, never), applies in zip(forbidden, flags, strict=True) if applies]
    return offers.popular(connection, demand.products, demand.since, compiled.as_of, without, 2 * demand.take)


def _filled(
    own: dict[int, list[tuple[int, int]]],
    wanting: Sequence[tuple[int, tuple[bool, ...]]],
    popular: dict[tuple[bool, ...], list[int]],
    demand: Demand,
) -> Iterator[tuple[int, list[list[int]], int]]:
    for customer_id, flags in wanting:
        chosen = [[product, times] for product, times in own.get(customer_id, ())]
        known = {product for product, _ in chosen}
        chosen += [[product, 0] for product in popular[flags] if product not in known]
        yield customer_id, chosen[: demand.take], demand.at_least
