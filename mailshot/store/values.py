"""Whether a value that a rule names exists in the data, and which values do."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, func, select

from mailshot.audience.compile import JoinedColumn, fact_column, json_path
from mailshot.audience.lint import CUSTOMER, PRODUCT, LiteralUse
from mailshot.facts.catalogue import Fact
from mailshot.store.audiences import SCHEMA
from mailshot.store.engine import Connection

#: Rows in which usual values are looked for.
SAMPLE_ROWS = 10_000


def value_exists(connection: Connection, mention: LiteralUse) -> bool:
    """Return whether any row has exactly this value."""
    table, column = _where(mention)
    return (
        connection.execute(select(column).select_from(table).where(column == mention.value).limit(1)).first()
        is not None
    )


def usual(connection: Connection, mention: LiteralUse) -> list[str]:
    """Return the distinct values of the first SAMPLE_ROWS rows."""
    table, column = _where(mention)
    some = select(column.label("value")).select_from(table).limit(SAMPLE_ROWS).subquery()
    return [str(value) for value in connection.scalars(select(some.c.value).distinct()) if value is not None]


def _where(mention: LiteralUse) -> tuple[FromClause, ColumnElement[Any]]:
    fact = mention.fact
    if mention.of in (PRODUCT, CUSTOMER):
        table = SCHEMA.product if mention.of == PRODUCT else SCHEMA.customer
        return table, fact_column(table, fact)
    source = SCHEMA.sources[mention.of]
    if fact.own:
        return source.table, json_path(source.table.c.facts, fact)
    field = source.fields[fact.name]
    return (field.table, field.column) if isinstance(field, JoinedColumn) else (source.table, field)


def count_values(connection: Connection, fact: Fact) -> dict[str, int]:
    """Return every value of a product fact with how many products have it, the most frequent first."""
    value = fact_column(SCHEMA.product, fact)
    rows = select(value, func.count()).where(value.is_not(None)).group_by(value).order_by(func.count().desc(), value)
    return {str(row[0]): int(row[1]) for row in connection.execute(rows)}
