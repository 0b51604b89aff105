"""Owns what a rule is compiled against: the tables, and where each kind of happening lies; refuses to know rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause

from mailshot.audience.compile import columns
from mailshot.profile.history import BOUGHT, ActivityKind

Column = ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class JoinedColumn:
    """A column of a table that is joined only when it is asked for."""

    column: Column
    table: FromClause
    on: ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class CustomerTotals:
    """The sums over all that ever happened to each customer; `gross` adds up only what is above zero.

    What was returned since is among them, so that they bound what was bought by any day; `returned_at` is when
    something was last returned, None if nothing was: only then do they say what was bought and kept.
    """

    table: FromClause
    customer: Column
    first_at: Column
    last_at: Column
    orders: Column
    lines: Column
    gross: Column
    returned_at: Column


@dataclass(frozen=True, slots=True)
class Source:
    """Where one kind of happening lies: a table, and what its columns mean.

    `occasion` is what `times` counts, None when each row is one; `only` are the rows that are of this kind. `coarse`
    has the same happenings summed up by occasion, for conditions that ask for nothing else. `returned_at` is the moment
    from which on a row does not count any more. `imported` are the rows as they came, without those made from them.
    """

    table: FromClause
    customer: Column
    at: Column
    fields: Mapping[str, Column | JoinedColumn] = field(default_factory=dict)
    occasion: Column | None = None
    product: Column | None = None
    amount: Column | None = None
    quantity: Column | None = None
    only: tuple[ColumnElement[bool], ...] = ()
    imported: tuple[ColumnElement[bool], ...] = ()
    returned_at: Column | None = None
    summary: CustomerTotals | None = None
    coarse: Source | None = None

    def column(self, name: str) -> Column:
        """Return the column of a built-in field."""
        found = self.fields[name]
        return found.column if isinstance(found, JoinedColumn) else found

    def stands(self, as_of: datetime) -> list[ColumnElement[bool]]:
        """Return the clauses that are true of the rows that still counted at a moment."""
        return [] if self.returned_at is None else [columns.stands(self.returned_at, as_of)]

    def rows(self, names: Iterable[str]) -> FromClause:
        """Return the table joined with those that these fields need."""
        found = self.table
        needed = [self.fields[name] for name in names if name in self.fields]
        tables = {beside.table: beside.on for beside in needed if isinstance(beside, JoinedColumn)}
        for table, on in tables.items():
            found = found.outerjoin(table, on)
        return found


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables a rule is compiled against; `sources` says where each kind of happening lies, by its word."""

    customer: FromClause
    #: One row for each erased customer.
    erasure: FromClause
    product: FromClause
    consent: FromClause
    consent_log: FromClause
    address_withdrawal: FromClause
    preference: FromClause
    trait: FromClause
    sources: Mapping[str, Source]

    def source(self, history: ActivityKind) -> Source:
        return self.sources[history.keyword]

    @property
    def purchase(self) -> FromClause:
        return self.source(BOUGHT).table
