"""Composes the mails with the links by which visitors confirm their sign-up."""

from __future__ import annotations

from datetime import datetime

from mailshot.customer_texts import language
from mailshot.deliver.requested_mails import RequestedMails
from mailshot.deliver.send_settings import SendSettings
from mailshot.render import service_mail
from mailshot.render.compose import OutgoingMail
from mailshot.render.service_mail import ServiceMail
from mailshot.store import sign_ups
from mailshot.store.sign_ups import SignUp
from mailshot.tokens import Purpose


def _compose(settings: SendSettings, request: SignUp, now: datetime) -> OutgoingMail:
    assert request.id is not None
    assert request.email is not None
    mailbox = sign_ups.mailbox_number(request.address_hash)
    link = f"{settings.base_url}/signup/confirm/{settings.keys.sign(Purpose.signup, request.id, mailbox)}"
    chosen = language.choose(None, request.language)
    # No token of a mail: a bounce of this one belongs to no customer.
    identifier = settings.keys.sign(Purpose.signup, request.id, mailbox, 0)
    return service_mail.confirm_sign_up(ServiceMail(request.sender, request.email, now, identifier, chosen), link)


LINKS = RequestedMails("the link of a sign-up", sign_ups.due_mails, sign_ups.move_mail, _compose)
