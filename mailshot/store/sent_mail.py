"""When mails were sent, and in which windows they count: for caps, `repeat` and conversions.

A shop may fix "today" (`as_of`), so ledger times cannot be compared with plan times. `SENT_AT` converts a ledger time
to the run's "today".
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


#: When a ledger row's mail was sent (needs a join with its run); the run's `as_of` if it is not sent yet.
SENT_AT = _SentAt(RUN, DELIVERY)


def tolerance(since: datetime, as_of: datetime) -> timedelta:
    """Return the delay after launch up to which a mail counts from its launch, in a window that began at `since`.

    A weekly run may take an hour: customers mailed at its end must not be skipped a week later. Only a mail that
    was sent much later, for example after a pause, counts from when it was sent.
    """
    return min(timedelta(days=1), (as_of - since) / 4)


def counts_since(run: FromClause, delivery: FromClause, since: datetime, as_of: datetime) -> ColumnElement[bool]:
    """Return the clause for mails that count in a window from `since` (Python version: `EarlierMail.counts`)."""
    late = _SentAt(run, delivery) > since + tolerance(since, as_of)
    return or_(run.c.as_of > since, late)
