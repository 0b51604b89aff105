"""The audit log: who did what to customers and addresses by hand, when and why. Start at `record`.

Append-only: a trigger rejects deletes, and changes other than blanking the address and the reason. No address is in it,
also not in a reason: each is masked as in the logs of processes. An erasure blanks what is left.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, or_, select
from sqlmodel import Field, SQLModel

from mailshot import logs
from mailshot.states import AuditAction
from mailshot.store import dialect
from mailshot.store.column_types import Instant, RowId
from mailshot.store.engine import Connection
from mailshot.store.tables import Customer


class AuditEntry(SQLModel, table=True):
    """One action of an operator."""

    __tablename__ = "audit_entry"
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    at: datetime = Field(sa_type=Instant)
    #: The operator: the setting MAILSHOT_OPERATOR, or the user of the operating system.
    by: str
    #: A `states.AuditAction`.
    action: str
    #: None for an action on an address, or on many.
    customer_id: int | None = Field(default=None, sa_type=BigInteger, index=True)
    #: The keyed hash of the address that the action named, None without one.
    address_hash: str | None = Field(default=None, index=True)
    #: The address as logs show it, or what else the action was about; "" after an erasure.
    subject: str = ""
    why: str = ""


AUDIT, CUSTOMER = dialect.table(AuditEntry), dialect.table(Customer)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An entry as `mailshot audit` shows it."""

    at: datetime
    by: str
    action: AuditAction
    #: The customer's key, None for an action on an address, or on many.
    customer: str | None
    subject: str
    why: str


def record(
    connection: Connection,
    action: AuditAction,
    by: str,
    at: datetime,
    *,
    customer_id: int | None = None,
    address_hash: str | None = None,
    subject: str = "",
    why: str = "",
) -> None:
    """Add an entry, in the transaction of the action. Addresses in `subject` and `why` are masked."""
    entry = {"at": at, "by": by, "action": action.value, "customer_id": customer_id, "address_hash": address_hash}
    connection.execute(AUDIT.insert().values(**entry, subject=logs.masked(subject), why=logs.masked(why)))


def latest(connection: Connection, number: int, customer_id: int | None = None) -> list[AuditRecord]:
    """Return up to `number` entries, the latest first: all, or those about one customer and their address."""
    a = AUDIT.c
    rows = select(a.at, a.by, a.action, CUSTOMER.c.key, a.subject, a.why)
    rows = rows.select_from(AUDIT.outerjoin(CUSTOMER, CUSTOMER.c.id == a.customer_id))
    if customer_id is not None:
        address = select(CUSTOMER.c.address_hash).where(CUSTOMER.c.id == customer_id).scalar_subquery()
        rows = rows.where(or_(a.customer_id == customer_id, a.address_hash == address))
    return [
        AuditRecord(at, by, AuditAction.of(action), key, subject, why)
        for at, by, action, key, subject, why in connection.execute(rows.order_by(a.id.desc()).limit(number))
    ]


def forget(connection: Connection, customer_id: int, address_hashes: Collection[str] = ()) -> None:
    """Blank the entries about a customer who is erased, and about their addresses; who did what and when stays."""
    mine = or_(AUDIT.c.customer_id == customer_id, AUDIT.c.address_hash.in_(address_hashes))
    named = or_(AUDIT.c.subject != "", AUDIT.c.why != "", AUDIT.c.address_hash.is_not(None))
    connection.execute(AUDIT.update().where(mine, named).values(subject="", why="", address_hash=None))
