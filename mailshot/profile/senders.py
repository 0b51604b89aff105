"""Owns who a mail comes from, as `rules/senders.yaml` says; refuses to send."""

from __future__ import annotations

from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel

from mailshot.documents import Document


def _address(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise ValueError(f"is not an e-mail address: {error}") from None


def _special(text: str) -> str:
    # example.com and friends are reserved, yet right for trying things out on a local inbox.
    return text if text.rpartition("@")[2].lower().endswith(("example.com", "example.org", ".test")) else _address(text)


Address = Annotated[str, AfterValidator(_special)]


class Sender(BaseModel):
    """From whom, answered where, bounced where. CAN-SPAM wants the postal address in every mail."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    address: Address
    postal_address: str = Field(min_length=8)
    reply_to: Address | None = None
    bounce_domain: str = ""
    list_domain: str = ""
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
