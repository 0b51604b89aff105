"""Composes the complete message of one delivery: values, tokens, headers, bytes.

The output depends only on the frozen mailing and the delivery, so a row gives the same bytes in any process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from mailshot.facts import time_zones
from mailshot.facts.locales import LocaleFormat
from mailshot.profile import address
from mailshot.render import dkim, headers, logo, mime
from mailshot.render.dkim_keys import NO_KEYS, DkimKeys
from mailshot.render.links import OWN_PAGES
from mailshot.render.mail_versions import HTML, MailVersion
from mailshot.render.mailing import Mailing
from mailshot.render.mime import EnclosedFile, MailHeaders
from mailshot.render.template import LinkTarget, RenderedMail, Tracking
from mailshot.tokens import PREFIXES, KeyRing, Purpose

Offers = Sequence[tuple[Mapping[str, Any], int]]
"""Product facts, and how often the customer bought the product."""
ProfileValues = dict[str, Mapping[str, Any]]
"""What a template may say of a customer besides facts, as a template names it: `{"preference": {"diet": …}}`."""
#: Asks Exchange to send no out-of-office note and no other automatic answer (MS-OXCMAIL 2.1.3.2.20); bounces may come.
NO_AUTO_REPLY = ("X-Auto-Response-Suppress", "OOF, AutoReply")
#: Takes a token and returns headers that carry it, as name and value.
IdHeaders = Callable[[str], Sequence[tuple[str, str]]]
_PICTURE = re.compile(r"cid:([0-9a-f]+@inline\.mailshot)")


@dataclass(frozen=True, slots=True)
class Recipient:
    """The recipient of one delivery: the customer's facts, and offers as (product facts, times bought)."""

    run_id: int
    customer_id: int
    content: str
    address: str
    facts: Mapping[str, Any]
    offers: Offers
    tracked: bool
    date: datetime
    profile: ProfileValues = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """One mail ready to send. `envelope_from` is its VERP address; `links` must be stored before it is sent.

    `language` is that of the version; "" when the mail has no translations.
    """

    envelope_from: str
    envelope_to: str
    message_id: str
    rendered: RenderedMail
    headers: MailHeaders
    files: Sequence[EnclosedFile] = ()
    """Its attachments, and the pictures that this customer's HTML shows."""
    language: str = ""
    sign: Mapping[str, Any] | None = None
    """The sender's entry about DKIM; None: the mail is not signed."""

    def data(self, eight_bit: bool, keys: DkimKeys = NO_KEYS) -> bytes:
        """Return the message's bytes, signed if its sender signs. Raises SettingsError for a key that is missing.

        A signed message is 7-bit: a relay that has to recode it breaks the signature (RFC 6376 section 5.3).
        """
        signing = keys.find(self.sign)
        message = self.unsigned_data(eight_bit and not signing)
        return dkim.sign(message, signing, self.headers.date) if signing else message

    def unsigned_data(self, eight_bit: bool) -> bytes:
        """Return the message's bytes without a signature, to find out whether it can be written."""
        return mime.assemble(self.rendered, self.headers, eight_bit, self.files)

    def page(self) -> str:
        """Return the HTML for a browser: enclosed pictures become `data:` URLs."""
        return _page(self.rendered.html, self.files)

    @property
    def links(self) -> tuple[LinkTarget, ...]:
        return self.rendered.links


def no_headers(token: str) -> Sequence[tuple[str, str]]:
    """Return no headers: the mail provider, if there is one, sends no webhooks."""
    return ()


