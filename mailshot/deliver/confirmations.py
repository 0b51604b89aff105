"""Mails the links that customers asked for to see, take away or erase their data.

A link goes out at most once: its row says `sending` on disk before the first byte leaves. While no server can be
reached the row goes back and is tried again until the link would be too old; a customer who got none asks again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime

from mailshot import logs
from mailshot.deliver import outcome
from mailshot.deliver.outcome import Status
from mailshot.deliver.pipeline import SendSettings
from mailshot.deliver.smtp import Connection, MailObject
from mailshot.errors import MailshotError, Unavailable
from mailshot.profile import address
from mailshot.render import service_mail
from mailshot.render.compose import OutgoingMail
from mailshot.store import confirmations, snapshots
from mailshot.store.confirmations import Due, Mailed
from mailshot.store.engine import Store
from mailshot.tokens import Purpose

log = logging.getLogger(__name__)
#: Limit of one SMTP transaction. A worker that stops waits for the transaction in progress.
LONGEST_SECONDS = 30.0
#: What may have arrived counts as sent: the customer can ask again in some minutes.
AFTER = {
    Status.accepted: Mailed.sent,
    Status.in_doubt: Mailed.sent,
    Status.retry: Mailed.asked,
    Status.refused: Mailed.failed,
}


def waiting(store: Store, now: datetime) -> list[Due]:
    """Return the links that are still to be mailed."""
    with store.read() as connection:
        return confirmations.waiting(connection, now)


def send(post: SendSettings, links: Iterable[Due], stop: threading.Event) -> int:
    """Mail links until `stop` is set; return how many the server accepted. Safe to run in several workers."""
    return sum(_send(post, due) for due in links if not stop.is_set())


def _send(post: SendSettings, due: Due) -> bool:
    if not _move(post, due, Mailed.asked, Mailed.sending):
        return False
    try:
        outcome = asyncio.run(_hand_over(post, _letter(post, due, datetime.now(UTC))))
    except MailshotError as error:
        log.error("the link of request %s was not mailed: %s", due.id, error)
        outcome = Status.refused
    after = AFTER[outcome]
    _move(post, due, Mailed.sending, after)
    return after is Mailed.sent


def _letter(post: SendSettings, due: Due, now: datetime) -> OutgoingMail:
    """Write a link's mail in the name of the sender whose mail was the customer's way to the page."""
    if due.email is None:
        raise MailshotError("the customer has no address")
    with post.store.read() as connection:
        sender = snapshots.body(connection, due.definition)["mailing"]["sender"]
    mailbox = post.keys.fingerprint(address.mailbox(due.email))
    link = f"{post.base_url}/d/{post.keys.mint(Purpose.confirm, due.id, mailbox)}"
    return service_mail.own_data(sender, due.email, link, now, post.keys.mint(Purpose.message, due.id))


async def _hand_over(post: SendSettings, letter: OutgoingMail) -> Status:
    """Hand a mail over within `LONGEST_SECONDS`: it is in doubt only where the time ran out after the dot."""
    released = False
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            connection = await Connection.open(post.server)
            found = await connection.send_body(_parcel(letter, connection))
            if found is None:
                released = True
                found = await connection.send_dot()
            if found.outcome is not Status.accepted:
                reply = logs.masked(outcome.said(found.reply))
                log.error("the server did not take a link to a customer's data: %s", reply)
            if not found.close:
                await connection.quit()
            return found.outcome
    except (TimeoutError, Unavailable) as error:
        log.error("a link to a customer's data cannot be mailed now: %s", error or "the server does not answer")
        return Status.in_doubt if released else Status.retry


def _parcel(letter: OutgoingMail, connection: Connection) -> MailObject:
    return MailObject(letter.envelope_from, letter.envelope_to, letter.data(connection.eight_bit))


def _move(post: SendSettings, due: Due, before: Mailed, after: Mailed) -> bool:
    with post.store.write() as connection:
        return confirmations.move(connection, due.id, before, after, datetime.now(UTC))
