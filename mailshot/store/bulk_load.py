"""Describes a bulk load: the table, its columns and key, and which rows it changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from mailshot.store.column_types import EPOCH
from mailshot.store.rule_schema import ACTIVITY_TABLES

#: The columns by which a row that is there already is recognised, by table.
KEYS: dict[str, tuple[str, ...]] = {
    **{activities.table.name: activities.key for activities in ACTIVITY_TABLES},
    "customer": ("key",),
    "product": ("key",),
    "consent": ("customer_id", "topic"),
    "consent_log": ("customer_id", "topic", "at", "given"),
    "frozen": ("digest",),
    "run": ("plan_id",),
    "address_withdrawal": ("address_hash", "topic"),
    "suppression": ("address_hash",),
}
#: A row of these tables that is there already stays as it is.
KEPT = {"consent_log", "frozen", "suppression"} | {
    activities.table.name for activities in ACTIVITY_TABLES if activities.of_ledger
}
#: Tables whose ids must be dense: counts split customers into ranges of ids, and products are bits of a bitmap.
NUMBERED = {"customer", "product"}
#: When a row replaces the one that is there, by table. Of two entries about one consent the newest counts; of two at
#: the same moment, the withdrawal. A consent given after `{latest}` has the time of a wrong clock: any other entry
#: replaces it. Of two withdrawals at one moment the source decides, so that the order of imports does not matter.
CONDITIONS = {
    "consent": (
        '"consent"."at" < excluded."at" OR ("consent"."at" = excluded."at" AND excluded.given < "consent".given) '
        'OR ("consent".given AND "consent"."at" > {latest})'
    ),
    "address_withdrawal": (
        '"address_withdrawal"."at" < excluded."at" OR ("address_withdrawal"."at" = excluded."at" '
        'AND excluded.source < "address_withdrawal".source)'
    ),
}


class BulkRows(Protocol):
    """Rows with unique keys, sorted by key, with the columns of the load in its order."""

    def tuples(self) -> Iterator[list[tuple[Any, ...]]]:
        """Give them in batches for SQLite, without the fixed columns."""

    def csv(self) -> Iterator[bytes]:
        """Give them as blocks of RFC 4180 text for PostgreSQL's COPY."""


@dataclass(frozen=True, slots=True)
class BulkLoad:
    """What to load into which table."""

    table: str
    columns: tuple[str, ...]
    #: The keys of the JSON column `facts` that the rows replace; other keys stay.
    facts: tuple[str, ...] = ()
    #: Rows that are there already stay as they are.
    add_only: bool = False
    #: Columns that have the same SQL literal in every row.
    fixed: Mapping[str, str] = field(default_factory=dict)
    #: No consent can be given after this moment: one that the store has came of a wrong clock.
    latest: datetime = EPOCH

    @property
    def key(self) -> tuple[str, ...]:
        return KEYS[self.table]

    @property
    def kept(self) -> bool:
        return self.add_only or self.table in KEPT

    @property
    def numbered(self) -> bool:
        return self.table in NUMBERED

    @property
    def updated(self) -> tuple[str, ...]:
        return tuple(column for column in self.columns if column not in self.key)

    def condition(self, latest: str) -> str:
        """Return the SQL of when a row replaces the one that is there, "" for whenever it differs; `latest` is SQL."""
        return CONDITIONS.get(self.table, "").format(latest=latest)

    @property
    def into(self) -> str:
        """The table and its columns, as INSERT and COPY name them."""
        return f'"{self.table}" ({quoted_list(self.columns)})'


def quoted_list(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def text_literal(value: str) -> str:
    """Return the value as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"
