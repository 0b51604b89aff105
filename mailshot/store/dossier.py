"""Owns all that is held about one customer: reading it out and erasing it; refuses to decide who may ask.

What a table holds about a customer is found by its `customer_id` column, so that a new table is read out without a word
here. Erasing leaves numbers that name nobody: the ledger, the kinds and times of feedback, the proof of consent, and a
keyed hash that keeps the address from being mailed when somebody imports it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Table, and_, select
from sqlmodel import SQLModel

from mailshot.events import DeliveryState, Reason
from mailshot.profile import consent as decision
from mailshot.store import consent, conversions, sql, suppression
from mailshot.store.audiences import ERASED_KEY
from mailshot.store.confirmations import Confirmation
from mailshot.store.engine import Connection, Store
from mailshot.store.inboxes import FormerAddress
from mailshot.store.tables import (
    FIRST_PART,
    AddressWithdrawal,
    Buyer,
    ConversionDue,
    Customer,
    Delivery,
    Feedback,
    Interaction,
    Link,
    Order,
    PlanRow,
    Preference,
    Product,
    Purchase,
    Referral,
    Trait,
)  # fmt: skip
from mailshot.store.tables import Event as CustomEvent

CUSTOMER = sql.table(Customer)
DELIVERY = sql.table(Delivery)
FEEDBACK = sql.table(Feedback)
REFERRAL = sql.table(Referral)
PURCHASE = sql.table(Purchase)
# Not what stands for lines that were returned in parts: the lines themselves are read out.
IMPORTED = PURCHASE.c.nth < FIRST_PART
GONE = tuple(
    sql.table(model)
    for model in (
        Purchase,
        Order,
        Buyer,
        CustomEvent,
        Interaction,
        Referral,
        Preference,
        Trait,
        PlanRow,
        ConversionDue,
        FormerAddress,
        Confirmation,
    )
)
NAMED_BY = {"product_id": sql.table(Product), "link_id": sql.table(Link)}


@dataclass(frozen=True, slots=True)
class Person:
    """Who a page greets. An erased customer has neither name nor address."""

    customer_id: int
    first_name: str | None
    email: str | None
    address_hash: str | None
    erased: bool


def person(connection: Connection, customer_id: int) -> Person | None:
    """Return who a customer is, None when there is no such customer."""
    c = CUSTOMER.c
    row = connection.execute(
        select(c.id, c.first_name, c.email, c.address_hash, c.key).where(c.id == customer_id)
    ).first()
    return Person(row.id, row.first_name, row.email, row.address_hash, row.key.startswith(ERASED_KEY)) if row else None


def export(connection: Connection, customer_id: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give every row held about a customer, table after table, in types that JSON knows (GDPR articles 15 and 20)."""
    named: dict[str, set[int]] = {column: set() for column in NAMED_BY}
    for name, rows in _held(connection, customer_id):
        for column, ids in named.items():
            ids |= {row[column] for row in rows if row.get(column) is not None}
        yield name, rows
    for column, about in NAMED_BY.items():
        chunks = (about.c.id.in_(some) for some in _chunks(sorted(named[column])))
        yield about.name, [row for where in chunks for row in _rows(connection, about, where)]


def _held(connection: Connection, customer_id: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give the customer's own rows, and those of their address."""
    customer = _rows(connection, CUSTOMER, CUSTOMER.c.id == customer_id)
    yield CUSTOMER.name, customer
    for name, about in sorted(SQLModel.metadata.tables.items()):
        if "customer_id" in about.c:
            mine = about.c.customer_id == customer_id
            yield name, _rows(connection, about, and_(mine, IMPORTED) if name == PURCHASE.name else mine)
    hashes = [row["address_hash"] for row in customer if row["address_hash"]]
    for about in (suppression.SUPPRESSION, sql.table(AddressWithdrawal)):
        yield about.name, _rows(connection, about, about.c.address_hash.in_(hashes))


def erase(connection: Connection, customer_id: int, address_hash: str | None, source: str, at: datetime) -> bool:
    """Remove everything personal about a customer and return whether there was any.

    The row stays, empty: its number must never be given to somebody else, for links in old mails carry it.
    """
    known = person(connection, customer_id)
    if known is None or known.erased:
        return False
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")
    for hashed in {address_hash, known.address_hash} - {None}:
        suppression.add_erased(connection, str(hashed), source, at)
    for topic, entry in consent.entries(connection, customer_id).items():
        if entry.given:
            # After the entry that counts, even where that one came of a wrong clock.
            consent.record(connection, customer_id, topic, False, decision.moment(entry, at), source)
    for table in GONE:
        connection.execute(table.delete().where(table.c.customer_id == customer_id))
    connection.execute(REFERRAL.delete().where(REFERRAL.c.referred_id == customer_id))
    conversions.forget(connection, customer_id)
    _blank(connection, customer_id)
    return True


def scrub(store: Store) -> None:
    """Overwrite what an erasure left in SQLite's log; PostgreSQL does so by its own vacuum."""
    if store.sqlite:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _blank(connection: Connection, customer_id: int) -> None:
    d = DELIVERY.c
    connection.execute(FEEDBACK.update().where(FEEDBACK.c.customer_id == customer_id).values(why="", detail={}))
    connection.execute(DELIVERY.update().where(d.customer_id == customer_id).values(offers=None, reply=None))
    waiting = (DeliveryState.pending.value, DeliveryState.claimed.value, DeliveryState.deferred.value)
    unsent = DELIVERY.update().where(d.customer_id == customer_id, d.state.in_(waiting))
    connection.execute(unsent.values(state=DeliveryState.skipped.value, reason=Reason.suppressed.value, token=None))
    empty: dict[str, Any] = {column.name: None for column in CUSTOMER.c if column.nullable}
    empty |= {"key": f"{ERASED_KEY}{customer_id}", "facts": {}}
    connection.execute(CUSTOMER.update().where(CUSTOMER.c.id == customer_id).values(**empty))


def _rows(connection: Connection, table: Table, where: Any) -> list[dict[str, Any]]:
    found = connection.execute(select(table).where(where).order_by(*table.primary_key.columns))
    return [_jsonable(row._mapping) for row in found]


def _jsonable(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _chunks(ids: list[int], size: int = 500) -> list[list[int]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