def compose(
    mailing: Mailing,
    delivery: Recipient,
    keys: KeyRing,
    base_url: str,
    reads_mail: bool = False,
    id_headers: IdHeaders = no_headers,
) -> OutgoingMail:
    """Compose one mail. Raises RenderError if rendering fails for this customer.

    `reads_mail`: mail to the bounce domain is read, so the mail names addresses there to unsubscribe and to reply to.
    `id_headers`: headers for the mail provider, with the token of the bounce address.
    """
    ids, sender = (delivery.run_id, delivery.customer_id), mailing.sender
    links, own = _own_links(mailing, delivery, keys, base_url), _own_addresses(sender, keys, ids, reads_mail)
    tracking, domain = _tracking(keys, base_url, ids), headers.ascii_domain(_domain(sender))
    version, rendered = _render(mailing, delivery, links, tracking if delivery.tracked else None)
    # An address that is not read must not be named: then replies go to From.
    to_mailbox = reads_mail and "replies" in sender
    message_id = f"{keys.sign(Purpose.message, *ids)}@{domain}"
    envelope = MailHeaders(
        message_id=message_id,
        date=delivery.date,
        from_name=str(sender["name"]),
        from_address=str(sender["address"]),
        to_name=_full_name(delivery.facts),
        to_address=delivery.address,
        reply_to=own[Purpose.reply] if to_mailbox else sender["reply_to"],
        reply_to_name=str(sender["name"]) if to_mailbox else "",
        list_id=f"{headers.word(mailing.topic)}.{headers.ascii_domain(str(sender['list_domain'] or domain))}",
        list_name=mailing.topic_title,
        feedback_id=_feedback_id(mailing, delivery),
        boundary_seed=message_id,
        unsubscribe_url=links["unsubscribe"],
        unsubscribe_mailto=f"mailto:{own[Purpose.leave]}" if reads_mail else "",
        extra=_extra_headers(mailing, own[Purpose.bounce], id_headers),
    )
    language = version.language if mailing.mails[delivery.content].translated else ""
    who = (own[Purpose.bounce], headers.ascii_address(delivery.address), message_id)
    return OutgoingMail(*who, rendered, envelope, version.files_in(rendered.html), language, sender.get("sign"))


def _own_addresses(
    sender: Mapping[str, Any], keys: KeyRing, ids: tuple[int, int], reads_mail: bool
) -> dict[Purpose, str]:
    """Return the addresses for what comes back about a mail, by their purpose.

    Where no mail is read, only the address for bounces: it is the envelope sender.
    """
    domain = headers.ascii_domain(str(sender["bounce_domain"]) or _domain(sender))
    purposes = PREFIXES if reads_mail else (Purpose.bounce,)
    return {purpose: f"{keys.sign_local_part(purpose, *ids)}@{domain}" for purpose in purposes}


def _extra_headers(mailing: Mailing, bounce_address: str, id_headers: IdHeaders) -> tuple[tuple[str, str], ...]:
    precedence = (("Precedence", "bulk"),) if mailing.bulk else ()
    return (*precedence, NO_AUTO_REPLY, *id_headers(bounce_address.partition("@")[0]))


def _domain(sender: Mapping[str, Any]) -> str:
    return str(sender["address"]).rpartition("@")[2]


def _own_links(mailing: Mailing, delivery: Recipient, keys: KeyRing, base_url: str) -> dict[str, str]:
    ids = (delivery.run_id, delivery.customer_id, keys.fingerprint(address.fold_mailbox(delivery.address)))
    return {
        "unsubscribe": f"{base_url}/u/{keys.sign(Purpose.unsubscribe, *ids)}",
        "preferences": f"{base_url}/p/{keys.sign(Purpose.preferences, *ids)}",
        "view_in_browser": f"{base_url}/v/{keys.sign(Purpose.view, *ids)}",
        "archive": archive_url(base_url, delivery.run_id, delivery.content) if mailing.archive else "",
    }


def _render(
    mailing: Mailing, delivery: Recipient, links: Mapping[str, str], tracking: Tracking | None
) -> tuple[MailVersion, RenderedMail]:
    """Render the version of the customer's language; without a customer, that of the files without a tag."""
    versions, customer = mailing.mails[delivery.content], _customer_format(mailing, delivery.facts)
    version = versions.choose(customer.language)
    parts = versions.values(version, customer)
    values = {**_values(mailing, delivery, links), **parts[HTML]}
    return version, version.template.render(values, tracking, others=parts)


