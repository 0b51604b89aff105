"""Estimates the selectivity of conditions from samples, and builds bitmaps of matching products, for the compiler."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from sqlalchemy import FromClause, and_, case, distinct, func, select, true

from mailshot.audience import nodes
from mailshot.audience.compile import Compiler, product_clause
from mailshot.facts.periods import Window
from mailshot.facts.product_filters import ProductFilter
from mailshot.store import dialect, tables
from mailshot.store.engine import Connection

DAY = timedelta(days=1)
#: Rows of traits or preferences read for an estimate.
SAMPLE_ROWS = 5_000
#: Highest product id in a bitmap, which has one byte per id.
MAX_BITMAP_ID = 2_000_000
BUYER, PRODUCT = dialect.table(tables.Buyer), dialect.table(tables.Product)
TRAIT, PREFERENCE = dialect.table(tables.Trait), dialect.table(tables.Preference)


class DataStatistics:
    """The compiler's statistics, from the products and a sample of customers; each is read once."""

    def __init__(self, connection: Connection, compiled: Compiler) -> None:
        self.connection = connection
        self.as_of, self.zone = compiled.as_of, compiled.zone
        self.share_cache: dict[Any, float] = {}
        self.product_cache: dict[ProductFilter, tuple[float, bytes | None]] = {}

    def selectivity(self, condition: nodes.Condition) -> float:
        """Return the estimated share of lines that match an activity, or of customers with a trait or preference."""
        if isinstance(condition, nodes.ActivityCondition):
            return self._of_products(condition.products) * self._of_time(condition.window)
        if isinstance(condition, nodes.HasTrait):
            values = condition.closure.implying
            inferred = sum(self._of_customers(TRAIT, name=condition.name, value=word) for word in values)
            return inferred + self._stated(condition.name, values, holds=True)
        if isinstance(condition, nodes.HasPreference):
            closure = condition.closure
            values = closure.implying if condition.says else closure.implied
            return self._stated(condition.name, values, holds=condition.says)
        return 1.0

    def _stated(self, name: str, values: Sequence[str], holds: bool) -> float:
        return sum(self._of_customers(PREFERENCE, name=name, value=value, holds=holds) for value in values)

    def bitmap(self, products: ProductFilter) -> bytes | None:
        """Return the bitmap of matching products: byte n is 1 where product n matches; the last byte is 0.

        Return None if an id is too large.
        """
        return self._products(products)[1]

    def _of_products(self, products: ProductFilter) -> float:
        return self._products(products)[0]

    def _products(self, products: ProductFilter) -> tuple[float, bytes | None]:
        """Return the share of all purchase lines with these products, and their bitmap."""
        if products not in self.product_cache:
            chosen = select(PRODUCT.c.id, PRODUCT.c.lines).where(product_clause(PRODUCT, products))
            rows = self.connection.execute(chosen).all()
            share = sum(lines for _, lines in rows) / max(self._lines, 1)
            self.product_cache[products] = share, _bitmap([number for number, _ in rows])
        return self.product_cache[products]

    def _of_time(self, window: Window) -> float:
        start, end = window.bounds(self.as_of, self.zone)
        since = self._oldest
        whole = max(self.as_of - since, DAY) if since else DAY
        return min(max(end - max(start or since or end, since or end), timedelta()) / whole, 1.0)

    def _of_customers(self, table: FromClause, **meant: Any) -> float:
        key = (table, *meant.values())
        if key not in self.share_cache:
            fits = and_(*(table.c[name] == value for name, value in meant.items()))
            rows = select(table.c.customer_id, fits.label("fits")).order_by(table.c.customer_id)
            sample = rows.limit(SAMPLE_ROWS).subquery()
            estimate = select(
                func.count(distinct(case((sample.c.fits == true(), sample.c.customer_id)))),
                func.min(sample.c.customer_id),
                func.max(sample.c.customer_id),
            )
            matching, first, last = self.connection.execute(estimate).one()
            self.share_cache[key] = matching / ((last or 0) - (first or 0) + 1)
        return self.share_cache[key]

    @cached_property
    def _lines(self) -> int:
        return int(self.connection.execute(select(func.coalesce(func.sum(PRODUCT.c.lines), 0))).scalar_one())

    @cached_property
    def _oldest(self) -> datetime | None:
        """The date of the earliest purchase in a sample."""
        sample = select(BUYER.c.first_at).order_by(BUYER.c.customer_id).limit(100).subquery()
        oldest: datetime | None = self.connection.scalar(
            select(func.min(sample.c.first_at, type_=BUYER.c.first_at.type))
        )
        return oldest


def _bitmap(ids: Sequence[int]) -> bytes | None:
    last = max(ids, default=0)
    if last >= MAX_BITMAP_ID:
        return None
    marks = bytearray(last + 2)
    for number in ids:
        marks[number] = 1
    return bytes(marks)
