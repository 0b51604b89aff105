"""Senders, as declared in `rules/senders.yaml`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, model_validator

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
    replies: Literal["mailbox"] | None = Field(
        None, description="mailbox: replies come to MAILSHOT_MAILBOX, each with its customer. Not beside reply_to"
    )
    bounce_domain: Domain = ""
    list_domain: Domain = ""
    feedback_id: Annotated[str, AfterValidator(_feedback_id)] = Field("mailshot", min_length=5, max_length=15)
    brand: str = ""
    utm: UtmParameters = UtmParameters()

    @model_validator(mode="after")
    def _one_place_for_replies(self) -> Sender:
        if self.reply_to and self.replies:
            raise ValueError(
                "'reply_to' and 'replies' exclude each other: replies go to that address, or to the mailbox; keep one"
            )
        return self

    def freeze(self, company_brand: str) -> dict[str, Any]:
        """Return the fields that mails need. `company_brand` is the brand of a sender without one of its own.

        `replies` is there only if it is set, so that older snapshots keep their digest.
        """
        unset = set() if self.replies else {"replies"}
        return {**self.model_dump(exclude={"utm", *unset}), "brand": self.brand or company_brand}

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


class SendersFile(RootModel[dict[str, Sender]]):
    pass


def read(document: Document) -> dict[str, Sender]:
    """Read all senders by name. Raises InvalidInput."""
    return document.model(SendersFile).root
