"""Senders, as declared in `rules/senders.yaml`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, model_validator

from mailshot.documents import Document
from mailshot.facts.yaml_values import Whole
from mailshot.profile.utm import UtmParameters

_SELECTOR = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_RELAY = re.compile(r"[a-z][a-z0-9_]{0,31}")
_WORD = re.compile(r"[!-9;-~]+")


def _address(text: str) -> str:
    # Imported here because it takes 20 ms, and counting an audience reads no sender.
    from email_validator import EmailNotValidError, validate_email

    try:
        # Test domains (RFC 2606) are allowed, for trying out mails in the local inbox.
        validated = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"is not an e-mail address: {error}") from None
    if not validated.local_part or not validated.local_part.isascii():
        raise ValueError("has letters such as ü or ø before the @, which Mailshot does not support (SMTPUTF8); use a-z")
    return validated.normalized


def _domain(text: str) -> str:
    if text:
        try:
            _address(f"postmaster@{text}")
        except ValueError:
            raise ValueError("is not a domain; write for example mail.example.com") from None
    return text


def _feedback_id(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise ValueError("must be ASCII letters, digits or punctuation, without spaces or colons (Feedback-ID header)")
    return text


def _selector(text: str) -> str:
    if not _SELECTOR.fullmatch(text):
        raise ValueError("must be a name as in DNS: a-z, 0-9 and hyphens, for example m1")
    return text


def _relay(name: str) -> str:
    if not _RELAY.fullmatch(name):
        raise ValueError("must be a name of a-z, 0-9 and _ that begins with a letter, for example own")
    return name


#: For editors: pydantic's own check would also call a list empty whose entries are all wrong.
_NOT_EMPTY = Field(json_schema_extra={"minItems": 1})
Address = Annotated[str, AfterValidator(_address)]
Domain = Annotated[str, AfterValidator(_domain)]
Selector = Annotated[str, AfterValidator(_selector)]


class Signing(BaseModel):
    """Which DKIM keys sign a sender's mails (RFC 6376): one signature for each selector."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    domain: Domain = Field(min_length=1)
    selector: Selector | Annotated[tuple[Selector, ...], Field(min_length=1)]


class SenderRelay(BaseModel):
    """One of the relays that a sender's mails are sent through. Its address is in MAILSHOT_RELAY_<NAME>."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    relay: Annotated[str, AfterValidator(_relay)] = Field(
        description="Its name: the relay 'own' has its address in the setting MAILSHOT_RELAY_OWN"
    )
    weight: Whole = Field(1, ge=1, le=1000, description="Its share of the connections, beside the other relays")
    connections: Whole | None = Field(None, ge=1, le=200, description="At most so many connections per worker process")
    rate: Whole | None = Field(None, ge=1, description="At most so many mails a minute")
    spare: bool = Field(False, description="yes: used only while no other relay works")


def _check_relays(relays: tuple[SenderRelay, ...]) -> tuple[SenderRelay, ...]:
    names = [relay.relay for relay in relays]
    if not names:
        raise ValueError("is empty; name a relay, or remove 'through'")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"names the relay '{twice[0]}' twice; keep one")
    if all(relay.spare for relay in relays):
        raise ValueError("has only spare relays; remove 'spare' from at least one")
    return relays


class Sender(BaseModel):
    """From, Reply-To and bounce addresses. CAN-SPAM requires the postal address in every mail."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    address: Address
    postal_address: str = Field(min_length=8)
    reply_to: Address | None = None
    replies: Literal["mailbox"] | None = Field(
        None, description="mailbox: replies come to MAILSHOT_MAILBOX, each with its customer. Not beside reply_to"
    )
    bounce_domain: Domain = ""
    list_domain: Domain = ""
    feedback_id: Annotated[str, AfterValidator(_feedback_id)] = Field("mailshot", min_length=5, max_length=15)
    brand: str = ""
    utm: UtmParameters = UtmParameters()
    #: None: mails leave unsigned, and the relay signs them.
    sign: Signing | None = None
    #: None: mails are sent through MAILSHOT_SMTP.
    through: Annotated[tuple[SenderRelay, ...], AfterValidator(_check_relays), _NOT_EMPTY] | None = None

    @model_validator(mode="after")
    def _one_place_for_replies(self) -> Sender:
        if self.reply_to and self.replies:
            raise ValueError(
                "'reply_to' and 'replies' exclude each other: replies go to that address, or to the mailbox; keep one"
            )
        return self

    def freeze(self, company_brand: str) -> dict[str, Any]:
        """Return what mails need of the sender, as plain values. `company_brand`: for a sender without a brand.

        `replies`, `sign` and `through` are there only if they are set, so that older snapshots keep their digest.
        """
        unset = {name for name in ("replies", "sign", "through") if getattr(self, name) is None}
        return {**self.model_dump(mode="json", exclude={"utm", *unset}), "brand": self.brand or company_brand}

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


class SendersFile(RootModel[dict[str, Sender]]):
    pass


def read(document: Document) -> dict[str, Sender]:
    """Read all senders by name. Raises InvalidInput."""
    return document.model(SendersFile).root
