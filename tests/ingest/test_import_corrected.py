"""Property: rejected rows, corrected and read again by --file, give the same rows as the whole file corrected."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlmodel import SQLModel

from mailshot.store import dialect, tables
from tests.support.import_shop import Shop

PURCHASES = (
    "kind: purchases\n    file: f.csv\n    columns: "
    "{customer: id, order: receipt, product: sku, at: at, quantity: n, amount: paid}"
)
EVENTS = "kind: events\n    file: f.csv\n    columns: {customer: id, name: what, at: at, facts.seconds: seconds}"
KEYED = EVENTS.replace("at: at,", "at: at, key: key,")
TALKS = "kind: interactions\n    file: f.csv\n    columns: {customer: id, kind: kind, at: at, facts.agent: agent}"
PEOPLE = "kind: customers\n    file: f.csv\n    columns: {key: id, first_name: name, children: children}"
MADE: tuple[type[SQLModel], ...] = (tables.Purchase, tables.Order, tables.Buyer, tables.Event, tables.Interaction)
#: The cells that a row may have, the right ones first, and what stands in their place when they are wrong.
SHAPES: dict[str, tuple[str, dict[str, tuple[tuple[str, ...], str]]]] = {
    "purchases": (
        PURCHASES,
        {
            "id": (("1", "2"), "1x"),
            "receipt": (("R1", "R2"), ""),
            "sku": (("A", "B"), ""),
            "at": (("2026-01-01", "2026-01-02"), "soon"),
            "n": (("1", "2", "-1"), "some"),
            "paid": (("5", "6"), "much"),
        },
    ),
    "events": (
        EVENTS,
        {
            "id": (("1", "2"), "1x"),
            "what": (("viewed", "redeemed"), "vewed"),
            "at": (("2026-01-01", "2026-01-02"), "soon"),
            "seconds": (("1", "2", "3", "4"), "x"),
        },
    ),
    "events with keys": (
        KEYED,
        {
            "id": (("1", "2"), "1x"),
            "what": (("viewed",), "vewed"),
            "at": (("2026-01-01", "2026-01-02"), "soon"),
            "key": (("", "k1", "k2"), "k" * 201),
            "seconds": (("1", "2", "3", "4"), "x"),
        },
    ),
    "interactions": (
        TALKS,
        {
            "id": (("1", "2"), "1x"),
            "kind": (("call", "visit"), ""),
            "at": (("2026-01-01", "2026-01-02"), "soon"),
            "agent": (("a", "b", "c"), "a" * 2001),
        },
    ),
}  # fmt: skip
Row = tuple[tuple[str, ...], tuple[bool, ...]]


def _rows(shape: str) -> st.SearchStrategy[list[Row]]:
    """Draw rows, each of its right cells and which of them are wrong: those that narrow rows down are not all wrong."""
    cells = SHAPES[shape][1]
    rights = st.tuples(*(st.sampled_from(right) for right, _ in cells.values()))
    wrongs = st.tuples(*(st.integers(0, 4).map(lambda n: n == 4) for _ in cells))
    narrowing = {"purchases": [1], "events with keys": [2, 3]}.get(shape, [2])
    some = wrongs.filter(lambda wrong: not (wrong[0] and any(wrong[at] for at in narrowing)))
    return st.lists(st.tuples(rights, some), max_size=7)


def _text(shape: str, rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([",".join(SHAPES[shape][1]), *(",".join(row) for row in rows)]) + "\n"


def _emptied(shop: Shop) -> None:
    with shop.store.write() as connection:
        for model in MADE:
            connection.execute(dialect.table(model).delete())


def _held(shop: Shop) -> list[list[tuple[Any, ...]]]:
    return [
        shop.rows(tables.Purchase, "customer_id", "order_key", "product_id", "nth", "at", "quantity", "amount"),
        shop.rows(tables.Event, "customer_id", "key", "name", "at", "facts"),
        shop.rows(tables.Interaction, "customer_id", "key", "kind", "at", "facts"),
    ]


def _correct(path: Path, right: Sequence[Sequence[str]]) -> None:
    """Put right every row of a file of rejected rows, by the line it stood in."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    at = header.index("reject_line")
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *([*right[int(row[at]) - 2], *row[at:]] for row in rows)])


