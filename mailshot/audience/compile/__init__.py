"""Rules to SQL: the only part of this room that knows SQLAlchemy."""

from mailshot.audience.compile.columns import in_list, stands, unindexed
from mailshot.audience.compile.facts import fact_column, json_path, product_clause
from mailshot.audience.compile.rule import Compiler
from mailshot.audience.compile.schema import CustomerTotals, JoinedColumn, Schema, Source
from mailshot.audience.compile.then import consents, existed, tracked

__all__ = [
    "Compiler",
    "CustomerTotals",
    "JoinedColumn",
    "Schema",
    "Source",
    "consents",
    "existed",
    "fact_column",
    "in_list",
    "json_path",
    "product_clause",
    "stands",
    "tracked",
    "unindexed",
]  # fmt: skip
