"""Sends the two mails of a change of address: the link to the new address, and the notice to the old one.

Each is sent at most once, as links to one's own data are (`deliver.confirmations`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime

from mailshot.customer_texts import language
from mailshot.deliver import confirmations
from mailshot.deliver.outcome import Status
from mailshot.deliver.send_settings import SendSettings
from mailshot.errors import MailshotError
from mailshot.profile import address
from mailshot.render import service_mail
from mailshot.render.compose import OutgoingMail
from mailshot.render.service_mail import ServiceMail
from mailshot.store import address_changes, snapshots
from mailshot.store.address_changes import ChangeMail, DueMail
from mailshot.store.confirmations import Mailed
from mailshot.store.engine import Store
from mailshot.tokens import Purpose

log = logging.getLogger(__name__)


def due_mails(store: Store, now: datetime) -> list[DueMail]:
    """Return the mails of changes that are due."""
    with store.read() as connection:
        return address_changes.due_mails(connection, now)


def send_mails(settings: SendSettings, mails: Iterable[DueMail], stop: threading.Event) -> int:
    """Send mails until `stop` is set; return how many the server accepted. Safe to run in several workers."""
    return sum(_send(settings, mail) for mail in mails if not stop.is_set())


def _send(settings: SendSettings, mail: DueMail) -> bool:
    if not _move(settings, mail, Mailed.asked, Mailed.sending):
        return False
    try:
        status = asyncio.run(confirmations.hand_over(settings, _compose(settings, mail, datetime.now(UTC))))
    except MailshotError as error:
        log.error("the %s of address change %s was not sent: %s", mail.kind, mail.id, error)
        status = Status.refused
    after = confirmations.STATE_AFTER[status]
    _move(settings, mail, Mailed.sending, after)
    return after is Mailed.sent


def _compose(settings: SendSettings, mail: DueMail, now: datetime) -> OutgoingMail:
    """Return the mail, from the sender of the campaign whose mail led the customer to the page."""
    with settings.store.read() as connection:
        mailing = snapshots.body(connection, mail.definition)["mailing"]
    sender, chosen = mailing["sender"], language.choose(None, mail.language)
    # Three ids: no page takes it for the link.
    identifier = settings.keys.sign(Purpose.address, mail.id, list(ChangeMail).index(mail.kind), 0)
    if mail.kind is ChangeMail.notice:
        old = ServiceMail(sender, mail.old_email, now, identifier, chosen)
        return service_mail.old_address(old, str(sender["reply_to"] or sender["address"]))
    mailbox = settings.keys.fingerprint(address.fold_mailbox(mail.new_email))
    link = f"{settings.base_url}/a/{settings.keys.sign(Purpose.address, mail.id, mailbox)}"
    return service_mail.new_address(ServiceMail(sender, mail.new_email, now, identifier, chosen), link)


def _move(settings: SendSettings, mail: DueMail, before: Mailed, after: Mailed) -> bool:
    with settings.store.write() as connection:
        return address_changes.move_mail(connection, mail, before, after, datetime.now(UTC))
