"""Checks that each kind of activity says all that the store needs to know about it."""

from __future__ import annotations

import pytest
from sqlalchemy import UniqueConstraint
from sqlmodel import SQLModel

from mailshot.ingest import fields, importer
from mailshot.profile.activity import KINDS
from mailshot.store import bulk, bulk_load, profiles, rule_schema
from mailshot.store.rule_schema import ACTIVITY_TABLES, IMPORTED_TABLES, SOURCES, ActivityTable

#: The imports that fill a table which no single import kind is named for.
SHARED = {"delivery": fields.Kind.recipients, "feedback": fields.Kind.conversions}


def test_each_word_of_rules_has_a_table() -> None:
    assert SOURCES.keys() == KINDS.keys()
    known = {activities.table for activities in ACTIVITY_TABLES}
    assert {source.table for source in SOURCES.values()} == known


@pytest.mark.parametrize("word", KINDS)
def test_each_field_of_a_word_has_a_column(word: str) -> None:
    kind, source = KINDS[word], SOURCES[word]
    assert kind.fields.keys() <= source.fields.keys()
    assert (source.product is not None) is kind.of_products
    assert (source.amount is not None) is ("amount" in kind.measures)
    assert (source.quantity is not None) is ("items" in kind.measures)
    assert "facts" in source.table.c or not kind.declared


@pytest.mark.parametrize("activities", ACTIVITY_TABLES, ids=lambda activities: str(activities.table.name))
def test_each_column_with_the_id_of_a_customer_is_declared(activities: ActivityTable) -> None:
    whose = {source.customer.name for source in SOURCES.values() if source.table is activities.table}
    assert whose == set(activities.customers)
    assert activities.customers[0] == "customer_id"
    assert all("customer_id" in totals.c for totals in activities.totals)


@pytest.mark.parametrize("activities", ACTIVITY_TABLES, ids=lambda activities: str(activities.table.name))
def test_each_table_can_be_loaded_and_imported(activities: ActivityTable) -> None:
    table = activities.table
    unique = [constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint)]
    keys = [tuple(constraint.columns.keys()) for constraint in (table.primary_key, *unique)]
    assert bulk_load.KEYS[table.name] == activities.key
    assert activities.key in keys, "PostgreSQL and SQLite find a conflict by a unique key"
    kind = SHARED[table.name] if activities.of_ledger else fields.Kind(f"{table.name}s")
    assert kind in fields.FIXED
    if kind not in importer.LOADERS:  # loaded by activities.load_plain
        columns = {"customer" if column.name == "customer_id" else column.name for column in table.columns}
        assert columns >= fields.FIXED[kind].keys()
        assert activities.key == ("customer_id", "key")


@pytest.mark.parametrize("word", profiles.KEPT)
def test_each_word_can_be_written_as_an_example(word: str) -> None:
    activities = next(known for known in ACTIVITY_TABLES if known.table is SOURCES[word].table)
    if activities.table in (rule_schema.PURCHASE, rule_schema.DELIVERY, rule_schema.FEEDBACK):
        return
    source = SOURCES[word]
    written = {source.customer.name, source.at.name, *activities.customers, "key", "facts"}
    written |= {source.column(name).name for name in source.fields}
    written |= {column.name for column in (source.product, source.amount) if column is not None}
    required = {column.name for column in activities.table.c if not column.nullable and column.default is None}
    assert required <= written, "rows of this kind need a writer of their own in store.example_rows"


def test_loads_renew_the_statistics_of_all_tables_that_imports_fill() -> None:
    assert {table.name for table in IMPORTED_TABLES} < set(bulk.LARGE)
    assert set(bulk.LARGE) <= SQLModel.metadata.tables.keys()
    assert bulk.SWEPT == ("purchase", "purchase_order")
