"""Compiles a condition into one SELECT of customer ids, for SQLite and PostgreSQL.

Start at `Compiler.select`. `planner` chooses the access paths; docs/internals.md follows one rule through it.
"""

from mailshot.audience.compile.compiler import Compiler
from mailshot.audience.compile.expressions import in_list, in_parameter, stands, unindexed
from mailshot.audience.compile.facts import fact_column, json_path, product_clause
from mailshot.audience.compile.sources import (
    ActivitySource,
    CustomerTotals,
    JoinedColumn,
    Schema,
    consents,
    existed,
    tracked_customers,
)

__all__ = [
    "ActivitySource",
    "Compiler",
    "CustomerTotals",
    "JoinedColumn",
    "Schema",
    "consents",
    "existed",
    "fact_column",
    "in_list",
    "in_parameter",
    "json_path",
    "product_clause",
    "stands",
    "tracked_customers",
    "unindexed",
]  # fmt: skip
