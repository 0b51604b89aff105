"""Writes the mails that Mailshot itself sends to one customer who asked for them, in the customer's language.

Their templates are in `service/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from mailshot.customer_texts.language import LANGUAGES, CustomerLanguage, translations
from mailshot.render import headers
from mailshot.render.compose import OutgoingMail
from mailshot.render.mime import MailHeaders
from mailshot.render.template import RenderedMail


def _environment(tag: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "service"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    install = environment.install_gettext_translations  # type: ignore[attr-defined]
    install(translations(tag), newstyle=True)
    return environment


#: The templates by language.
TEMPLATES = {tag: _environment(tag) for tag in LANGUAGES}


@dataclass(frozen=True, slots=True)
class ServiceMail:
    """The recipient, sender, date and language of a mail of our own.

    `sender` holds the fields of rules/senders.yaml; `identifier` is the left half of the Message-ID; `at` becomes the
    mail's date.
    """

    sender: Mapping[str, Any]
    to: str
    at: datetime
    identifier: str
    language: CustomerLanguage


def own_data(mail: ServiceMail, link: str) -> OutgoingMail:
    """Write the mail with the link that opens a customer's own data.

    Raises RenderError for an address that cannot be written to, as all functions here do.
    """
    return _write(mail, "own_data", mail.language.gettext("Your link to your data"), link=link)


def new_address(mail: ServiceMail, link: str) -> OutgoingMail:
    """Write the mail to a new address with the link that confirms it."""
    return _write(mail, "new_address", mail.language.gettext("Please confirm your new address"), link=link)


def old_address(mail: ServiceMail, contact: str) -> OutgoingMail:
    """Write the notice to the old address; `contact` is the address to write to if the customer did not ask for it."""
    return _write(mail, "old_address", mail.language.gettext("Your address was changed"), contact=contact)


def confirm_sign_up(mail: ServiceMail, link: str) -> OutgoingMail:
    """Write the mail with the link that confirms a sign-up."""
    return _write(mail, "sign_up", mail.language.gettext("Please confirm that we may write to you"), link=link)


def _write(mail: ServiceMail, name: str, subject: str, **values: str) -> OutgoingMail:
    sender, address, templates = mail.sender, str(mail.sender["address"]), TEMPLATES[mail.language.tag]
    values |= {"brand": str(sender["brand"] or sender["name"]), "postal_address": sender["postal_address"]}
    html, text = (
        templates.get_template(f"{name}.{kind}").render(values, subject=subject, language=mail.language)
        for kind in ("html", "txt")
    )
    message_id = f"{mail.identifier}@{headers.ascii_domain(address.rpartition('@')[2])}"
    envelope = MailHeaders(
        message_id=message_id,
        date=mail.at,
        from_name=str(sender["name"]),
        from_address=address,
        to_name="",
        to_address=mail.to,
        boundary_seed=message_id,
        reply_to=sender["reply_to"],
        # Vacation responders must not answer it (RFC 3834).
        extra=(("Auto-Submitted", "auto-replied"),),
    )
    rendered, to = RenderedMail(subject, html, text), headers.ascii_address(mail.to)
    return OutgoingMail(address, to, message_id, rendered, envelope, sign=sender.get("sign"))
