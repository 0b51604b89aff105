"""Owns which values the catalogue's products have; refuses to judge rules by them."""

from __future__ import annotations

from sqlalchemy import func, select

from mailshot.audience.compile import fact_column
from mailshot.profile.catalogue import Fact
from mailshot.store.audiences import SCHEMA
from mailshot.store.engine import Connection


def values(connection: Connection, fact: Fact) -> dict[str, int]:
    """Return every value of a product fact with how many products have it, the most frequent first."""
    value = fact_column(SCHEMA.product, fact)
    rows = select(value, func.count()).where(value.is_not(None)).group_by(value).order_by(func.count().desc(), value)
    return {str(row[0]): int(row[1]) for row in connection.execute(rows)}
