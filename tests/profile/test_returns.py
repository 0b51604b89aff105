"""Which purchases a return undoes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailshot.profile import returns
from mailshot.profile.returns import LinePart, PurchaseLine

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def line(
    day: int, quantity: str, amount: str, order: str = "", product: str = "lamp", channel: str = ""
) -> PurchaseLine:
    at = DAY + timedelta(days=day)
    return PurchaseLine(order or f"order of day {day}", product, at, Decimal(quantity), Decimal(amount), channel)


def kept(*lines: PurchaseLine) -> list[tuple[int, str, str]]:
    """Return the day, quantity and amount of what was bought and not returned."""
    parts = [part for part in returns.split_lines(lines) if part.returned_at is None]
    return sorted(
        ((lines[part.line].at - DAY).days, f"{part.quantity.normalize():f}", f"{part.amount.normalize():f}")
        for part in parts
    )


CASES = {
    "nothing returned": ([line(0, "1", "100")], [(0, "1", "100")]),
    "all of it": ([line(0, "1", "100"), line(5, "-1", "-100")], []),
    "one of two": ([line(0, "2", "200"), line(5, "-1", "-100")], [(0, "1", "100")]),
    "one after the other": ([line(0, "2", "200"), line(5, "-1", "-100"), line(6, "-1", "-100")], []),
    "two purchases at once": ([line(0, "1", "100"), line(1, "1", "100"), line(5, "-2", "-200")], []),
    "more than was bought": ([line(0, "1", "100"), line(5, "-3", "-300")], []),
    "never bought": ([line(5, "-1", "-100")], []),
    "another product": ([line(0, "1", "100"), line(5, "-1", "-100", product="bed")], [(0, "1", "100")]),
    "before it was bought": ([line(5, "1", "100"), line(0, "-1", "-100")], [(5, "1", "100")]),
    "at the same moment": ([line(0, "1", "100"), line(0, "-1", "-100")], []),
    "the latest": ([line(0, "1", "100"), line(1, "1", "100"), line(5, "-1", "-100")], [(0, "1", "100")]),
    "of its own order": ([line(0, "1", "100", "a"), line(1, "1", "100"), line(5, "-1", "-90", "a")], [(1, "1", "100")]),
    "at its own price": ([line(0, "1", "100"), line(1, "1", "80"), line(5, "-1", "-100")], [(1, "1", "80")]),
    "at the price of one": (
        [line(0, "3", "30"), line(1, "1", "8"), line(5, "-1", "-10")],
        [(0, "2", "20"), (1, "1", "8")],
    ),
    "bought again": ([line(0, "1", "100"), line(5, "-1", "-100"), line(6, "1", "100")], [(6, "1", "100")]),
    "for less money": ([line(0, "2", "200"), line(5, "-1", "-60")], [(0, "1", "140")]),
    "all of it for less money": ([line(0, "1", "100"), line(5, "-1", "-90")], []),
    "money without a sign": ([line(0, "2", "200"), line(5, "-1", "100")], [(0, "1", "100")]),
    "some of a pound": ([line(0, "1.5", "3"), line(5, "-0.5", "-1")], [(0, "1", "2")]),
    "a void": ([line(0, "0", "0")], []),
    "goods by weight": ([line(0, "0", "0.49")], [(0, "0", "0.49")]),
    "goods by weight, and a return": ([line(0, "0", "0.49"), line(5, "-1", "-1")], [(0, "0", "0.49")]),
    "a discount by itself": ([line(0, "0", "-5")], []),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_kept(name: str) -> None:
    lines, expected = CASES[name]
    assert kept(*lines) == expected
    assert kept(*reversed(lines)) == expected


QUANTITIES = st.sampled_from([Decimal(n) for n in ("-3", "-1", "-1", "-0.5", "0", "0.5", "1", "1", "2", "3")])
AMOUNTS = st.sampled_from([Decimal(n) for n in ("-10", "-3.3333", "-1", "0", "1", "3.3333", "10")])
LINES = st.lists(
    st.builds(
        PurchaseLine,
        st.sampled_from("abc"),
        st.sampled_from(("lamp", "bed")),
        st.integers(0, 5).map(lambda day: DAY + timedelta(days=day)),
        QUANTITIES,
        AMOUNTS,
        st.sampled_from(("", "web")),
    ),
    max_size=12,
)


def values(lines: list[PurchaseLine], parts: list[LinePart]) -> Counter[tuple[object, ...]]:
    return Counter((lines[part.line], part.quantity, part.amount, part.returned_at) for part in parts)


@given(LINES)
def test_the_parts_of_a_purchase_are_the_whole_purchase(lines: list[PurchaseLine]) -> None:
    parts = returns.split_lines(lines)
    for index, line in enumerate(lines):
        mine = [part for part in parts if part.line == index]
        assert bool(mine) is line.buys
        assert not line.buys or sum(part.quantity for part in mine) == line.quantity
        assert not line.buys or sum(part.amount for part in mine) == line.amount
        assert all(part.returned_at is None or part.returned_at >= line.at for part in mine)


@given(LINES)
def test_no_more_is_taken_off_than_was_returned_and_no_less_than_could_be(lines: list[PurchaseLine]) -> None:
    taken = [part for part in returns.split_lines(lines) if part.returned_at]
    for product in {line.product for line in lines}:
        stock = Decimal()
        expected: Counter[datetime] = Counter()
        for line in sorted(
            (candidate for candidate in lines if candidate.product == product),
            key=lambda candidate: (candidate.at, candidate.returns),
        ):
            if line.returns:
                back = min(stock, -line.quantity)
                expected[line.at] += back  # type: ignore[assignment]
                stock -= back
            else:
                stock += line.quantity
        returned: Counter[datetime] = Counter()
        for part in taken:
            if lines[part.line].product == product and part.returned_at:
                returned[part.returned_at] += part.quantity  # type: ignore[assignment]
        assert +returned == +expected


@given(LINES, st.randoms())
def test_the_order_of_lines_says_nothing(lines: list[PurchaseLine], chance: object) -> None:
    mixed = list(lines)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert values(mixed, returns.split_lines(mixed)) == values(lines, returns.split_lines(lines))


@given(LINES, st.integers(0, 6))
def test_what_comes_later_changes_nothing_that_was_known_before(lines: list[PurchaseLine], days: int) -> None:
    today = DAY + timedelta(days=days)

    def standing(some: list[PurchaseLine]) -> Counter[tuple[object, ...]]:
        totals: Counter[tuple[object, ...]] = Counter()
        for part in returns.split_lines(some):
            if some[part.line].at < today and (part.returned_at is None or part.returned_at >= today):
                totals[some[part.line], "quantity"] += part.quantity  # type: ignore[assignment]
                totals[some[part.line], "amount"] += part.amount  # type: ignore[assignment]
        return totals

    assert standing(lines) == standing([line for line in lines if line.at < today])
