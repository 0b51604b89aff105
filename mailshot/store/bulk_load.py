"""Owns what a bulk load is: which table, which columns, which key; refuses to run one."""

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
# Counting cuts customers into ranges of ids, and products are marked by theirs: ids must lie close together.
NUMBERED = {"customer", "product"}
# Of two entries about one consent the newest counts; of two at the same moment, the withdrawal. One given after
# `{latest}` came of a wrong clock, so its moment means nothing: anything else counts more. Of two withdrawals at one
# moment the source decides, so that the order in which files come changes nothing.
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
    """Rows with unique keys, sorted by key, in the order of the columns asked for."""

    def tuples(self) -> Iterator[list[tuple[Any, ...]]]:
        """Give them in batches, as SQLite takes them, without the fixed columns."""

    def csv(self) -> Iterator[bytes]:
        """Give them as RFC 4180 text in blocks, as PostgreSQL's COPY takes them."""


@dataclass(frozen=True, slots=True)
class BulkLoad:
    """What to load where.

    `facts` are the keys of a JSON `facts` column that the rows speak of; others are kept. `add_only` leaves rows that
    are there alone. `fixed` are columns with the same SQL literal in every row. No consent is given after `latest`: one
    that the store has came of a wrong clock.
    """

    table: str
    columns: tuple[str, ...]
    facts: tuple[str, ...] = ()
    add_only: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict)
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
        """Return when a row that is there is changed, if not simply when it differs; `latest` as SQL."""
        return CONDITIONS.get(self.table, "").format(latest=latest)

    @property
    def into(self) -> str:
        """The table and its columns, as INSERT and COPY name them."""
        return f'"{self.table}" ({quoted_list(self.columns)})'


def quoted_list(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def text(value: str) -> str:
    """Return the value as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"