def public_copy(mailing: Mailing, content: str, offers: Offers, date: datetime) -> tuple[str, str]:
    """Return subject and HTML of a content without any customer: every fact is unknown, links to own pages are empty.

    Of a mail with translations it is the version of the files without a tag. Raises RenderError.
    """
    reader = Recipient(0, 0, content, "", {}, offers, False, date)
    version, rendered = _render(mailing, reader, dict.fromkeys(OWN_PAGES, ""), None)
    return rendered.subject, _page(rendered.html, version.enclosed)


def archive_url(base_url: str, run_id: int, content: str) -> str:
    """Return the address of a public copy."""
    return f"{base_url}/archive/{run_id}/{quote(content, safe='')}"


def _page(html: str, files: Sequence[EnclosedFile]) -> str:
    urls = {file.content_id: file.data_url for file in files if file.content_id}
    return _PICTURE.sub(lambda match: urls.get(match[1], match[0]), html)


def _feedback_id(mailing: Mailing, delivery: Recipient) -> str:
    names = (headers.word(name) for name in (mailing.topic, delivery.content))
    return ":".join((str(delivery.run_id), *names, str(mailing.sender["feedback_id"])))


def _customer_format(mailing: Mailing, facts: Mapping[str, Any]) -> LocaleFormat:
    company = mailing.locale_format
    zone = time_zones.find_zone(facts.get("time_zone"), company.zone or ZoneInfo("UTC"))
    return replace(company, language=str(facts.get("language") or ""), zone=zone)


def _values(mailing: Mailing, delivery: Recipient, links: Mapping[str, str]) -> dict[str, object]:
    sender, profile, unknown = mailing.sender, delivery.profile, mailing.unknown
    customer = _with_parsed_dates(delivery.facts, mailing.dates.get("customer", ()))
    return {
        **unknown,
        **profile,
        "customer": {**unknown["customer"], **customer, **profile.get("customer", {})},
        "offers": [
            {**_product(mailing, "offers", facts), "times": times, "reason": _reason(times)}
            for facts, times in delivery.offers
        ],
        **_last_order(mailing, profile),
        "campaign": {"name": mailing.campaign},
        logo.COMPANY: dict(mailing.company),
        "sender": {
            "name": sender["brand"] or sender["name"],
            "email": sender["address"],
            "postal_address": sender["postal_address"],
        },
        "links": dict(links),
    }


def _last_order(mailing: Mailing, profile: ProfileValues) -> dict[str, object]:
    if "last_order" not in profile:
        return {}
    order = profile["last_order"]
    return {
        "last_order": {
            **order, "products": [_product(mailing, "last_order.products", facts) for facts in order["products"]]
        }
    }  # fmt: skip


def _product(mailing: Mailing, group: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return every fact that a group may name of a product; an unknown one is None."""
    return {**dict.fromkeys(mailing.vocabulary[group]), **_with_parsed_dates(facts, mailing.dates.get("offers", ()))}


def _with_parsed_dates(facts: Mapping[str, Any], days: Collection[str]) -> dict[str, Any]:
    """Return facts with dates parsed; a text that is not a date counts as unknown."""
    return {**facts, **{name: _parse_date(facts[name]) for name in days if facts.get(name) is not None}}


def _parse_date(text: Any) -> date | None:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        return None


def _reason(times: int) -> str:
    if times > 2:
        return f"You bought it {times} times"
    return "You have bought it before" if times else "Many of our customers like it"


def _tracking(keys: KeyRing, base_url: str, ids: tuple[int, int]) -> Tracking:
    return Tracking(
        click=lambda link: f"{base_url}/c/{keys.sign(Purpose.click, *ids, link)}",
        pixel=f"{base_url}/o/{keys.sign(Purpose.open, *ids)}",
        hidden=f"{base_url}/c/{keys.sign(Purpose.click, *ids)}",
    )


def _full_name(facts: Mapping[str, Any]) -> str:
    return " ".join(str(part) for part in (facts.get("first_name"), facts.get("last_name")) if part)
