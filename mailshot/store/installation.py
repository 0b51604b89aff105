"""The version of the database, its upgrade, and the values that it must keep permanently.

Every command checks the version and few change it, so Alembic, which takes 100 ms to import, is imported only there.
The versions are read from the migrations' file names; a test compares them with what Alembic finds.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import column, inspect, select, table
from sqlmodel import Field, SQLModel

from mailshot.errors import SettingsError, Unavailable
from mailshot.store import dialect
from mailshot.store.column_types import Instant, now
from mailshot.store.engine import Connection, Store

if TYPE_CHECKING:
    from alembic.config import Config

log = logging.getLogger(__name__)
HERE = Path(__file__).parent / "migrations"
#: Since this version the totals of purchases are as they are now; an upgrade from before recomputes them.
SUMMED_UP = "0008"
#: Since this version SQLite overwrites what is deleted.
SCRUBBED = "0011"
#: Where Alembic stores the version of the database.
_VERSION = table("alembic_version", column("version_num"))


class Installation(SQLModel, table=True):
    """A single row of values that must not change once customers are imported."""

    id: int = Field(default=1, primary_key=True)
    #: Fingerprint of the key that hashes addresses (MAILSHOT_ADDRESS_KEY).
    address_key_print: str
    created_at: datetime = Field(default_factory=now, sa_type=Instant)


INSTALLATION = dialect.table(Installation)


def config(connection: Connection | None = None) -> Config:
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(HERE))
    made.attributes["connection"] = connection
    return made


def required_version() -> str:
    """Return the version this program needs."""
    return max(read_versions())


def database_version(store: Store) -> str | None:
    """Return the version the database has, None when it is empty."""
    with store.read() as connection:
        if not inspect(connection).has_table(_VERSION.name):
            return None
        current: str | None = connection.scalar(select(_VERSION))
        return current


def read_versions() -> set[str]:
    """Return all versions that this program knows: migrations are named '0001_what_it_does.py'."""
    return {path.name.partition("_")[0] for path in (HERE / "versions").glob("[0-9]*_*.py")}


def upgrade_schema(store: Store) -> tuple[str | None, str]:
    """Upgrade the database and return the versions (before, after). Raises Unavailable when it is newer than we are."""
    from alembic import command

    from mailshot.store import purchase_totals

    before = database_version(store)
    _refuse_newer(before)
    if before != required_version():
        with store.write() as connection:
            _name_indexes(connection)
            command.upgrade(config(connection), "head")
            if before is not None and before < SUMMED_UP:
                purchase_totals.refresh(connection)
        if store.sqlite and before is not None and before < SCRUBBED:
            _rewrite(store)
    return before, required_version()


def _name_indexes(connection: Connection) -> None:
    """Rename the indexes of purchases on SQLite to the names that migrations know (see `store.staging`)."""
    from mailshot.store.staging import OTHER_INDEX

    if connection.dialect.name == "sqlite":
        other = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND name LIKE '%' || ?"
        for name, sql in connection.exec_driver_sql(other, (OTHER_INDEX,)).all():
            connection.exec_driver_sql(f"DROP INDEX {name}")
            connection.exec_driver_sql(sql.replace(name, name.removesuffix(OTHER_INDEX), 1))


def _rewrite(store: Store) -> None:
    """Rewrite SQLite's file: earlier versions left deleted data in its free pages.

    Erasures stay pending until then (migration 0011), so where it fails, the clock or `db scrub` does it later.
    """
    from mailshot.store import column_types, scrubbing

    try:
        done = 0
        while finished := scrubbing.work(store, column_types.now(), whole=True):
            done += finished
        if not done:
            scrubbing.rewrite(store)
    except Unavailable as error:
        log.warning("What was erased is not yet removed from the file; see 'mailshot doctor': %s", error)


def check_version(store: Store) -> None:
    """Raise Unavailable unless the database has the version this program needs."""
    current = database_version(store)
    _refuse_newer(current)
    if current is None:
        raise Unavailable("The database is not set up.", "Run 'mailshot db upgrade'.")
    if current != required_version():
        raise Unavailable(
            f"The database has version {current}, this program needs {required_version()}.",
            "Run 'mailshot db upgrade'.",
        )


def _refuse_newer(current: str | None) -> None:
    if current is not None and current not in read_versions():
        message = f"The database has version {current}, which this program does not know: it is newer than we are."
        raise Unavailable(message, "Install the newer Mailshot, or point MAILSHOT_DATABASE elsewhere.")


def verify_address_key(connection: Connection, address_key: bytes) -> None:
    """Store the address key's fingerprint on first start. Raises SettingsError when a later key differs.

    With another key, suppressed addresses would no longer be recognised and would be mailed.
    """
    fingerprint = hashlib.sha256(b"mailshot/address-key" + address_key).hexdigest()[:16]
    connection.execute(
        dialect.dialect_insert(connection, INSTALLATION)
        .values(id=1, address_key_print=fingerprint, created_at=now())
        .on_conflict_do_nothing()
    )
    known = connection.scalar(select(INSTALLATION.c.address_key_print))
    if known != fingerprint:
        message = "MAILSHOT_ADDRESS_KEY is not the key this database was created with."
        raise SettingsError(message, "Restore the previous key: the suppression list is hashed with it.")