def check(shop: Shop, shape: str, rows: list[Row]) -> list[list[tuple[Any, ...]]]:
    """Import the rows with their faults, correct what was rejected, and compare with the whole file corrected."""
    mapping, cells = SHAPES[shape]
    right = [row for row, _ in rows]
    faulty = [
        [wrong if at_fault else cell for cell, (_, wrong), at_fault in zip(row, cells.values(), flags, strict=True)]
        for row, flags in rows
    ]
    _emptied(shop)
    shop.put({"f.csv": _text(shape, faulty)})
    report = shop.one(mapping)
    if report.rejects:
        _correct(Path(report.rejects), right)
        again = shop.one(mapping, file=Path(report.rejects))
        assert (again.rejects, again.rejected) == ("", 0)
    corrected = _held(shop)
    _emptied(shop)
    shop.put({"f.csv": _text(shape, right)})
    shop.one(mapping)
    assert corrected == _held(shop)
    return corrected


def _row(cells: str, *wrong: int) -> Row:
    row = tuple(cells.split(","))
    return row, tuple(at in wrong for at in range(len(row)))


@pytest.mark.parametrize("shape", SHAPES)
def test_corrected_rows_are_as_good_as_a_corrected_file(shop: Shop, shape: str) -> None:
    shop.all()

    @settings(max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(rows=_rows(shape))
    def compare(rows: list[Row]) -> None:
        check(shop, shape, rows)

    compare()


@pytest.mark.parametrize(
    ("shape", "rows", "number"),
    [
        ("events", [_row("1,viewed,2026-01-01,3"), _row("1,viewed,2026-01-01,4", 3)], 2),
        ("events", [_row("1,viewed,2026-01-01,3"), _row("1,viewed,2026-01-01,4", 1)], 2),
        ("purchases", [_row("1,R1,A,2026-01-01,1,5"), _row("1,R1,A,2026-01-01,1,5", 2)], 2),
        ("purchases", [_row("1,R1,A,2026-01-01,1,5"), _row("1,R1,A,2026-01-01,2,6", 0)], 2),
        ("events with keys", [_row("1,viewed,2026-01-01,k1,3", 4), _row("1,viewed,2026-01-02,k1,4")], 1),
    ],
)
def test_a_corrected_row_takes_no_good_ones_place(shop: Shop, shape: str, rows: list[Row], number: int) -> None:
    shop.all()
    assert sum(map(len, check(shop, shape, rows))) == number


def test_of_corrected_customers_the_last_counts_as_in_the_file(shop: Shop) -> None:
    shop.put({"f.csv": "id,name,children\n7,Old,many\n7,New,2\n8,Else,1\n"})
    report = shop.one(PEOPLE)
    path = Path(report.rejects)
    assert [row["name"] for row in shop.to_fix(report)] == ["Old", "New"]
    path.write_text(path.read_text("utf-8-sig").replace("many", "1"), encoding="utf-8")
    assert shop.one(PEOPLE, file=path).rejects == ""
    assert shop.rows(tables.Customer, "first_name", "facts") == [("Else", {"children": 1}), ("New", {"children": 2})]


def test_a_row_whose_keys_are_all_wrong_is_corrected_in_its_source(shop: Shop) -> None:
    shop.all()
    before = shop.rows(tables.Purchase, "order_key", "nth", "amount")
    shop.put({"f.csv": "id,receipt,sku,at,n,paid\n,,A,2026-01-02 03:04:05,7,7\n1,R1\n"})
    report = shop.one(PURCHASES)
    rows = shop.to_fix(report)
    assert all("correct this row in the source file" in row["reject_reason"] for row in rows)
    path = Path(report.rejects)
    filled = [["1", "R1", "A", "2026-01-02", "7", "7", row["reject_line"], row["reject_reason"]] for row in rows]
    for _ in range(2):
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([list(rows[0]), *filled])
        assert shop.one(PURCHASES, file=path).rejected == 2
        assert shop.rows(tables.Purchase, "order_key", "nth", "amount") == before
