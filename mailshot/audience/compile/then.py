"""Owns what was said and known before a past moment, as clauses; refuses to choose the moment.

`before` is None for a look at today: then the newest word counts, whatever "today" a company pins. With a moment, only
what lies strictly before it counts, as with purchases. A consent that has been given or withdrawn since is looked up in
the log; all others are still the newest entry, so that few rows are looked up twice.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, exists, not_, or_, select, true, union_all

from mailshot.profile.topics import TRACKING

if TYPE_CHECKING:
    from mailshot.audience.compile.schema import Schema

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
