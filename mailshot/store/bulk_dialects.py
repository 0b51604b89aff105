"""Bulk loads into each database: prepared upserts of many rows on SQLite, COPY and one merge on PostgreSQL.

The caller begins and ends the transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from mailshot.store import bulk_load
from mailshot.store.bulk_load import BulkLoad, BulkRows
from mailshot.store.column_types import microseconds
from mailshot.store.engine import Connection

#: Parameters of one statement.
MAX_VALUES = 500


@dataclass(frozen=True, slots=True)
class Syntax:
    """How a database spells what an upsert needs beyond the standard."""

    #: Comparison that treats NULL as a value.
    is_not: str
    #: The SQL of a moment, as the database stores it.
    instant: Callable[[datetime], str]
    #: The SQL that names a key of `facts`.
    key: Callable[[str], str]
    #: The value of a key in facts: (facts, key).
    fact: Callable[[str, str], str]
    #: The old facts without some keys, and with the new facts on top: (old, keys, new).
    merged: Callable[[str, list[str], str], str]


SQLITE = Syntax(
    is_not="IS NOT",
    instant=lambda moment: str(microseconds(moment)),
    key=lambda name: bulk_load.text_literal(f'$."{name}"'),
    fact=lambda facts, path: f"json_extract({facts}, {path})",
    merged=lambda old, paths, new: f"json_patch(json_remove({old}, {', '.join(paths)}), {new})",
)
POSTGRESQL = Syntax(
    is_not="IS DISTINCT FROM",
    instant=lambda moment: f"{bulk_load.text_literal(moment.isoformat())}::timestamptz",
    key=bulk_load.text_literal,
    fact=lambda facts, key: f"{facts} -> {key}",
    merged=lambda old, keys, new: f"({old} - ARRAY[{', '.join(keys)}]::text[]) || {new}",
)


def on_conflict(load: BulkLoad, syntax: Syntax) -> str:
    """Return what happens to a row that is there already: it stays, or is updated where it differs."""
    target = f"ON CONFLICT ({bulk_load.quoted_list(load.key)})"
    if load.kept or not load.updated:
        return f"{target} DO NOTHING"
    sets, differences = [], []
    for column in load.updated:
        old, new = f'"{load.table}"."{column}"', f'excluded."{column}"'
        if column != "facts":
            sets.append(f'"{column}" = {new}')
            differences.append(f"{old} {syntax.is_not} {new}")
        elif load.facts:
            keys = [syntax.key(name) for name in load.facts]
            sets.append(f"facts = {syntax.merged(old, keys, new)}")
            differences += [f"{syntax.fact(old, key)} {syntax.is_not} {syntax.fact(new, key)}" for key in keys]
    changed = load.condition(syntax.instant(load.latest)) or " OR ".join(differences)
    return f"{target} DO UPDATE SET {', '.join(sets)} WHERE {changed}"


def upsert_sqlite(connection: Connection, load: BulkLoad, rows: BulkRows) -> tuple[int, int]:
    """Load the rows and return how many were added and changed."""
    driver = connection.connection.driver_connection
    assert driver is not None
    before, touched = _count(connection, load), driver.total_changes
    for batch in rows.tuples():
        insert_batch(connection, load, batch)
    added = _count(connection, load) - before
    return added, driver.total_changes - touched - added


def insert_batch(connection: Connection, load: BulkLoad, batch: list[tuple[Any, ...]]) -> int:
    """Insert a batch and return how many rows were added or changed.

    Many rows in each statement: that takes half the time of one row in each.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    before: int = driver.total_changes
    many = MAX_VALUES // max(len(load.columns) - len(load.fixed), 1)
    whole = len(batch) - len(batch) % many
    flat = chain.from_iterable
    groups = [tuple(flat(batch[start : start + many])) for start in range(0, whole, many)]
    if groups:
        connection.exec_driver_sql(_statement(load, many), groups)
    if batch[whole:]:
        connection.exec_driver_sql(_statement(load, 1), batch[whole:])
    return int(driver.total_changes) - before


def _statement(load: BulkLoad, rows: int) -> str:
    row = f"({', '.join(load.fixed.get(column, '?') for column in load.columns)})"
    return f"INSERT INTO {load.into} VALUES {', '.join([row] * rows)} {on_conflict(load, SQLITE)}"


def _count(connection: Connection, load: BulkLoad) -> int:
    return int(connection.exec_driver_sql(f'SELECT count(*) FROM "{load.table}"').scalar_one())


def upsert_postgresql(connection: Connection, load: BulkLoad, rows: BulkRows) -> tuple[int, int]:
    """Load the rows and return how many were added and changed.

    They are copied straight into the table, which works for a new file. Where a row is there already, they are copied
    into a temporary table and merged. The rows are sorted, so a file that is loaded again fails at its first row.
    Numbered rows are merged wherever the table has any: a row that conflicts would still use up a number.
    """
    from psycopg.errors import UniqueViolation

    if load.numbered and connection.exec_driver_sql(f'SELECT EXISTS (SELECT FROM "{load.table}")').scalar():
        return _merge(connection, load, rows)
    part = connection.begin_nested()
    try:
        added = _copy(connection, load.into, rows)
    except UniqueViolation:
        part.rollback()
        return _merge(connection, load, rows)
    part.commit()
    return added, 0


def _merge(connection: Connection, load: BulkLoad, rows: BulkRows) -> tuple[int, int]:
    columns = bulk_load.quoted_list(load.columns)
    connection.exec_driver_sql("DROP TABLE IF EXISTS pg_temp.loading")
    connection.exec_driver_sql(
        f'CREATE TEMP TABLE loading ON COMMIT DROP AS SELECT {columns} FROM "{load.table}" WITH NO DATA'
    )
    _copy(connection, f"pg_temp.loading ({columns})", rows)
    insert = _numbered(load) if load.numbered else f"INSERT INTO {load.into} SELECT {columns} FROM pg_temp.loading"
    # Rows that this statement adds have no deleting transaction (xmax = 0); rows that it updates have.
    added, changed = connection.exec_driver_sql(
        f"WITH done AS ({insert} {on_conflict(load, POSTGRESQL)} RETURNING xmax = 0 AS added) "
        "SELECT count(*) FILTER (WHERE added), count(*) FILTER (WHERE NOT added) FROM done"
    ).one()
    return int(added), int(changed)


def _numbered(load: BulkLoad) -> str:
    """Return the insert that takes a number from the sequence for new rows only.

    A default would take one for each row, before the conflict is noticed.
    """
    values = ", ".join(f'loading."{column}"' for column in load.columns)
    keys = ", ".join(f'loading."{column}"' for column in load.key)
    same = " AND ".join(f'there."{column}" = loading."{column}"' for column in load.key)
    number = f"coalesce(there.id, nextval(pg_get_serial_sequence('{load.table}', 'id')))"
    return (
        f'INSERT INTO "{load.table}" (id, {bulk_load.quoted_list(load.columns)}) SELECT {number}, {values} '
        f'FROM pg_temp.loading LEFT JOIN "{load.table}" AS there ON {same} ORDER BY {keys}'
    )


def _copy(connection: Connection, into: str, rows: BulkRows) -> int:
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor:
        with cursor.copy(f"COPY {into} FROM STDIN (FORMAT csv)") as copy:
            for block in rows.csv():
                copy.write(block)
        return int(cursor.rowcount)
