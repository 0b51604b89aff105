"""Exports and erases all data of one customer (GDPR).

Rows of a customer are found by the column `customer_id`, so that a new table is exported without a change here. Erasing
leaves rows that identify no one: the ledger, the kinds and times of feedback and of consent, and keyed hashes of the
key and the address, by which imports leave out the customer. The erased data is still in the database's files until
`store.scrubbing` has rewritten them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import IO, Any

from sqlalchemy import String, Table, and_, cast, func, literal, select
from sqlmodel import SQLModel

from mailshot.audience.compile import in_list
from mailshot.profile import address, bucketing
from mailshot.profile import topics as decision
from mailshot.states import DeliveryState
from mailshot.store import (
    address_changes,
    audit,
    consent,
    conversions,
    dialect,
    erasures,
    incoming_mail,
    ledger,
    sign_ups,
    suppressed_digests,
    suppression,
)
from mailshot.store.address_changes import AddressChange
from mailshot.store.answers import CUSTOMER as CUSTOMER_SAID
from mailshot.store.answers import AnswerEntry
from mailshot.store.audiences import ERASED_KEY
from mailshot.store.confirmations import Confirmation
from mailshot.store.conversions import ConversionDue
from mailshot.store.engine import Connection
from mailshot.store.fact_corrections import FactCorrection
from mailshot.store.inboxes import FormerAddress
from mailshot.store.incoming_mail import IncomingMail
from mailshot.store.pauses import Pause
from mailshot.store.rule_schema import ACTIVITY_TABLES, IMPORTED_TABLES
from mailshot.store.tables import (
    FIRST_PART,
    AddressWithdrawal,
    ConsentLog,
    Customer,
    Delivery,
    Feedback,
    Link,
    PlanRow,
    Preference,
    Product,
    Purchase,
    Trait,
)  # fmt: skip

CUSTOMER = dialect.table(Customer)
DELIVERY = dialect.table(Delivery)
FEEDBACK = dialect.table(Feedback)
LOG, WITHDRAWAL = dialect.table(ConsentLog), dialect.table(AddressWithdrawal)
PURCHASE = dialect.table(Purchase)
#: The lines as they were imported: rows for returned parts are not exported.
IMPORTED = PURCHASE.c.nth < FIRST_PART
#: The tables, besides those of activities, whose rows are deleted with a customer.
DELETED = tuple(
    dialect.table(model)
    for model in (
        Preference,
        AnswerEntry,
        Trait,
        PlanRow,
        ConversionDue,
        FormerAddress,
        Confirmation,
        IncomingMail,
        Pause,
        FactCorrection,
        AddressChange,
    )
)
#: Tables whose `by` may name a member of staff. The customer's export shows that staff did it, not who: the right of
#: access does not reach to their names (CJEU C-579/21).
WITH_STAFF, STAFF = ("answer", "audit_entry"), "staff"
#: The source of what is left of an erased customer.
SOURCE = "erased"
NAMED_BY = {"product_id": dialect.table(Product), "link_id": dialect.table(Link)}


@dataclass(frozen=True, slots=True)
class PersonalData:
    """What a page shows of a customer, and in which language (BCP 47). An erased one has neither name nor address."""

    customer_id: int
    first_name: str | None
    email: str | None
    language: str | None
    erased: bool


def person(connection: Connection, customer_id: int) -> PersonalData | None:
    """Return a customer, None when there is no such customer."""
    c = CUSTOMER.c
    row = connection.execute(select(c.id, c.first_name, c.email, c.language, c.key).where(c.id == customer_id)).first()
    return PersonalData(*row[:4], row.key.startswith(ERASED_KEY)) if row else None


def export(connection: Connection, customer_id: int) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Give all rows of a customer, table by table, in types that JSON knows (GDPR articles 15 and 20).

    Rows are read as they are iterated: use all rows of a table before the next one, because later tables depend on
    them.
    """
    named: dict[str, set[int]] = {column: set() for column in NAMED_BY}
    for name, rows in _held(connection, customer_id):
        yield name, _noting(rows, named)
    for column, about in NAMED_BY.items():
        yield about.name, _rows(connection, about, in_list(about.c.id, sorted(named[column])))


def write_export(connection: Connection, customer_id: int, file: IO[bytes]) -> None:
    """Write all rows of a customer as one JSON object: table by table, row by row."""
    for number, (table, rows) in enumerate(export(connection, customer_id)):
        file.write(f'{"," if number else "{"}\n "{table}": ['.encode())
        for index, row in enumerate(rows):
            line = json.dumps(row, ensure_ascii=False)
            file.write(f"{',' if index else ''}\n  {line}".encode("utf-8", "replace"))
        file.write(b"\n ]")
    file.write(b"\n}\n")


