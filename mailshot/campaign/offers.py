"""Owns choosing the products each mail offers: the customer's own favourites first, then what others buy; never a barred one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailshot.audience.compile import Compiler
from mailshot.profile.products import Selection
from mailshot.store import offers
from mailshot.store.engine import Connection
from mailshot.store.offers import Forbidden


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
    own = offers.bought(
        connection, compiled, plan_id, demand.contents, demand.products, demand.since, forbidden, demand.take
    )
    wanting = list(offers.wanting(connection, compiled, plan_id, demand.contents, forbidden))
    barred = {flags for _, flags in wanting}
    popular = {flags: _popular(connection, compiled, demand, forbidden, flags) for flags in barred}
    offers.keep(connection, plan_id, _filled(dict(own), wanting, popular, demand))


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
