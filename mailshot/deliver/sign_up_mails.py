"""Mails the links by which visitors confirm their sign-up; each is sent at most once, as `confirmations` does."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime

from mailshot.customer_texts import language
from mailshot.deliver.confirmations import STATE_AFTER, hand_over
from mailshot.deliver.outcome import Status
from mailshot.deliver.send_settings import SendSettings
from mailshot.errors import MailshotError
from mailshot.render import service_mail
from mailshot.render.compose import OutgoingMail
from mailshot.render.service_mail import ServiceMail
from mailshot.store import sign_ups
from mailshot.store.confirmations import Mailed
from mailshot.store.engine import Store
from mailshot.store.sign_ups import SignUp
from mailshot.tokens import Purpose

log = logging.getLogger(__name__)


def due_sign_ups(store: Store, now: datetime) -> list[SignUp]:
    """Return the sign-ups whose link is due to be mailed."""
    with store.read() as connection:
        return sign_ups.due_mails(connection, now)


def send_links(settings: SendSettings, requests: Iterable[SignUp], stop: threading.Event) -> int:
    """Mail links until `stop` is set; return how many the server accepted. Safe to run in several workers."""
    return sum(_send_link(settings, request) for request in requests if not stop.is_set())


def _send_link(settings: SendSettings, request: SignUp) -> bool:
    if not _move(settings, request, Mailed.asked, Mailed.sending):
        return False
    try:
        status = asyncio.run(hand_over(settings, _compose(settings, request, datetime.now(UTC))))
    except MailshotError as error:
        log.error("the link of sign-up %s was not mailed: %s", request.id, error)
        status = Status.refused
    after = STATE_AFTER[status]
    _move(settings, request, Mailed.sending, after)
    return after is Mailed.sent


def _compose(settings: SendSettings, request: SignUp, now: datetime) -> OutgoingMail:
    assert request.id is not None
    assert request.email is not None
    mailbox = sign_ups.mailbox_number(request.address_hash)
    link = f"{settings.base_url}/signup/confirm/{settings.keys.sign(Purpose.signup, request.id, mailbox)}"
    chosen = language.choose(None, request.language)
    # No token of a mail: a bounce of this one belongs to no customer.
    identifier = settings.keys.sign(Purpose.signup, request.id, mailbox, 0)
    mail = ServiceMail(request.sender, request.email, now, identifier, chosen)
    return service_mail.confirm_sign_up(mail, link)


def _move(settings: SendSettings, request: SignUp, before: Mailed, after: Mailed) -> bool:
    assert request.id is not None
    with settings.store.write() as connection:
        return sign_ups.move_mail(connection, request.id, before, after, datetime.now(UTC))
