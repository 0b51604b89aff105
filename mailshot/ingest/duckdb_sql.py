"""SQL text for the DuckDB staging database: quoting, and the groups of column types that cells are read by."""

from __future__ import annotations

INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
FLOATS = ("FLOAT", "DOUBLE")
ZONED = "TIMESTAMP WITH TIME ZONE"
TEXT = "VARCHAR"


def literal(text: str) -> str:
    """Return the text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def name(text: str) -> str:
    """Return the text as an SQL identifier."""
    return '"' + text.replace('"', '""') + '"'


def literals(texts: tuple[str, ...]) -> str:
    """Return the texts as an SQL list, without brackets."""
    return ", ".join(map(literal, texts))


def readable(kind: str) -> bool:
    """Tell whether a column of this DuckDB type holds single values."""
    texts = kind in (TEXT, "UUID", "BOOLEAN", "DATE", ZONED) or kind.startswith("ENUM")
    return texts or kind in (*INTEGERS, *FLOATS) or kind.startswith(("DECIMAL", "TIMESTAMP"))


def text_of(raw: str, kind: str) -> str:
    """Return the expression of a cell as text, trimmed, NULL when empty.

    A whole number that came as a float keeps no '.0', or keys would not meet again.
    """
    if kind in FLOATS:
        return (
            f"CASE WHEN {raw} = trunc({raw}) AND abs({raw}) < 1e15 THEN {raw}::BIGINT::VARCHAR ELSE {raw}::VARCHAR END"
        )
    return f"nullif(trim({raw}, E' \\t\\r\\n'), '')" if kind == TEXT else f"{raw}::VARCHAR"
