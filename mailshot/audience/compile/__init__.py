"""Rules to SQL: the only part of this room that knows SQLAlchemy."""

from mailshot.audience.compile.columns import listed, stands, unindexed
from mailshot.audience.compile.facts import fact_column, own, product_clause
from mailshot.audience.compile.rule import Compiler
from mailshot.audience.compile.schema import Beside, Schema, Source, Summary
from mailshot.audience.compile.then import consents, there, tracked

__all__ = [
    "Beside", "Compiler", "Schema", "Source", "Summary",
    "consents", "fact_column", "listed", "own", "product_clause", "stands", "there", "tracked", "unindexed",
]  # fmt: skip
