"""Owns bulk loading into SQLite: one prepared upsert of many rows; refuses to begin or end a transaction."""

from __future__ import annotations

from itertools import chain
from typing import Any

from mailshot.store import bulk_load
from mailshot.store.bulk_load import Load, Rows
from mailshot.store.columns import microseconds
from mailshot.store.engine import Connection

MOST_VALUES = 500


def upsert_sqlite(connection: Connection, load: Load, rows: Rows) -> tuple[int, int]:
    """Load the rows and return how many were added and changed."""
    driver = connection.connection.driver_connection
    assert driver is not None
    before, touched = _count(connection, load), driver.total_changes
    for batch in rows.tuples():
        insert(connection, load, batch)
    added = _count(connection, load) - before
    return added, driver.total_changes - touched - added


def insert(connection: Connection, load: Load, batch: list[tuple[Any, ...]]) -> int:
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


def _statement(load: Load, rows: int) -> str:
    row = f"({', '.join(load.fixed.get(column, '?') for column in load.columns)})"
    return f"INSERT INTO {load.into} VALUES {', '.join([row] * rows)} {on_conflict_sqlite(load)}"


def on_conflict_sqlite(load: Load) -> str:
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


def _count(connection: Connection, load: Load) -> int:
    return int(connection.exec_driver_sql(f'SELECT count(*) FROM "{load.table}"').scalar_one())
