"""Composes the two mails of a change of address: the link to the new address, and the notice to the old one."""

from __future__ import annotations

from datetime import datetime

from mailshot.customer_texts import language
from mailshot.deliver.requested_mails import RequestedMails
from mailshot.deliver.send_settings import SendSettings
from mailshot.profile import address
from mailshot.render import service_mail
from mailshot.render.compose import OutgoingMail
from mailshot.render.service_mail import ServiceMail
from mailshot.store import address_changes, snapshots
from mailshot.store.address_changes import ChangeMail, DueMail
from mailshot.tokens import Purpose


def _compose(settings: SendSettings, mail: DueMail, now: datetime) -> OutgoingMail:
    """Return the mail, from the sender of the campaign whose mail led the customer to the page."""
    with settings.store.read() as connection:
        mailing = snapshots.body(connection, mail.definition)["mailing"]
    sender, chosen = mailing["sender"], language.choose(None, mail.language)
    # Three ids: no page takes it for the link.
    identifier = settings.keys.sign(Purpose.address, mail.id, list(ChangeMail).index(mail.kind), 0)
    if mail.kind is ChangeMail.notice:
        notice = ServiceMail(sender, mail.old_email, now, identifier, chosen)
        return service_mail.old_address(notice, str(sender["reply_to"] or sender["address"]))
    mailbox = settings.keys.fingerprint(address.fold_mailbox(mail.new_email))
    link = f"{settings.base_url}/a/{settings.keys.sign(Purpose.address, mail.id, mailbox)}"
    return service_mail.new_address(ServiceMail(sender, mail.new_email, now, identifier, chosen), link)


MAILS = RequestedMails("a change of address", address_changes.due_mails, address_changes.move_mail, _compose)
