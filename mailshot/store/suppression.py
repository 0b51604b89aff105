"""The suppression list: addresses that must not be mailed, by their keyed hash only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, RowMapping, and_, exists, select, tuple_

from mailshot.store import consent, dialect
from mailshot.store.audiences import SCHEMA
from mailshot.store.dialect import Clause
from mailshot.store.engine import Connection
from mailshot.store.tables import AddressWithdrawal, Suppression

SUPPRESSION, WITHDRAWAL = dialect.table(Suppression), dialect.table(AddressWithdrawal)
ERASED, BOUNCED, COMPLAINED = "erased", "bounced", "complained"


def add(connection: Connection, address_hash: str, reason: str, source: str, at: datetime) -> bool:
    """Suppress an address, and return whether that changed anything.

    The first reason stays, but any other one replaces a bounce, which is lifted more easily: by hand, and by a better
    reading of the message that came back.
    """
    _hold(connection, address_hash)
    values = {"reason": reason, "source": source, "at": at}
    row = dialect.dialect_insert(connection, SUPPRESSION).values(address_hash=address_hash, **values)
    weaker = and_(SUPPRESSION.c.reason == BOUNCED, row.excluded.reason != BOUNCED)
    stronger = row.on_conflict_do_update(index_elements=[SUPPRESSION.c.address_hash], set_=values, where=weaker)
    return dialect.changed_one(connection, stronger)


def add_refused(connection: Connection, refused: Collection[tuple[int, str]], source: str, at: datetime) -> None:
    """Suppress the addresses of customers (id, address as mailed) whose mailbox a server says does not exist.

    An address that the customer has got since is not suppressed: the old one was refused. No customer is locked: the
    server refuses a mail that leaves at the same moment as well.
    """
    customer = SCHEMA.customer.c
    pairs = tuple_(customer.id, customer.email).in_(list(refused))
    hashes = connection.scalars(select(customer.address_hash).where(pairs, customer.address_hash.is_not(None)))
    values = {"reason": BOUNCED, "source": source, "at": at}
    # Sorted, so that two workers never deadlock.
    rows = [{"address_hash": address_hash, **values} for address_hash in sorted(set(hashes))]
    if rows:
        connection.execute(dialect.dialect_insert(connection, SUPPRESSION).on_conflict_do_nothing(), rows)


def add_erased(connection: Connection, address_hash: str, source: str, at: datetime) -> None:
    """Suppress the address of an erased customer, replacing any other reason."""
    _hold(connection, address_hash)
    values = {"reason": ERASED, "source": source, "at": at}
    row = dialect.dialect_insert(connection, SUPPRESSION).values(address_hash=address_hash, **values)
    connection.execute(row.on_conflict_do_update(index_elements=[SUPPRESSION.c.address_hash], set_=values))


def erased(connection: Connection) -> dict[str, datetime]:
    """Return the hashes of the addresses of erased customers, with the moment of each erasure."""
    rows = select(SUPPRESSION.c.address_hash, SUPPRESSION.c.at).where(SUPPRESSION.c.reason == ERASED)
    return {row.address_hash: row.at for row in connection.execute(rows)}


def _hold(connection: Connection, address_hash: str) -> None:
    """Lock the customers with this address, so that no dot is released at the same moment."""
    customer = SCHEMA.customer.c
    theirs = select(customer.id).where(customer.address_hash == address_hash)
    dialect.lock_customers(connection, connection.scalars(theirs).all(), alone=True)


def find_suppression(connection: Connection, address_hash: str) -> RowMapping | None:
    """Return the row of an address that must not be mailed, None when it may."""
    held = select(SUPPRESSION).where(SUPPRESSION.c.address_hash == address_hash)
    return connection.execute(held).mappings().first()


def is_suppressed(address_hash: ColumnElement[str], *lifted: str) -> Clause:
    """Return the clause that an address must not be mailed, for any reason but those in `lifted`."""
    return exists().where(SUPPRESSION.c.address_hash == address_hash, SUPPRESSION.c.reason.not_in(lifted))


def listed(connection: Connection) -> Sequence[Suppression]:
    """Return all suppressed addresses, the latest first."""
    c = SUPPRESSION.c
    rows = connection.execute(select(c.address_hash, c.reason, c.source, c.at).order_by(c.at.desc(), c.address_hash))
    return [Suppression(**row._mapping) for row in rows]


def withdrawn(connection: Connection, address_hash: str) -> dict[str, datetime]:
    """Return the topics withdrawn at an address, by any customer who has it or by the address alone, and since when."""
    customer = SCHEMA.customer.c
    owners = connection.scalars(select(customer.id).where(customer.address_hash == address_hash)).all()
    if not owners:
        named = select(WITHDRAWAL.c.topic, WITHDRAWAL.c.at).where(WITHDRAWAL.c.address_hash == address_hash)
        return {row.topic: row.at for row in connection.execute(named.order_by(WITHDRAWAL.c.topic))}
    binding = [item for owner in owners for item in consent.binding_entries(connection, owner).items()]
    return {topic: entry.at for topic, entry in sorted(binding, key=lambda item: item[0]) if not entry.given}


def lift_suppression(connection: Connection, address_hash: str) -> bool:
    """Let an address be mailed again; return whether it was suppressed."""
    return dialect.changed_one(connection, SUPPRESSION.delete().where(SUPPRESSION.c.address_hash == address_hash))


def lift_from_source(connection: Connection, source: str) -> list[str]:
    """Let the addresses be mailed again that a source suppressed, and return their hashes."""
    gone = SUPPRESSION.delete().where(SUPPRESSION.c.source == source, SUPPRESSION.c.reason.in_((BOUNCED, COMPLAINED)))
    return list(connection.scalars(gone.returning(SUPPRESSION.c.address_hash)))