def _noting(rows: Iterator[dict[str, Any]], named: dict[str, set[int]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        for column, ids in named.items():
            if row.get(column) is not None:
                ids.add(row[column])
        yield row


def _held(connection: Connection, customer_id: int) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Give the customer's rows, and those of the address."""
    yield CUSTOMER.name, _rows(connection, CUSTOMER, CUSTOMER.c.id == customer_id)
    for name, about in sorted(SQLModel.metadata.tables.items()):
        if "customer_id" in about.c:
            mine = about.c.customer_id == customer_id
            yield name, _rows(connection, about, and_(mine, IMPORTED) if name == PURCHASE.name else mine)
    hashed = select(CUSTOMER.c.address_hash).where(CUSTOMER.c.id == customer_id)
    for about in (suppression.SUPPRESSION, WITHDRAWAL, sign_ups.SIGN_UP):
        yield about.name, _rows(connection, about, about.c.address_hash.in_(hashed))


def erase(connection: Connection, customer_id: int, address_key: bytes, source: str, at: datetime) -> bool:
    """Delete all personal data of a customer, and return whether there was any.

    The row stays, empty: its id must never be used again, because links in old mails contain it.
    """
    dialect.lock_customers(connection, [customer_id], alone=True, inbox=True)
    known = connection.execute(select(CUSTOMER).where(CUSTOMER.c.id == customer_id)).first()
    if known is None or known.key.startswith(ERASED_KEY):
        return False
    hashed = address.hash_address(address_key, known.email) if known.email else None
    hashes = {address_hash for address_hash in (hashed, known.address_hash) if address_hash}
    for address_hash in sorted(hashes):
        suppression.add_erased(connection, address_hash, source, at)
    for topic, entry in consent.latest_entries(connection, customer_id).items():
        if entry.given:
            # Later than the entry that counts, even if that one has the time of a wrong clock.
            consent.record_consent(connection, customer_id, topic, False, decision.effective_at(entry, at), source)
    all_hashes = _addresses(connection, customer_id) | hashes
    audit.forget(connection, customer_id, all_hashes)
    withdrawals = WITHDRAWAL.c.address_hash.in_(all_hashes)
    connection.execute(WITHDRAWAL.update().where(withdrawals).values(source=SOURCE))
    if known.email:
        suppressed_digests.forget_digest(connection, known.email)
        incoming_mail.forget_address(connection, customer_id, known.email)
    sign_ups.forget_addresses(connection, all_hashes)
    address_changes.forget_addresses(connection, all_hashes)
    erasures.record_erasure(connection, customer_id, at)
    sweep(connection, customer_id)
    erasures.wait_for_erasures(connection)
    erasures.remember(connection, [address.hash_customer_key(address_key, known.key)], hashed or known.address_hash, at)
    return True


def sweep(connection: Connection, customer_id: int) -> None:
    """Delete the data of a customer whose erasure is recorded; repeated for what was written at the same time."""
    for table in (*IMPORTED_TABLES, *DELETED):
        connection.execute(table.delete().where(table.c.customer_id == customer_id))
    for activities in ACTIVITY_TABLES:
        for column in activities.customers[1:]:
            connection.execute(activities.table.delete().where(activities.table.c[column] == customer_id))
    conversions.forget(connection, customer_id)
    audit.forget(connection, customer_id)
    _blank(connection, customer_id)


def is_on_the_wire(connection: Connection, customer_id: int) -> bool:
    """Return whether the server may still reply to a mail to a customer: the reply may contain the address."""
    mine = DELIVERY.c.customer_id == customer_id
    dotting = select(DELIVERY.c.run_id).where(mine, DELIVERY.c.state == DeliveryState.dotting)
    return connection.execute(dotting.limit(1)).first() is not None


def _addresses(connection: Connection, customer_id: int) -> set[str]:
    former = dialect.table(FormerAddress).c
    return set(connection.scalars(select(former.address_hash).where(former.customer_id == customer_id)))


def _blank(connection: Connection, customer_id: int) -> None:
    """Empty the rows that stay; rows that are empty already are not written again."""
    f, log = FEEDBACK.c, LOG.c
    named = FEEDBACK.update().where(f.customer_id == customer_id, func.substr(f.key, 1, len(ERASED_KEY)) != ERASED_KEY)
    connection.execute(named.values(why="", detail={}, key=literal(ERASED_KEY) + cast(f.id, String)))
    other_entries = LOG.update().where(log.customer_id == customer_id, log.source != SOURCE)
    connection.execute(other_entries.values(source=SOURCE, proof={}))
    ledger.erase(connection, customer_id)
    key = f"{ERASED_KEY}{customer_id}"
    empty: dict[str, Any] = {column.name: None for column in CUSTOMER.c if column.nullable}
    # The lot is a hash of the key, so it could reveal whose row this was.
    empty |= {"key": key, "facts": {}, "lot": bucketing.bucket(key)}
    connection.execute(CUSTOMER.update().where(CUSTOMER.c.id == customer_id, CUSTOMER.c.key != key).values(**empty))


def _rows(connection: Connection, table: Table, where: Any) -> Iterator[dict[str, Any]]:
    chosen = select(table).where(where).order_by(*table.primary_key.columns)
    for row in connection.execute(chosen.execution_options(yield_per=1_000)):
        values = _jsonable(row._mapping)
        if table.name in WITH_STAFF and values["by"] not in (None, CUSTOMER_SAID):
            values["by"] = STAFF
        yield values


def _jsonable(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _plain(value) for name, value in row.items()}


def _plain(value: Any) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, Decimal) else value
