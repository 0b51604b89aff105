"""The states of mails that customers and visitors ask for on the pages, such as the link to one's own data.

A mail goes `asked` -> `sending` -> `sent` or `failed`; each step is one guarded update, so that no mail is sent twice.
A worker that crashes while it sends leaves the row `sending`: the customer asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Table

from mailshot.store import dialect
from mailshot.store.engine import Connection

#: Between two tries to send a mail, while a server says "later".
RETRY = timedelta(minutes=2)
#: Requests are counted over this time.
DAY = timedelta(days=1)
#: How many due mails are read at a time.
BATCH_SIZE = 20


class MailState(StrEnum):
    """The state of a mail that was asked for."""

    asked = "asked"
    sending = "sending"
    sent = "sent"
    failed = "failed"


def next_request_at(earlier: Sequence[datetime], at: datetime, pause: timedelta, most: int) -> datetime:
    """Return when the next mail can be requested: not before `pause` after the last one, and `most` times a day.

    `earlier` are the times of the requests in the DAY before `at`, newest first; only the first `most` are read.
    """
    if not earlier:
        return at
    if len(earlier) < most:
        return earlier[0] + pause
    return max(earlier[0] + pause, earlier[most - 1] + DAY)


def move_mail(
    connection: Connection,
    table: Table,
    row_id: int | None,
    before: MailState,
    after: MailState,
    at: datetime,
    column: str = "state",
) -> bool:
    """Move a mail to the next state; False when another worker has done so. Back in `asked`, it waits for RETRY.

    `column` of the row `row_id` in `table` holds the state, `due_at` the moment of the next try.
    """
    moved = table.update().where(table.c.id == row_id, table.c[column] == before)
    values: dict[str, Any] = {column: str(after), "due_at": at + RETRY}
    return dialect.changed_one(connection, moved.values(values))
