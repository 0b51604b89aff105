"""When mails were sent, and in which windows they count: for caps, `repeat` and conversions.

A shop may fix "today" (`as_of`), so ledger times cannot be compared with plan times. `SENT_AT` converts a ledger time
to the run's "today".
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, FromClause, func, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from mailshot.states import MAY_HAVE_ARRIVED
from mailshot.store import dialect, tables
from mailshot.store.column_types import Instant
from mailshot.store.engine import Connection

RUN, DELIVERY, CUSTOMER = dialect.table(tables.Run), dialect.table(tables.Delivery), dialect.table(tables.Customer)


class _SentAt(FunctionElement[datetime]):
    """The run's `as_of`, plus the time between the launch and the dot."""

    inherit_cache = True
    type = Instant()

    def __init__(self, run: FromClause, delivery: FromClause) -> None:
        super().__init__(run.c.as_of, delivery.c.dotted_at, run.c.launched_at)


@compiles(_SentAt)
def _sent_at(element: Any, compiler: Any, **options: Any) -> str:
    as_of, dotted, launched = (compiler.process(part, **options) for part in element.clauses)
    zero = "interval '0'" if compiler.dialect.name == "postgresql" else "0"
    return f"({as_of} + coalesce({dotted} - {launched}, {zero}))"


#: When a ledger row's mail was sent (needs a join with its run); the run's `as_of` if it is not sent yet.
SENT_AT = _SentAt(RUN, DELIVERY)


def tolerance(since: datetime, as_of: datetime) -> timedelta:
    """Return the delay after launch up to which a mail counts from its launch, in a window that began at `since`.

    A weekly run may take an hour: customers mailed at its end must not be skipped a week later. Only a mail that
    was sent much later, for example after a pause, counts from when it was sent.
    """
    return min(timedelta(days=1), (as_of - since) / 4)


def count_received(connection: Connection, customer_id: int, since: datetime) -> int:
    """Return how many mails on topics that need consent the inbox of a customer got since a moment of the clock."""
    mails = select(func.count()).select_from(DELIVERY.join(RUN, RUN.c.id == DELIVERY.c.run_id))
    address = select(CUSTOMER.c.address_hash).where(CUSTOMER.c.id == customer_id).scalar_subquery()
    mates = select(CUSTOMER.c.id).where(or_(CUSTOMER.c.id == customer_id, CUSTOMER.c.address_hash == address))
    counted = mails.where(
        DELIVERY.c.customer_id.in_(mates), DELIVERY.c.state.in_(MAY_HAVE_ARRIVED), DELIVERY.c.dotted_at >= since
    )
    return int(connection.execute(counted.where(RUN.c.service.is_(False))).scalar_one())


class CountedWindow(NamedTuple):
    """When a window began for runs (`since`), and for single mails that left long after their launch (`late_since`).

    Moments, or parameters of a statement that is built once.
    """

    since: datetime | ColumnElement[datetime]
    late_since: datetime | ColumnElement[datetime]


def window(since: datetime, as_of: datetime) -> CountedWindow:
    """Return the window that began at `since` and lasts until `as_of`."""
    return CountedWindow(since, since + tolerance(since, as_of))


def counts_in(counted: CountedWindow, run: FromClause, delivery: FromClause) -> ColumnElement[bool]:
    """Return the clause for mails that count in a window (Python version: `EarlierMail.counts`)."""
    return or_(run.c.as_of > counted.since, _SentAt(run, delivery) > counted.late_since)
