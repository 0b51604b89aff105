"""Owns bulk loading into SQLite: one prepared upsert of many rows; refuses to begin or end a transaction."""

from __future__ import annotations

from itertools import chain
from typing import Any

from mailshot.store import bulk_load
from mailshot.store.bulk_load import BulkLoad, BulkRows
from mailshot.store.column_types import microseconds
from mailshot.store.engine import Connection

MOST_VALUES = 500


def upsert_sqlite(connection: Connection, load: BulkLoad, rows: BulkRows) -> tuple[int, int]:
    """Load the rows and return how many were added and changed."""
    driver = connection.connection.driver_connection
    assert driver is not None
    before, touched = _count(connection, load), driver.total_changes
    for batch in rows.tuples():
        insert(connection, load, batch)
    added = _count(connection, load) - before
    return added, driver.total_changes - touched - added


def insert(connection: Connection, load: BulkLoad, batch: list[tuple[Any, ...]]) -> int:
    """Insert a batch and return how many rows were added or changed.

    Many rows by each statement: that takes half the time of a statement a row.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    before: int = driver.total_changes
    many = MOST_VALUES // max(len(load.columns) - len(load.fixed), 1)
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
    return f"INSERT INTO {load.into} VALUES {', '.join([row] * rows)} {on_conflict_sqlite(load)}"


def on_conflict_sqlite(load: BulkLoad) -> str:
    """Return what happens to a row that is there already."""
    target = f"ON CONFLICT ({bulk_load.quoted_list(load.key)})"
    if load.kept or not load.updated:
        return f"{target} DO NOTHING"
    sets, differences = [], []
    latest = str(microseconds(load.latest))
    for column in load.updated:
        old, new = f'"{load.table}"."{column}"', f'excluded."{column}"'
        if column != "facts":
            sets.append(f'"{column}" = {new}')
            differences.append(f"{old} IS NOT {new}")
        elif load.facts:
            paths = [bulk_load.text(f'$."{name}"') for name in load.facts]
            sets.append(f"facts = json_patch(json_remove({old}, {', '.join(paths)}), {new})")
            differences += [f"json_extract({old}, {path}) IS NOT json_extract({new}, {path})" for path in paths]
    return f"{target} DO UPDATE SET {', '.join(sets)} WHERE {load.condition(latest) or ' OR '.join(differences)}"


def _count(connection: Connection, load: BulkLoad) -> int:
    return int(connection.exec_driver_sql(f'SELECT count(*) FROM "{load.table}"').scalar_one())


def upsert_postgresql(connection: Connection, load: BulkLoad, rows: BulkRows) -> tuple[int, int]:
    """Load the rows and return how many were added and changed.

    They are copied straight into the table, as a new file can be; where one is there already, we start over beside the
    table. The rows are sorted, so a file that comes a second time meets its first row at once. Numbered rows are loaded
    beside the table wherever it holds any: a row that is refused has taken a number all the same.
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


def on_conflict_postgresql(load: BulkLoad) -> str:
    """Return what happens to a row that is there already."""
    target = f"ON CONFLICT ({bulk_load.quoted_list(load.key)})"
    if load.kept or not load.updated:
        return f"{target} DO NOTHING"
    sets, differences = [], []
    latest = f"{bulk_load.text(load.latest.isoformat())}::timestamptz"
    for column in load.updated:
        old, new = f'"{load.table}"."{column}"', f'excluded."{column}"'
        if column != "facts":
            sets.append(f'"{column}" = {new}')
            differences.append(f"{old} IS DISTINCT FROM {new}")
        elif load.facts:
            keys = [bulk_load.text(name) for name in load.facts]
            sets.append(f"facts = ({old} - ARRAY[{', '.join(keys)}]::text[]) || {new}")
            differences += [f"{old} -> {key} IS DISTINCT FROM {new} -> {key}" for key in keys]
    return f"{target} DO UPDATE SET {', '.join(sets)} WHERE {load.condition(latest) or ' OR '.join(differences)}"


def _merge(connection: Connection, load: BulkLoad, rows: BulkRows) -> tuple[int, int]:
    columns = bulk_load.quoted_list(load.columns)
    connection.exec_driver_sql("DROP TABLE IF EXISTS pg_temp.loading")
    connection.exec_driver_sql(
        f'CREATE TEMP TABLE loading ON COMMIT DROP AS SELECT {columns} FROM "{load.table}" WITH NO DATA'
    )
    _copy(connection, f"pg_temp.loading ({columns})", rows)
    insert = _numbered(load) if load.numbered else f"INSERT INTO {load.into} SELECT {columns} FROM pg_temp.loading"
    # A row that this very statement added has no deleting transaction (xmax) yet.
    added, changed = connection.exec_driver_sql(
        f"WITH done AS ({insert} {on_conflict_postgresql(load)} RETURNING xmax = 0 AS added) "
        "SELECT count(*) FILTER (WHERE added), count(*) FILTER (WHERE NOT added) FROM done"
    ).one()
    return int(added), int(changed)


def _numbered(load: BulkLoad) -> str:
    """Return the insert that draws a number for new rows alone: a conflict draws one before it is seen."""
    given = ", ".join(f'loading."{column}"' for column in load.columns)
    keys = ", ".join(f'loading."{column}"' for column in load.key)
    same = " AND ".join(f'there."{column}" = loading."{column}"' for column in load.key)
    number = f"coalesce(there.id, nextval(pg_get_serial_sequence('{load.table}', 'id')))"
    return (
        f'INSERT INTO "{load.table}" (id, {bulk_load.quoted_list(load.columns)}) SELECT {number}, {given} '
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
