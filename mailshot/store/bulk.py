"""Loads many rows at once: adds new ones and updates those that differ.

Values arrive as the database stores them (`column_types.Instant`: microseconds on SQLite, timestamptz text on
PostgreSQL; `column_types.Exact`: ten-thousandths; JSON: text without nulls), so that no row is converted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import select

from mailshot.store import bulk_dialects, bulk_load, tables
from mailshot.store.bulk_load import BulkLoad, BulkRows
from mailshot.store.column_types import microseconds
from mailshot.store.engine import Connection, Store
from mailshot.store.rule_schema import IMPORTED_TABLES

__all__ = ["BulkLoad", "BulkRows", "Counts", "analyse", "read_batches", "read_imported_runs", "upsert"]

#: Rows read at a time.
BATCH = 10_000
#: The tables that an import fills, by name.
LARGE = (
    "customer", "product", "consent", *(table.name for table in IMPORTED_TABLES), "address_withdrawal", "suppression",
)  # fmt: skip
#: Those whose primary key holds whole rows: PostgreSQL reads a row from the key alone only after a VACUUM.
SWEPT = tuple(table.name for table in IMPORTED_TABLES if table.primary_key.dialect_options["postgresql"].get("include"))


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows a load added and changed; the others were the same already."""

    added: int
    changed: int


def upsert(connection: Connection, load: BulkLoad, rows: BulkRows) -> Counts:
    """Load the rows within the connection's transaction, and return how many were added and changed."""
    if connection.dialect.name == "sqlite":
        return Counts(*bulk_dialects.upsert_sqlite(connection, load, rows))
    return Counts(*bulk_dialects.upsert_postgresql(connection, load, rows))


def read_batches(connection: Connection, table: str, columns: Sequence[str]) -> Iterator[Sequence[Sequence[Any]]]:
    """Give these columns (keys and texts) of all rows in batches, without keeping all in memory."""
    wanted = f'SELECT {bulk_load.quoted_list(columns)} FROM "{table}"'
    options = {"stream_results": True}
    yield from connection.exec_driver_sql(wanted, execution_options=options).partitions(BATCH)


def read_imported_runs(connection: Connection) -> Iterator[Sequence[Sequence[Any]]]:
    """Give id, campaign and the moment in microseconds since 1970 of every imported run."""
    wanted = select(tables.Run.id, tables.Run.campaign, tables.Run.as_of).where(tables.Run.state == "past")
    for part in connection.execute(wanted).partitions(BATCH):
        yield [(run, campaign, microseconds(moment)) for run, campaign, moment in part]


def analyse(store: Store) -> None:
    """Renew the statistics by which the database plans its queries. On PostgreSQL, vacuum the tables in `SWEPT`."""
    if store.sqlite:
        with store.write() as connection:
            # A sample is enough; reading every row would take as long as a load.
            connection.exec_driver_sql("PRAGMA analysis_limit=1000")
            connection.exec_driver_sql("ANALYZE")
    else:
        with store.upkeep() as connection:
            connection.exec_driver_sql(f"ANALYZE {', '.join(LARGE)}")
            connection.exec_driver_sql(f"VACUUM {', '.join(SWEPT)}")
