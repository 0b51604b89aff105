"""Which customers share an inbox: those who have its address now, and those who had it when a mail was sent.

An address is one inbox, whichever of its customers is mailed. A customer who gets another address keeps their consents
and preferences; the mails that they got stay with the inbox that received them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, BigInteger, FromClause, Select, and_, exists, func, literal, null, or_, select
from sqlmodel import Field, SQLModel

from mailshot.audience.compile import unindexed
from mailshot.store import dialect
from mailshot.store.column_types import Instant
from mailshot.store.dialect import Clause
from mailshot.store.engine import Connection
from mailshot.store.tables import Customer, Delivery, Run

DELIVERY, RUN = dialect.table(Delivery), dialect.table(Run)


class FormerAddress(SQLModel, table=True):
    """An address that a customer had `until` they got another one, as its keyed hash.

    A customer who returns to an address and gives it up again has a row for each time. The times do not overlap.
    """

    __tablename__ = "former_address"
    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    address_hash: str = Field(index=True)
    #: When the customer gave up the address before this one; None: it is the first that we know of.
    since: datetime | None = Field(default=None, sa_type=Instant)
    until: datetime = Field(primary_key=True, sa_type=Instant)


CUSTOMER, FORMER = dialect.table(Customer), dialect.table(FormerAddress)


def leave(connection: Connection, customer_ids: Sequence[int], at: datetime) -> None:
    """Store the addresses that customers have, before they get others."""
    since = select(func.max(FORMER.c.until, type_=Instant())).where(FORMER.c.customer_id == CUSTOMER.c.id)
    had = select(CUSTOMER.c.id, CUSTOMER.c.address_hash, since.scalar_subquery(), literal(at, Instant()))
    had = had.where(CUSTOMER.c.id.in_(customer_ids), CUSTOMER.c.address_hash.is_not(None))
    columns = ["customer_id", "address_hash", "since", "until"]
    row = dialect.dialect_insert(connection, FORMER).from_select(columns, had)
    # Two changes at the same moment: no mail can have left in between.
    connection.execute(row.on_conflict_do_nothing())


def shared() -> CTE:
    """Return the pairs (id, mate) of customers who share an address, themselves included. Such customers are few."""
    hashes = (
        select(CUSTOMER.c.address_hash)
        .where(CUSTOMER.c.address_hash.is_not(None))
        .group_by(CUSTOMER.c.address_hash)
        .having(func.count() > 1)
        .subquery()
    )
    mine, theirs = CUSTOMER.alias("mine"), CUSTOMER.alias("theirs")
    pairs = hashes.join(mine, mine.c.address_hash == hashes.c.address_hash)
    pairs = pairs.join(theirs, theirs.c.address_hash == hashes.c.address_hash)
    inbox = select(mine.c.id.label("id"), theirs.c.id.label("mate")).select_from(pairs).cte("inbox")
    return inbox.prefix_with("MATERIALIZED")


def mailed(inbox: CTE) -> CTE:
    """Return (id, mate, since, until): mails to `mate` went to the inbox of `id`, from one moment to another.

    NULL as `since` means from the beginning, as `until` to this day.
    `inbox` is from `shared`. Only customers whose inbox got mails of others are listed, themselves included.
    """
    mine = CUSTOMER.alias("mine")
    moved = mine.join(FORMER, and_(FORMER.c.address_hash == mine.c.address_hash, FORMER.c.customer_id != mine.c.id))
    # One who returned is a mate already, with all of their mails.
    returned = exists().where(inbox.c.id == mine.c.id, inbox.c.mate == FORMER.c.customer_id)
    open_end = null().cast(Instant())
    pairs = select(inbox.c.id, inbox.c.mate, open_end.label("since"), open_end.label("until")).union(
        select(mine.c.id, mine.c.id, open_end, open_end).select_from(moved),
        select(mine.c.id, FORMER.c.customer_id, FORMER.c.since, FORMER.c.until).select_from(moved).where(~returned),
    )
    return pairs.cte("mailed").prefix_with("MATERIALIZED")


def was_sent(table: FromClause) -> Clause:
    """Return the clause that a run was launched while a customer had an address, `since` and `until` of the table."""
    since, until = table.c.since, table.c.until
    return and_(or_(since.is_(None), RUN.c.launched_at >= since), or_(until.is_(None), RUN.c.launched_at < until))


def mails_of(customer_id: int, mates: Sequence[int]) -> Clause:
    """Return the clause that a delivery, joined with its run, went to the inbox of a customer and their `mates`."""
    address = select(CUSTOMER.c.address_hash).where(CUSTOMER.c.id == customer_id).scalar_subquery()
    then = and_(FORMER.c.customer_id == DELIVERY.c.customer_id, FORMER.c.address_hash == address)
    earlier = select(FORMER.c.customer_id).where(then, was_sent(FORMER)).correlate(DELIVERY, RUN)
    return or_(DELIVERY.c.customer_id.in_(mates), earlier.exists())


def of_delivery(table: FromClause, *which: Clause) -> Select[Any]:
    """Return the rows of `table` that match, of the customer of a delivery and of all others with the same address.

    The query begins at the customer, who has few rows. Where a database has no statistics of a table yet, it would
    begin at the run's deliveries otherwise, and read all of them for each mail: the number of a run that `table` is
    searched by must be `unindexed` everywhere.
    """
    mine, theirs = CUSTOMER.alias("mine"), CUSTOMER.alias("theirs")
    same = or_(theirs.c.id == mine.c.id, theirs.c.address_hash == mine.c.address_hash)
    joined = and_(mine.c.id == DELIVERY.c.customer_id, same, table.c.customer_id == unindexed(theirs.c.id))
    return select(literal(1)).where(joined, *which).correlate(DELIVERY)
