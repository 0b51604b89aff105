"""Rules to SQL: the only part of this room that knows SQLAlchemy."""

from mailshot.audience.compile.compiler import Compiler
from mailshot.audience.compile.expressions import in_list, stands, unindexed
from mailshot.audience.compile.facts import fact_column, json_path, product_clause
from mailshot.audience.compile.sources import CustomerTotals, JoinedColumn, Schema, Source, consents, existed, tracked

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
