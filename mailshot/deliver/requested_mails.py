"""Sends the mails that customers and visitors ask for on the pages: links to confirm, and notices.

A mail is sent at most once: its row is `sending` on disk before the first byte leaves. While no server can be reached
the row goes back to `asked`, and is tried again until the mail would be too old. Customers who got no mail can ask
again. Each kind is a `RequestedMails`, in the module that composes its mails: `confirmations`, `address_mails` and
`sign_up_mails`. Start at `send_due`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from mailshot import logs
from mailshot.deliver import outcome
from mailshot.deliver.outcome import Status
from mailshot.deliver.send_settings import SendSettings
from mailshot.deliver.smtp import Connection, MailObject
from mailshot.errors import MailshotError, SettingsError, Unavailable
from mailshot.render.compose import OutgoingMail
from mailshot.store import engine
from mailshot.store.requested_mails import MailState

log = logging.getLogger(__name__)
Row = TypeVar("Row")
#: Limit of one SMTP transaction. A worker that stops waits for the transaction in progress.
TRANSACTION_SECONDS = 30.0
#: The state of a mail after its transaction. In doubt counts as sent: the customer can ask again in some minutes.
STATE_AFTER = {
    Status.accepted: MailState.sent,
    Status.in_doubt: MailState.sent,
    Status.retry: MailState.asked,
    Status.refused: MailState.failed,
}


@dataclass(frozen=True, slots=True)
class RequestedMails(Generic[Row]):
    """One kind of mails that are asked for."""

    #: What the log calls one of them.
    name: str
    #: Returns the rows whose mail is due at a moment, oldest first, some at a time.
    due: Callable[[engine.Connection, datetime], Sequence[Row]]
    #: Moves the mail of a row from one state to the next; False when another worker has done so.
    move: Callable[[engine.Connection, Row, MailState, MailState, datetime], bool]
    #: Returns the mail of a row, dated with the moment. Raises MailshotError when it cannot be written.
    compose: Callable[[SendSettings, Row, datetime], OutgoingMail]


def is_any_due(store: engine.Store, kind: RequestedMails[Row], now: datetime) -> bool:
    """Return whether `send_due` would send anything."""
    with store.read() as connection:
        return bool(kind.due(connection, now))


def send_due(settings: SendSettings, kind: RequestedMails[Row], now: datetime, stop: threading.Event) -> int:
    """Send the mails that are due until `stop` is set; return how many the server accepted.

    Safe to run in several workers.
    """
    with settings.store.read() as connection:
        rows = kind.due(connection, now)
    return sum(_send(settings, kind, row) for row in rows if not stop.is_set())


def _send(settings: SendSettings, kind: RequestedMails[Row], row: Row) -> bool:
    if not _move(settings, kind, row, MailState.asked, MailState.sending):
        return False
    try:
        status = asyncio.run(_hand_over(settings, kind.compose(settings, row, datetime.now(UTC))))
    except SettingsError as error:
        log.error("a mail that was asked for (%s) waits: %s", kind.name, error)
        status = Status.retry
    except MailshotError as error:
        log.error("a mail that was asked for (%s) was not sent: %s", kind.name, error)
        status = Status.refused
    after = STATE_AFTER[status]
    _move(settings, kind, row, MailState.sending, after)
    return after is MailState.sent


def _move(settings: SendSettings, kind: RequestedMails[Row], row: Row, before: MailState, after: MailState) -> bool:
    with settings.store.write() as connection:
        return kind.move(connection, row, before, after, datetime.now(UTC))


async def _hand_over(settings: SendSettings, mail: OutgoingMail) -> Status:
    """Send a mail within `TRANSACTION_SECONDS`; it is in doubt only when the time ran out after the dot.

    Raises SettingsError when the key is missing that its sender signs with; then nothing was sent.
    """
    settings.dkim_keys.find(mail.sign)
    dot_sent = False
    try:
        async with asyncio.timeout(TRANSACTION_SECONDS):
            connection = await Connection.open(settings.server)
            content = mail.data(connection.eight_bit, settings.dkim_keys)
            result = await connection.send_body(MailObject(mail.envelope_from, mail.envelope_to, content))
            if result is None:
                dot_sent = True
                result = await connection.send_dot()
            if result.status is not Status.accepted:
                reply = logs.masked(outcome.clean_reply(result.reply))
                log.error("the server did not accept a mail that was asked for: %s", reply)
            if not result.close:
                await connection.quit()
            return result.status
    except (TimeoutError, Unavailable) as error:
        log.error("a mail that was asked for cannot be sent now: %s", error or "the server does not answer")
        return Status.in_doubt if dot_sent else Status.retry
