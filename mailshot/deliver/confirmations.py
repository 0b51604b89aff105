"""Composes the mails with the links that customers requested to see, download or erase their data."""

from __future__ import annotations

from datetime import datetime

from mailshot.customer_texts import language
from mailshot.deliver.requested_mails import RequestedMails
from mailshot.deliver.send_settings import SendSettings
from mailshot.errors import MailshotError
from mailshot.profile import address
from mailshot.render import service_mail
from mailshot.render.compose import OutgoingMail
from mailshot.render.service_mail import ServiceMail
from mailshot.store import confirmations, snapshots
from mailshot.store.confirmations import DueLink
from mailshot.tokens import Purpose


def _compose(settings: SendSettings, link: DueLink, now: datetime) -> OutgoingMail:
    """Return the mail with the link, from the sender of the campaign whose mail led the customer to the page."""
    if link.email is None:
        raise MailshotError("the customer has no address")
    with settings.store.read() as connection:
        mailing = snapshots.body(connection, link.definition)["mailing"]
    chosen = language.choose(None, link.language, company=mailing["manner"]["language"])
    mailbox = settings.keys.fingerprint(address.fold_mailbox(link.email))
    url = f"{settings.base_url}/d/{settings.keys.sign(Purpose.confirm, link.id, mailbox)}"
    identifier = settings.keys.sign(Purpose.message, link.id)
    return service_mail.own_data(ServiceMail(mailing["sender"], link.email, now, identifier, chosen), url)


LINKS = RequestedMails("the link to one's own data", confirmations.due_mails, confirmations.move_mail, _compose)
