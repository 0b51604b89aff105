"""Checks that a fresh store has our version and stores rows, on both databases."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect
from sqlalchemy.exc import IntegrityError
from sqlmodel import insert, select

from mailshot.errors import Unavailable
from mailshot.store import dialect, inboxes, installation, scrubbing, tables
from mailshot.store.engine import Store
from tests.support.ledger_rows import NOW
from tests.support.query_plans import steps

ONLY_SQLITE = {"ix_purchase_customer_id"}


def test_a_fresh_store_has_the_newest_version(store: Store) -> None:
    installation.check_version(store)
    assert installation.upgrade_schema(store) == (installation.required_version(), installation.required_version())


def test_versions_from_file_names_are_those_that_alembic_finds() -> None:
    script = ScriptDirectory.from_config(installation.config())
    assert script.get_heads() == [installation.required_version()]
    assert {revision.revision for revision in script.walk_revisions()} == installation.read_versions()


def test_the_migrations_create_the_tables_of_the_code(store: Store) -> None:
    def ours(_: object, name: str | None, *__: object) -> bool:
        return store.sqlite or name not in ONLY_SQLITE

    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False, "include_object": ours})
        assert compare_metadata(context, tables.SQLModel.metadata) == []


def test_the_purchases_of_a_window_are_read_by_an_index_on_time(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    line = dialect.table(tables.Purchase)
    mine = select(line).where(line.c.customer_id == 1, line.c.at.between(NOW - timedelta(days=90), NOW))
    with steps(store) as plan, store.read() as connection:
        connection.execute(mine)
    assert plan == ["SEARCH purchase USING COVERING INDEX ix_purchase_customer_id (customer_id=? AND at>? AND at<?)"]
    store.close()


def test_keys_include_all_columns_where_rows_are_elsewhere(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    with store.read() as connection:
        for table in (tables.Purchase, tables.Order):
            columns = {column.name for column in dialect.table(table).columns}
            key = inspect(connection).get_pk_constraint(dialect.table(table).name)
            held = key["dialect_options"]["postgresql_include"]
            assert {*key["constrained_columns"], *held} == columns
    store.close()


def test_each_test_begins_empty(store: Store) -> None:
    with store.write() as connection:
        assert connection.execute(select(tables.Customer)).all() == []
        connection.execute(insert(tables.Customer).values(key="1", lot=1, facts={}))
    with store.read() as connection:
        assert len(connection.execute(select(tables.Customer)).all()) == 1


def test_only_the_owner_reads_the_database_file(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'fresh.db'}")
    installation.upgrade_schema(store)
    with store.read() as connection:
        installation.check_version(store)
        assert connection.execute(select(tables.Customer)).all() == []
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    store.close()
    assert modes["fresh.db"] == 0o600
    assert set(modes.values()) == {0o600}


def test_an_error_does_not_reveal_the_values_of_a_statement(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    row = insert(tables.Customer).values(key="1", lot=1, facts={}, email="ann@example.com")
    with store.write() as connection:
        connection.execute(row)
    with pytest.raises(IntegrityError) as error, store.write() as connection:
        connection.execute(row)
    store.close()
    assert "ann@example.com" not in str(error.value)


def test_an_address_of_an_old_version_was_used_since_the_one_before_it(store: Store) -> None:
    former = dialect.table(inboxes.FormerAddress)
    rows = [
        {"customer_id": who, "address_hash": hashed, "until": NOW + timedelta(days=days)}
        for who, hashed, days in ((1, "bb", 2), (1, "aa", 3), (2, "aa", 1), (3, "cc", 5), (3, "dd", 5))
    ]
    with store.write() as connection:
        command.downgrade(installation.config(connection), "0018")
        connection.execute(insert(former), rows)
    installation.upgrade_schema(store)
    with store.read() as connection:
        kept = connection.execute(select(former).order_by(former.c.customer_id, former.c.until)).all()
    assert [(row.customer_id, row.address_hash, row.since, row.until) for row in kept] == [
        (1, "bb", None, NOW + timedelta(days=2)),
        (1, "aa", NOW + timedelta(days=2), NOW + timedelta(days=3)),
        (2, "aa", None, NOW + timedelta(days=1)),
        (3, "cc", None, NOW + timedelta(days=5)),
    ]


def test_erasures_of_an_old_version_are_pending_until_the_file_is_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'old.db'}")
    with store.write() as connection:
        command.upgrade(installation.config(connection), "0010")
        customer = dialect.table(tables.Customer)
        connection.execute(insert(customer).values(id=1, key="erased:1", lot=1, facts={}))
    rewrite = scrubbing.rewrite

    def full(_: Store) -> bool:
        raise Unavailable("The disk is full.", "Make room.")

    monkeypatch.setattr(scrubbing, "rewrite", full)
    assert installation.upgrade_schema(store) == ("0010", installation.required_version())
    with pytest.raises(Unavailable):
        scrubbing.work(store, NOW, whole=True)
    monkeypatch.setattr(scrubbing, "rewrite", lambda _: False)
    assert scrubbing.work(store, NOW, whole=True) == 0
    monkeypatch.setattr(scrubbing, "rewrite", rewrite)
    assert scrubbing.work(store, NOW, whole=True) == 1
    store.close()


def test_migrations_know_every_module_with_tables() -> None:
    store = Path(installation.__file__).parent
    with_tables = {path.stem for path in store.glob("*.py") if "table=True" in path.read_text(encoding="utf-8")}
    env = (store / "migrations" / "env.py").read_text(encoding="utf-8")
    assert [name for name in sorted(with_tables) if not re.search(rf"\b{name}\b", env)] == []
