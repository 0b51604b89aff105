"""Owns what a rule is compiled against: the tables, and where each kind of happening lies; refuses to know rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, FromClause

from mailshot.profile.history import BOUGHT, History

Column = ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class Beside:
    """A column of a table that is joined only when it is asked for."""

    column: Column
    table: FromClause
    on: ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Summary:
    """The sums over all that ever happened to each customer; `gross` adds up only what is above zero."""

    table: FromClause
    customer: Column
    first_at: Column
    last_at: Column
    orders: Column
    lines: Column
    gross: Column


@dataclass(frozen=True, slots=True)
class Source:
    """Where one kind of happening lies: a table, and what its columns mean.

    `occasion` is what `times` counts, None when each row is one; `only` are the rows that are of this kind. `coarse`
    has the same happenings summed up by occasion, for conditions that ask for nothing else.
    """

    table: FromClause
    customer: Column
    at: Column
    fields: Mapping[str, Column | Beside] = field(default_factory=dict)
    occasion: Column | None = None
    product: Column | None = None
    amount: Column | None = None
    quantity: Column | None = None
    only: tuple[ColumnElement[bool], ...] = ()
    summary: Summary | None = None
    coarse: Source | None = None

    def column(self, name: str) -> Column:
        """Return the column of a built-in field."""
        found = self.fields[name]
        return found.column if isinstance(found, Beside) else found

    def rows(self, names: Iterable[str]) -> FromClause:
        """Return the table joined with those that these fields need."""
        found = self.table
        needed = [self.fields[name] for name in names if name in self.fields]
        tables = {beside.table: beside.on for beside in needed if isinstance(beside, Beside)}
        for table, on in tables.items():
            found = found.outerjoin(table, on)
        return found


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables a rule is compiled against; `sources` says where each kind of happening lies, by its word."""

    customer: FromClause
    product: FromClause
    consent: FromClause
    consent_log: FromClause
    address_withdrawal: FromClause
    preference: FromClause
    trait: FromClause
    sources: Mapping[str, Source]

    def source(self, history: History) -> Source:
        return self.sources[history.word]

    @property
    def purchase(self) -> FromClause:
        return self.source(BOUGHT).table
