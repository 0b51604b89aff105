"""Owns what a rule is compiled against: the tables, and where each kind of happening lies; refuses to know rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, exists, not_, or_, select, true, union_all

from mailshot.audience.compile import expressions
from mailshot.audience.compile.dialect_functions import Column
from mailshot.profile.activity import BOUGHT, ActivityKind
from mailshot.profile.topics import TRACKING


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
class ActivitySource:
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
    coarse: ActivitySource | None = None

    def column(self, name: str) -> Column:
        """Return the column of a built-in field."""
        found = self.fields[name]
        return found.column if isinstance(found, JoinedColumn) else found

    def stands(self, as_of: datetime) -> list[ColumnElement[bool]]:
        """Return the clauses that are true of the rows that still counted at a moment."""
        return [] if self.returned_at is None else [expressions.stands(self.returned_at, as_of)]

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
    sources: Mapping[str, ActivitySource]

    def source(self, history: ActivityKind) -> ActivitySource:
        return self.sources[history.keyword]

    @property
    def purchase(self) -> FromClause:
        return self.source(BOUGHT).table


Clause = ColumnElement[bool]


def consents(schema: Schema, topic: str, given: bool, before: datetime | None) -> Select[Any]:
    """Return the ids of the customers whose last word on `topic` is that consent is `given` (or withdrawn)."""
    consent, log = schema.consent.c, schema.consent_log.c
    about = select(consent.customer_id).where(consent.topic == topic)
    if before is None:
        return about.where(consent.given.is_(given))
    last = (
        select(log.given)
        .where(log.customer_id == consent.customer_id, log.topic == topic, log.at < before)
        # Of two at one moment the withdrawal counts, and False sorts before True.
        .order_by(log.at.desc(), log.given)
        .limit(1)
        .correlate(schema.consent)
        .scalar_subquery()
    )
    still = and_(consent.at < before, consent.given.is_(given))
    return about.where(or_(still, and_(consent.at >= before, last.is_(given))))


def tracked(schema: Schema, before: datetime | None, among: Collection[int] | None = None) -> Select[Any]:
    """Return the ids of the customers whose opens and clicks are noticed, `among` some or all.

    They consent to tracking, and nobody with the same address refuses it: an address is one inbox.
    """
    one, other, consent = schema.customer.alias("one"), schema.customer.alias("other"), schema.consent.c
    refused = consents(schema, TRACKING, False, before).subquery()
    mates = select(one.c.id).join(other, other.c.address_hash == one.c.address_hash)
    mates = mates.join(refused, refused.c.customer_id == other.c.id)
    withdrawal = schema.address_withdrawal
    said = schema.consent_log if before else schema.consent
    later = exists().where(
        said.c.customer_id == one.c.id,
        said.c.topic == TRACKING,
        said.c.given.is_(True),
        said.c.at > withdrawal.c.at,
        true() if before is None else said.c.at < before,
    )
    address = select(one.c.id).join(withdrawal, withdrawal.c.address_hash == one.c.address_hash)
    address = address.where(withdrawal.c.topic == TRACKING, not_(later.correlate(one, withdrawal)))
    if before is not None:
        address = address.where(withdrawal.c.at < before)
    given = consents(schema, TRACKING, True, before)
    if among is not None:
        given = given.where(consent.customer_id.in_(among))
        mates, address = (refusing.where(one.c.id.in_(among)) for refusing in (mates, address))
    return given.where(consent.customer_id.not_in(union_all(mates, address)))


def stated(preference: FromClause, before: datetime | None) -> Clause:
    """Return the clause over preferences that is true of those stated before."""
    clause: Clause = true() if before is None else preference.c.at < before
    return clause


def not_erased(schema: Schema, customer: ColumnElement[Any]) -> Clause:
    """Return the clause, for the key of any table, that is true of customers who were not erased.

    What the erased bought is forgotten, so they would pass for people who never bought.
    """
    clause: Clause = customer.not_in(select(schema.erasure.c.customer_id))
    return clause


def existed(schema: Schema, before: datetime | None) -> Clause:
    """Return the clause over customers that is true of those who were customers before: joined, or had bought.

    Where it is not known when a customer joined, we cannot say otherwise. Erased customers were none.
    """
    if before is None:
        return not_erased(schema, schema.customer.c.id)
    return and_(not_erased(schema, schema.customer.c.id), _was_customer(schema, before))


def _was_customer(schema: Schema, before: datetime) -> Clause:
    customer, purchase = schema.customer.c, schema.purchase.c
    bought = exists().where(purchase.customer_id == customer.id, purchase.at < before)
    return or_(customer.joined_at.is_(None), customer.joined_at < before, bought.correlate(schema.customer))
