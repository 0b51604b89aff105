"""Owns bulk loading into PostgreSQL by COPY; refuses to begin or end the caller's transaction."""

from __future__ import annotations

from mailshot.store import bulk_load
from mailshot.store.bulk_load import Load, Rows
from mailshot.store.engine import Connection


def upsert_postgresql(connection: Connection, load: Load, rows: Rows) -> tuple[int, int]:
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


def on_conflict_postgresql(load: Load) -> str:
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


def _merge(connection: Connection, load: Load, rows: Rows) -> tuple[int, int]:
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


def _numbered(load: Load) -> str:
    """Return the insert that draws a number for new rows alone: a conflict draws one before it is seen."""
    given = ", ".join(f'loading."{column}"' for column in load.columns)
    keys = ", ".join(f'loading."{column}"' for column in load.key)
    same = " AND ".join(f'there."{column}" = loading."{column}"' for column in load.key)
    number = f"coalesce(there.id, nextval(pg_get_serial_sequence('{load.table}', 'id')))"
    return (
        f'INSERT INTO "{load.table}" (id, {bulk_load.quoted_list(load.columns)}) SELECT {number}, {given} '
        f'FROM pg_temp.loading LEFT JOIN "{load.table}" AS there ON {same} ORDER BY {keys}'
    )


def _copy(connection: Connection, into: str, rows: Rows) -> int:
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor:
        with cursor.copy(f"COPY {into} FROM STDIN (FORMAT csv)") as copy:
            for block in rows.csv():
                copy.write(block)
        return int(cursor.rowcount)
