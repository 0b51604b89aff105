"""Marks the purchase lines that were returned, so that rules read lines without looking for returns.

Afterwards a line counts as bought on a day unless its `returned_at` is before that day. Returns themselves, and lines
with neither goods nor an amount, get their own `at`: they never count. So does a purchase that was returned in part: it
is replaced by rows for its parts, with `nth` from FIRST_PART on. Lines stay as they were imported, so that importing
the same file again changes nothing; marks and parts are recomputed (`purchase_totals.refresh` calls `settle_returns`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, delete, insert, literal_column, select, update

from mailshot.audience.compile import in_list, unindexed
from mailshot.profile import returns
from mailshot.profile.returns import LinePart, PurchaseLine
from mailshot.store import dialect, tables
from mailshot.store.engine import Connection

PURCHASE = dialect.table(tables.Purchase)
LINE = PURCHASE.c
CUSTOMERS_AT_ONCE = 1_000
#: Makes a condition of a column with customer ids: whose lines are concerned.
Whose = Callable[[Any], Any]
# Spelled as the partial index is, and without a parameter: else SQLite does not use it.
NOT_BOUGHT = LINE.quantity <= literal_column("0")
RETURN = and_(NOT_BOUGHT, LINE.quantity < literal_column("0"))
_KEY = ("customer_id", "order_key", "product_id", "nth")


def settle_returns(connection: Connection, whose: Whose) -> None:
    """Set the returns of some customers off against their purchases, replacing earlier marks and parts."""
    mine = whose(LINE.customer_id)
    marked = select(LINE.customer_id).where(LINE.returned_at.is_not(None), mine)
    connection.execute(delete(PURCHASE).where(LINE.nth >= tables.FIRST_PART, LINE.customer_id.in_(marked)))
    connection.execute(update(PURCHASE).where(LINE.returned_at.is_not(None), mine).values(returned_at=None))
    nothing_bought = and_(NOT_BOUGHT, ~and_(LINE.quantity == 0, LINE.amount > 0))
    connection.execute(update(PURCHASE).where(nothing_bought, mine).values(returned_at=LINE.at))
    returners = select(LINE.customer_id).where(RETURN, mine).distinct().order_by(LINE.customer_id)
    ids = list(connection.scalars(returners))
    for start in range(0, len(ids), CUSTOMERS_AT_ONCE):
        _match(connection, ids[start : start + CUSTOMERS_AT_ONCE])


def _match(connection: Connection, customer_ids: Sequence[int]) -> None:
    """Mark the lines that these customers returned whole, and add the parts of those returned in part."""
    marks, added = [], []
    for _, rows in groupby(connection.execute(_lines(customer_ids)).all(), key=itemgetter(0)):
        for row, parts in _of_customer(list(rows)):
            whole = len(parts) == 1
            returned_at = parts[0].returned_at if whole else row.at
            if returned_at is not None:
                marks.append({f"key_{name}": getattr(row, name) for name in _KEY} | {"moment": returned_at})
            if not whole:
                added += [(row, part) for part in parts]
    if marks:
        same = and_(*(LINE[name] == bindparam(f"key_{name}") for name in _KEY))
        connection.execute(update(PURCHASE).where(same).values(returned_at=bindparam("moment")), marks)
    if added:
        connection.execute(insert(PURCHASE), list(_numbered(added)))


def _lines(customer_ids: Sequence[int]) -> Select[Any]:
    """Return the select of all lines of the products that each of these customers ever returned."""
    mine = in_list(LINE.customer_id, customer_ids)
    pairs = select(LINE.customer_id, LINE.product_id).where(RETURN, mine).distinct().subquery()
    same = and_(LINE.customer_id == pairs.c.customer_id, unindexed(LINE.product_id) == pairs.c.product_id)
    return select(PURCHASE).select_from(pairs.join(PURCHASE, same)).order_by(LINE.customer_id)


def _of_customer(rows: list[Row[Any]]) -> Iterator[tuple[Row[Any], list[LinePart]]]:
    """Give each purchase with its parts."""
    lines = [
        PurchaseLine(row.order_key, row.product_id, row.at, row.quantity, row.amount, row.channel or "") for row in rows
    ]
    all_parts = sorted(returns.split_lines(lines), key=lambda part: part.line)
    for index, parts in groupby(all_parts, key=lambda part: part.line):
        yield rows[index], list(parts)


def _numbered(added: list[tuple[Row[Any], LinePart]]) -> Iterator[dict[str, Any]]:
    """Give the rows of parts, each with a key of its own."""
    turns: dict[tuple[Any, ...], Iterator[int]] = {}
    for row, part in added:
        turn = turns.setdefault(tuple(getattr(row, name) for name in _KEY[:-1]), count(tables.FIRST_PART))
        columns = {"nth": next(turn), "quantity": part.quantity, "amount": part.amount, "returned_at": part.returned_at}
        yield {**row._mapping, **columns}
