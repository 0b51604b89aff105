"""Writes the mails that Mailshot itself sends to one customer who asked for them, in the customer's language.

Their templates are in `service/`.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def own_data(
    sender: Mapping[str, Any], to: str, link: str, at: datetime, identifier: str, language: CustomerLanguage
) -> OutgoingMail:
    """Write the mail with the link that opens a customer's own data.

    `sender` holds the fields of rules/senders.yaml; `identifier` is the left half of the Message-ID; `at` becomes the
    mail's date. Raises RenderError for an address that cannot be written to.
    """
    subject = language.gettext("Your link to your data")
    return _compose("own_data", subject, sender, to, link, at, identifier, language)


def confirm_sign_up(
    sender: Mapping[str, Any], to: str, link: str, at: datetime, identifier: str, language: CustomerLanguage
) -> OutgoingMail:
    """Write the mail with the link that confirms a sign-up; for the rest see `own_data`."""
    subject = language.gettext("Please confirm that we may write to you")
    return _compose("sign_up", subject, sender, to, link, at, identifier, language)


def _compose(
    template: str,
    subject: str,
    sender: Mapping[str, Any],
    to: str,
    link: str,
    at: datetime,
    identifier: str,
    language: CustomerLanguage,
) -> OutgoingMail:
    brand, templates = str(sender["brand"] or sender["name"]), TEMPLATES[language.tag]
    values = {"brand": brand, "postal_address": sender["postal_address"], "link": link, "subject": subject}
    html, text = (
        templates.get_template(f"{template}.{kind}").render(values, language=language) for kind in ("html", "txt")
    )
    address = str(sender["address"])
    message_id = f"{identifier}@{headers.ascii_domain(address.rpartition('@')[2])}"
    envelope = MailHeaders(
        message_id=message_id,
        date=at,
        from_name=str(sender["name"]),
        from_address=address,
        to_name="",
        to_address=to,
        boundary_seed=message_id,
        reply_to=sender["reply_to"],
        # Vacation responders must not answer it (RFC 3834).
        extra=(("Auto-Submitted", "auto-replied"),),
    )
    return OutgoingMail(address, headers.ascii_address(to), message_id, RenderedMail(subject, html, text), envelope)
