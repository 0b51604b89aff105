"""Checks that both databases compute the same bucket as Python."""

from __future__ import annotations

from sqlalchemy import select

from mailshot.profile import bucketing
from mailshot.store import dialect, tables
from mailshot.store.engine import Store


def test_both_databases_compute_the_same_bucket_as_python(store: Store) -> None:
    customer = dialect.table(tables.Customer)
    lots = [0, 1, bucketing.PRIME - 1, *(bucketing.bucket(str(number)) for number in range(500))]
    with store.write() as connection:
        connection.execute(customer.insert(), [{"key": str(n), "lot": lot, "facts": {}} for n, lot in enumerate(lots)])
    for salt in ("", "a", "holdout:week", "é"):
        drawn = bucketing.assigner(salt)
        with store.read() as connection:
            rows = connection.execute(select(customer.c.lot, drawn.part(customer.c.lot))).all()
        assert {row[0]: row[1] for row in rows} == {lot: drawn.part(lot) for lot in lots}
        assert all(0 <= row[1] < bucketing.PARTS for row in rows)
