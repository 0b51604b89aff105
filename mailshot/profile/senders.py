"""Senders, as declared in `rules/senders.yaml`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel

from mailshot.documents import Document
from mailshot.profile.utm import UtmParameters

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


Address = Annotated[str, AfterValidator(_address)]
Domain = Annotated[str, AfterValidator(_domain)]


class Sender(BaseModel):
    """From, Reply-To and bounce addresses. CAN-SPAM requires the postal address in every mail."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    address: Address
    postal_address: str = Field(min_length=8)
    reply_to: Address | None = None
    bounce_domain: Domain = ""
    list_domain: Domain = ""
    feedback_id: Annotated[str, AfterValidator(_feedback_id)] = Field("mailshot", min_length=5, max_length=15)
    brand: str = ""
    utm: UtmParameters = UtmParameters()

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


class SendersFile(RootModel[dict[str, Sender]]):
    pass


def read(document: Document) -> dict[str, Sender]:
    """Read all senders by name. Raises InvalidInput."""
    return document.model(SendersFile).root
