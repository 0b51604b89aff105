"""What customers corrected or removed among the facts about them. It takes priority over what is imported later.

A correction is written to the customer's row at once, so that rules and templates need not know of it. Its row here
keeps imports from replacing it (`ingest.loaders.customers`): the customer's own word counts until they change it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, select
from sqlmodel import Field, SQLModel

from mailshot.store import dialect
from mailshot.store.column_types import Instant, Json
from mailshot.store.engine import Connection
from mailshot.store.group_commit import MAX_WAIT
from mailshot.store.tables import Customer

#: A value as it is stored in `customer.facts`; None where the customer removed it.
FactValue = str | bool | int | float | None
BATCH_ROWS = 10_000


class FactCorrection(SQLModel, table=True):
    """The latest correction of one fact by its customer; `value` is NULL where they removed it."""

    __tablename__ = "fact_correction"

    customer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    fact: str = Field(primary_key=True)
    value: Any = Field(default=None, sa_type=Json, nullable=True)
    source: str
    at: datetime = Field(sa_type=Instant)


CORRECTION, CUSTOMER = dialect.table(FactCorrection), dialect.table(Customer)


def correct_facts(
    connection: Connection, customer_id: int, values: Mapping[str, FactValue], source: str, at: datetime
) -> dict[str, FactValue]:
    """Store corrections of facts by name, and return those that change the customer's facts."""
    dialect.lock_customers(connection, [customer_id], alone=True)
    for fact, value in values.items():
        row = dialect.dialect_insert(connection, CORRECTION).values(
            customer_id=customer_id, fact=fact, value=value, source=source, at=at
        )
        kept = {"value": row.excluded.value, "source": source, "at": at}
        connection.execute(row.on_conflict_do_update(index_elements=["customer_id", "fact"], set_=kept))
    return _write(connection, customer_id, values)


def corrected_facts(connection: Connection, customer_id: int) -> tuple[str, ...]:
    """Return the names of the facts that the customer corrected or removed."""
    c = CORRECTION.c
    return tuple(connection.scalars(select(c.fact).where(c.customer_id == customer_id).order_by(c.fact)))


def read_corrections(connection: Connection, facts: Sequence[str]) -> Iterator[list[tuple[str, str, str | None]]]:
    """Give all corrections of these facts in batches: the customer's key, the fact, and its value as text."""
    c = CORRECTION.c
    rows = connection.execute(
        select(CUSTOMER.c.key, c.fact, c.value)
        .join(CUSTOMER, CUSTOMER.c.id == c.customer_id)
        .where(c.fact.in_(facts))
        .order_by(c.customer_id)
    )
    for batch in rows.partitions(BATCH_ROWS):
        yield [(key, fact, None if value is None else str(value)) for key, fact, value in batch]


def apply_since(connection: Connection, moment: datetime) -> None:
    """Write the corrections since a moment again: an import that began then may have replaced one unseen.

    Also those of shortly before, which may have waited to be committed.
    """
    c = CORRECTION.c
    rows = connection.execute(select(c.customer_id, c.fact, c.value).where(c.at >= moment - MAX_WAIT)).all()
    for customer_id, fact, value in rows:
        _write(connection, customer_id, {fact: value})


def _write(connection: Connection, customer_id: int, values: Mapping[str, FactValue]) -> dict[str, FactValue]:
    facts: dict[str, Any] = connection.scalar(select(CUSTOMER.c.facts).where(CUSTOMER.c.id == customer_id)) or {}
    changed = {name: value for name, value in values.items() if facts.get(name) != value}
    if changed:
        new = {name: value for name, value in {**facts, **changed}.items() if value is not None}
        connection.execute(CUSTOMER.update().where(CUSTOMER.c.id == customer_id).values(facts=new))
    return changed
