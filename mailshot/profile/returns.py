"""Which purchases were sent back: matches returned lines (quantity below zero) with what was bought before them.

Returns are matched in the order in which they came, each with what the same customer had bought of the same product by
then and not returned yet: first in its own order, then at the price that was refunded, then the latest. So what is
known of a past day is the same whether the later lines are there or not, and the order of imports changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from mailshot.profile.customer import Activity

PLACES = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class PurchaseLine:
    """A line as imported: a purchase, or a return (quantity below zero); `product` is any key of the product."""

    order: str
    product: object
    at: datetime
    quantity: Decimal
    amount: Decimal
    channel: str

    @property
    def returns(self) -> bool:
        return self.quantity < 0

    @property
    def buys(self) -> bool:
        """Whether it is a purchase. Without quantity it is one if money was paid: goods by weight are rounded to 0."""
        return self.quantity > 0 or (self.quantity == 0 and self.amount > 0)


@dataclass(frozen=True, slots=True)
class LinePart:
    """So much of the purchase with index `line`. `returned_at` is None for what was kept."""

    line: int
    quantity: Decimal
    amount: Decimal
    returned_at: datetime | None


@dataclass(slots=True)
class _Open:
    """What is left of a purchase; `turn` is its place among the lines of its product."""

    line: PurchaseLine
    index: int
    turn: int
    quantity: Decimal
    amount: Decimal

    def taken(self, quantity: Decimal, refund: Decimal, at: datetime) -> LinePart:
        """Remove a quantity. The last item of a purchase removes all remaining money, too."""
        amount = self.amount if quantity == self.quantity else refund
        self.quantity, self.amount = self.quantity - quantity, self.amount - amount
        return LinePart(self.index, quantity, amount, at)


def split_lines(lines: Sequence[PurchaseLine]) -> list[LinePart]:
    """Return what became of the purchases among the lines of one customer, in parts that add up to each of them."""
    products: dict[object, list[int]] = {}
    for index, line in enumerate(lines):
        products.setdefault(line.product, []).append(index)
    parts: list[LinePart] = []
    for indices in products.values():
        parts += _of_product(lines, indices)
    return parts


def _of_product(lines: Sequence[PurchaseLine], indices: list[int]) -> Iterator[LinePart]:
    if not any(lines[index].returns for index in indices):
        yield from (
            LinePart(index, lines[index].quantity, lines[index].amount, None) for index in indices if lines[index].buys
        )
        return
    left: list[_Open] = []
    for turn, index in enumerate(sorted(indices, key=lambda index: _turn(lines[index]))):
        line = lines[index]
        if line.returns:
            yield from _taken(left, line)
        elif line.buys:
            left.append(_Open(line, index, turn, line.quantity, line.amount))
    yield from (
        LinePart(purchase.index, purchase.quantity, purchase.amount, None)
        for purchase in left
        if _whole_or_some(purchase)
    )


def _whole_or_some(purchase: _Open) -> bool:
    return purchase.quantity > 0 or purchase.line.quantity == 0


def _taken(left: list[_Open], line: PurchaseLine) -> Iterator[LinePart]:
    """Give the parts that a return takes off what is left."""
    quantity, refund = -line.quantity, abs(line.amount)

    def fitting(purchase: _Open) -> tuple[bool, bool, datetime, int]:
        same_price = purchase.line.amount * -line.quantity == abs(line.amount) * purchase.line.quantity
        return purchase.line.order == line.order, same_price, purchase.line.at, purchase.turn

    for purchase in sorted((purchase for purchase in left if purchase.quantity > 0), key=fitting, reverse=True):
        if not quantity:
            return
        some = min(quantity, purchase.quantity)
        share = refund if some == quantity else (refund * some / quantity).quantize(PLACES)
        yield purchase.taken(some, share, line.at)
        quantity, refund = quantity - some, refund - share


def _turn(line: PurchaseLine) -> tuple[datetime, bool, str, Decimal, Decimal, str]:
    """Order by what lines say alone, so that it is the same in every database and after every import."""
    return line.at, line.returns, line.order, line.quantity, line.amount, line.channel


def kept_purchases(lines: Sequence[Activity]) -> list[Activity]:
    """Return the purchases among a customer's lines, in parts where something was returned; all in order of time."""
    if all(line.quantity is None or line.quantity > 0 for line in lines):
        return list(lines)
    parts = (
        replace(lines[part.line], quantity=part.quantity, amount=part.amount, returned_at=part.returned_at)
        for part in split_lines([_line(line) for line in lines])
    )
    return sorted(parts, key=lambda line: line.at)


def returned(lines: Iterable[Activity]) -> list[Activity]:
    """Return the returns among a customer's lines, with quantities and amounts above zero."""
    return [
        replace(line, quantity=-line.quantity, amount=abs(line.amount or Decimal()))
        for line in lines
        if line.quantity is not None and line.quantity < 0
    ]


def _line(line: Activity) -> PurchaseLine:
    product = line.product["key"] if line.product else None
    quantity = Decimal(1) if line.quantity is None else line.quantity
    channel = str(line.about.get("channel") or "")
    return PurchaseLine(line.occasion, product, line.at, quantity, line.amount or Decimal(), channel)
