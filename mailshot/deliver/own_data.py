"""Mails the links that customers asked for to see, take away or erase their data.

A link goes out at most once: its row says `sending` on disk before the first byte leaves. While no server can be
reached the row goes back and is tried again until the link would be too old; a customer who got none asks again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime

from mailshot import logs
from mailshot.deliver import verdict
from mailshot.deliver.pipeline import Post
from mailshot.deliver.smtp import Connection, Parcel
from mailshot.deliver.verdict import Outcome
from mailshot.errors import MailshotError
from mailshot.profile import address
from mailshot.render import service_mail
from mailshot.render.letter import Letter
from mailshot.store import confirmations, frozen
from mailshot.store.confirmations import Due, Mailed
from mailshot.store.engine import Store
from mailshot.tokens import Purpose

log = logging.getLogger(__name__)
#: For a whole transaction: this is sent from the thread that also looks at the ledger.
LONGEST_SECONDS = 60.0
#: What may have arrived counts as sent: the customer can ask again in some minutes.
AFTER = {
    Outcome.accepted: Mailed.sent,
    Outcome.in_doubt: Mailed.sent,
    Outcome.retry: Mailed.asked,
    Outcome.refused: Mailed.failed,
}


def waiting(store: Store, now: datetime) -> list[Due]:
    """Return the links that are still to be mailed."""
    with store.read() as connection:
        return confirmations.waiting(connection, now)


def send(post: Post, links: Iterable[Due], now: datetime) -> int:
    """Mail links; return how many a server took. Several workers may do so at once."""
    return sum(_send(post, due, now) for due in links)


def _send(post: Post, due: Due, now: datetime) -> bool:
    if not _move(post, due, Mailed.asked, Mailed.sending):
        return False
    try:
        outcome = asyncio.run(asyncio.wait_for(_hand_over(post, _letter(post, due, now)), LONGEST_SECONDS))
    except TimeoutError:
        outcome = Outcome.in_doubt
    except MailshotError as error:
        log.error("the link of request %s was not mailed: %s", due.id, error)
        outcome = Outcome.refused
    after = AFTER[outcome]
    _move(post, due, Mailed.sending, after)
    return after is Mailed.sent


def _letter(post: Post, due: Due, now: datetime) -> Letter:
    """Write a link's mail in the name of the sender whose mail was the customer's way to the page."""
    if due.email is None:
        raise MailshotError("the customer has no address")
    with post.store.read() as connection:
        sender = frozen.body(connection, due.definition)["mailing"]["sender"]
    mailbox = post.keys.fingerprint(address.mailbox(due.email))
    link = f"{post.base_url}/d/{post.keys.mint(Purpose.confirm, due.id, mailbox)}"
    return service_mail.own_data(sender, due.email, link, now, post.keys.mint(Purpose.message, due.id))


async def _hand_over(post: Post, letter: Letter) -> Outcome:
    try:
        connection = await Connection.open(post.server)
    except MailshotError as error:
        log.error("%s", error)
        return Outcome.retry
    parcel = Parcel(letter.envelope_from, letter.envelope_to, letter.data(connection.eight_bit))
    found = await connection.offer(parcel) or await connection.release()
    if found.outcome is not Outcome.accepted:
        log.error("the server did not take a link to a customer's data: %s", logs.masked(verdict.said(found.reply)))
    if not found.close:
        await connection.quit()
    return found.outcome


def _move(post: Post, due: Due, before: Mailed, after: Mailed) -> bool:
    with post.store.write() as connection:
        return confirmations.move(connection, due.id, before, after)
