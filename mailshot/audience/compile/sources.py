"""Describes the tables that rules are compiled against, and their clauses for consents and erased customers.

`store.rule_schema` fills the descriptions in; this room does not know the tables themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, exists, not_, or_, select, true, union_all

from mailshot.audience.compile import expressions
from mailshot.audience.compile.dialect_functions import Clause, Column
from mailshot.profile.activity import BOUGHT, ActivityKind
from mailshot.profile.topics import TRACKING


@dataclass(frozen=True, slots=True)
class JoinedColumn:
    """A column of another table, which is joined only when a condition uses the column."""

    column: Column
    table: FromClause
    on: ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class CustomerTotals:
    """The totals of all purchases of each customer, with what was returned since.

    So they are upper bounds of what was bought by any day, and exact where nothing was returned.
    """

    table: FromClause
    customer: Column
    first_at: Column
    last_at: Column
    orders: Column
    lines: Column
    #: Sum of all amounts above zero.
    gross: Column
    #: When something was last returned; NULL: never.
    returned_at: Column


@dataclass(frozen=True, slots=True)
class ActivitySource:
    """The table of one kind of activity, and the meaning of its columns."""

    table: FromClause
    customer: Column
    at: Column
    #: Columns of the kind's fields, by name.
    fields: Mapping[str, Column | JoinedColumn] = field(default_factory=dict)
    #: What `times` counts, distinct values of it; None: every row.
    occasion: Column | None = None
    product: Column | None = None
    amount: Column | None = None
    quantity: Column | None = None
    #: Restricts the table to rows of this kind.
    only: tuple[ColumnElement[bool], ...] = ()
    #: Restricts the table to imported rows, without those derived from them.
    imported: tuple[ColumnElement[bool], ...] = ()
    #: From this moment on a row no longer counts; None: rows always count.
    returned_at: Column | None = None
    #: Totals by customer.
    summary: CustomerTotals | None = None
    #: The same activities with one row for each occasion, for conditions that need no column of a line.
    coarse: ActivitySource | None = None

    def column(self, name: str) -> Column:
        """Return the column of a built-in field."""
        column = self.fields[name]
        return column.column if isinstance(column, JoinedColumn) else column

    def stands(self, as_of: datetime) -> list[ColumnElement[bool]]:
        """Return the clauses that are true for rows that had not been returned by a moment."""
        return [] if self.returned_at is None else [expressions.stands(self.returned_at, as_of)]

    def rows(self, names: Iterable[str]) -> FromClause:
        """Return the table, joined with the tables of these fields."""
        joined = self.table
        columns = [self.fields[name] for name in names if name in self.fields]
        tables = {column.table: column.on for column in columns if isinstance(column, JoinedColumn)}
        for table, on in tables.items():
            joined = joined.outerjoin(table, on)
        return joined


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables that rules are compiled against."""

    customer: FromClause
    #: One row for each erased customer.
    erasure: FromClause
    product: FromClause
    consent: FromClause
    consent_log: FromClause
    address_withdrawal: FromClause
    #: What customers state; to look back at a moment, what they had stated by then.
    preference: FromClause
    trait: FromClause
    #: The table of each kind of activity, by its keyword.
    sources: Mapping[str, ActivitySource]

    def source(self, history: ActivityKind) -> ActivitySource:
        return self.sources[history.keyword]

    @property
    def purchase(self) -> FromClause:
        return self.source(BOUGHT).table


def consents(schema: Schema, topic: str, given: bool, before: datetime | None) -> Select[Any]:
    """Return the ids of customers whose latest entry for a topic is that consent is `given` (or withdrawn).

    `before` ignores entries from that moment on; None: none.
    """
    consent, log = schema.consent.c, schema.consent_log.c
    on_topic = select(consent.customer_id).where(consent.topic == topic)
    if before is None:
        return on_topic.where(consent.given.is_(given))
    last = (
        select(log.given)
        .where(log.customer_id == consent.customer_id, log.topic == topic, log.at < before)
        # Of two entries at one moment the withdrawal counts, and False sorts before True.
        .order_by(log.at.desc(), log.given)
        .limit(1)
        .correlate(schema.consent)
        .scalar_subquery()
    )
    unchanged = and_(consent.at < before, consent.given.is_(given))
    return on_topic.where(or_(unchanged, and_(consent.at >= before, last.is_(given))))


def tracked_customers(schema: Schema, before: datetime | None, among: Collection[int] | None = None) -> Select[Any]:
    """Return the ids of customers whose opens and clicks are recorded, `among` some or all.

    They consent to tracking, and no customer with the same address has withdrawn it: an address is one inbox.
    """
    mine, theirs, consent = schema.customer.alias("one"), schema.customer.alias("other"), schema.consent.c
    withdrawn = consents(schema, TRACKING, False, before).subquery()
    mates = select(mine.c.id).join(theirs, theirs.c.address_hash == mine.c.address_hash)
    mates = mates.join(withdrawn, withdrawn.c.customer_id == theirs.c.id)
    withdrawal = schema.address_withdrawal
    entry = schema.consent_log if before else schema.consent
    later = exists().where(
        entry.c.customer_id == mine.c.id,
        entry.c.topic == TRACKING,
        entry.c.given.is_(True),
        entry.c.at > withdrawal.c.at,
        true() if before is None else entry.c.at < before,
    )
    address = select(mine.c.id).join(withdrawal, withdrawal.c.address_hash == mine.c.address_hash)
    address = address.where(withdrawal.c.topic == TRACKING, not_(later.correlate(mine, withdrawal)))
    if before is not None:
        address = address.where(withdrawal.c.at < before)
    consenting = consents(schema, TRACKING, True, before)
    if among is not None:
        consenting = consenting.where(consent.customer_id.in_(among))
        mates, address = (ids.where(mine.c.id.in_(among)) for ids in (mates, address))
    return consenting.where(consent.customer_id.not_in(union_all(mates, address)))


def not_erased(schema: Schema, customer: ColumnElement[Any]) -> Clause:
    """Return the clause, for the customer key of any table, that is true for customers who were not erased.

    Purchases of erased customers are deleted, so they would match rules for customers who never bought.
    """
    clause: Clause = customer.not_in(select(schema.erasure.c.customer_id))
    return clause


def existed(schema: Schema, before: datetime | None) -> Clause:
    """Return the clause over customers that is true for those who had joined or bought before a moment; None: for all.

    A customer whose joining date is unknown counts as having joined. Erased customers are excluded.
    """
    if before is None:
        return not_erased(schema, schema.customer.c.id)
    return and_(not_erased(schema, schema.customer.c.id), _was_customer(schema, before))


def _was_customer(schema: Schema, before: datetime) -> Clause:
    customer, purchase = schema.customer.c, schema.purchase.c
    bought = exists().where(purchase.customer_id == customer.id, purchase.at < before)
    return or_(customer.joined_at.is_(None), customer.joined_at < before, bought.correlate(schema.customer))
