"""Owns who a mail comes from, as `rules/senders.yaml` says; refuses to send."""

from __future__ import annotations

from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel

from mailshot.documents import Document


def _address(text: str) -> str:
    try:
        # Names reserved for tests (RFC 2606) are right for trying things out on a local inbox.
        return validate_email(text, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise ValueError(f"is not an e-mail address: {error}") from None


def _domain(text: str) -> str:
    if text:
        try:
            _address(f"postmaster@{text}")
        except ValueError:
            raise ValueError("is not a domain; write for example mail.example.com") from None
    return text


Address = Annotated[str, AfterValidator(_address)]
Domain = Annotated[str, AfterValidator(_domain)]


class Sender(BaseModel):
    """From whom, answered where, bounced where. CAN-SPAM wants the postal address in every mail."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    address: Address
    postal_address: str = Field(min_length=8)
    reply_to: Address | None = None
    bounce_domain: Domain = ""
    list_domain: Domain = ""
    feedback_id: str = Field("mailshot", min_length=5, max_length=15)
    brand: str = ""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


class File(RootModel[dict[str, Sender]]):
    pass


def read(document: Document) -> dict[str, Sender]:
    """Read all senders by name. Raises InvalidInput."""
    return document.model(File).root
