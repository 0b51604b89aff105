"""When mails of the ledger were sent, and from when on they count: for caps, `repeat` and conversions.

A shop may pin "today" (`as_of`), so a moment of the ledger cannot be compared with one of a plan. `SENT_AT` puts it on
the calendar of its run.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, FromClause, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from mailshot.store import dialect, tables
from mailshot.store.column_types import Instant

RUN, DELIVERY = dialect.table(tables.Run), dialect.table(tables.Delivery)


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


#: When the mail of a ledger row, joined with its run, was sent; `as_of` of the run for one that is not sent yet.
SENT_AT = _SentAt(RUN, DELIVERY)


def tolerance(since: datetime, as_of: datetime) -> timedelta:
    """Return how late a mail may leave and still count from its launch, in a window that began `since`.

    A weekly run takes an hour: customers mailed at its end must not be skipped the week after. Only a mail that
    left much later, as after a pause, counts from when it left.
    """
    return min(timedelta(days=1), (as_of - since) / 4)


def recent(run: FromClause, delivery: FromClause, since: datetime, as_of: datetime) -> ColumnElement[bool]:
    """Return the clause that a mail counts in a window that began `since` (in Python: `EarlierMail.counts`)."""
    late = _SentAt(run, delivery) > since + tolerance(since, as_of)
    return or_(run.c.as_of > since, late)
