"""Rules to SQL: the only part of this room that knows SQLAlchemy."""

from mailshot.audience.compile.columns import fact_column, product_clause
from mailshot.audience.compile.rule import Compiler, Schema

__all__ = ["Compiler", "Schema", "fact_column", "product_clause"]
