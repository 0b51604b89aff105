"""Mails the links that customers requested to see, download or erase their data.

A link is sent at most once: its row is `sending` on disk before the first byte leaves. While no server can be reached
the row goes back to `asked`, and is tried again until the link would be too old. Who got no link can ask again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime

from mailshot import logs
from mailshot.customer_texts import language
from mailshot.deliver import outcome
from mailshot.deliver.outcome import Status
from mailshot.deliver.send_settings import SendSettings
from mailshot.deliver.smtp import Connection, MailObject
from mailshot.errors import MailshotError, Unavailable
from mailshot.profile import address
from mailshot.render import service_mail
from mailshot.render.compose import OutgoingMail
from mailshot.render.service_mail import ServiceMail
from mailshot.store import confirmations, snapshots
from mailshot.store.confirmations import Due, Mailed
from mailshot.store.engine import Store
from mailshot.tokens import Purpose

log = logging.getLogger(__name__)
#: Limit of one SMTP transaction. A worker that stops waits for the transaction in progress.
TRANSACTION_SECONDS = 30.0
#: The state of a request after its transaction. In doubt counts as sent: the customer can ask again in some minutes.
STATE_AFTER = {
    Status.accepted: Mailed.sent,
    Status.in_doubt: Mailed.sent,
    Status.retry: Mailed.asked,
    Status.refused: Mailed.failed,
}


def due_confirmations(store: Store, now: datetime) -> list[Due]:
    """Return the requests whose link is due to be mailed."""
    with store.read() as connection:
        return confirmations.due_mails(connection, now)


def send_links(settings: SendSettings, requests: Iterable[Due], stop: threading.Event) -> int:
    """Mail links until `stop` is set; return how many the server accepted. Safe to run in several workers."""
    return sum(_send_link(settings, request) for request in requests if not stop.is_set())


def _send_link(settings: SendSettings, request: Due) -> bool:
    if not _move(settings, request, Mailed.asked, Mailed.sending):
        return False
    try:
        status = asyncio.run(hand_over(settings, _compose(settings, request, datetime.now(UTC))))
    except MailshotError as error:
        log.error("the link of request %s was not mailed: %s", request.id, error)
        status = Status.refused
    after = STATE_AFTER[status]
    _move(settings, request, Mailed.sending, after)
    return after is Mailed.sent


def _compose(settings: SendSettings, request: Due, now: datetime) -> OutgoingMail:
    """Return the mail with the link, from the sender of the campaign whose mail led the customer to the page."""
    if request.email is None:
        raise MailshotError("the customer has no address")
    with settings.store.read() as connection:
        mailing = snapshots.body(connection, request.definition)["mailing"]
    chosen = language.choose(None, request.language, company=mailing["manner"]["language"])
    mailbox = settings.keys.fingerprint(address.fold_mailbox(request.email))
    link = f"{settings.base_url}/d/{settings.keys.sign(Purpose.confirm, request.id, mailbox)}"
    identifier = settings.keys.sign(Purpose.message, request.id)
    mail = ServiceMail(mailing["sender"], request.email, now, identifier, chosen)
    return service_mail.own_data(mail, link)


async def hand_over(settings: SendSettings, letter: OutgoingMail) -> Status:
    """Send a mail within `TRANSACTION_SECONDS`; it is in doubt only when the time ran out after the dot."""
    dot_sent = False
    try:
        async with asyncio.timeout(TRANSACTION_SECONDS):
            connection = await Connection.open(settings.server)
            content = letter.data(connection.eight_bit)
            result = await connection.send_body(MailObject(letter.envelope_from, letter.envelope_to, content))
            if result is None:
                dot_sent = True
                result = await connection.send_dot()
            if result.status is not Status.accepted:
                reply = logs.masked(outcome.clean_reply(result.reply))
                log.error("the server did not accept a mail that a customer asked for: %s", reply)
            if not result.close:
                await connection.quit()
            return result.status
    except (TimeoutError, Unavailable) as error:
        log.error("a mail that a customer asked for cannot be sent now: %s", error or "the server does not answer")
        return Status.in_doubt if dot_sent else Status.retry


def _move(settings: SendSettings, request: Due, before: Mailed, after: Mailed) -> bool:
    with settings.store.write() as connection:
        return confirmations.move_mail(connection, request.id, before, after, datetime.now(UTC))
