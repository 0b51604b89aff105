"""Owns what is the same for every campaign of a shop (`rules/company.yaml`); refuses anything a campaign decides."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from mailshot.campaign.definition import Strict, Zone
from mailshot.documents import Document


class Company(Strict):
    """`as_of` makes a past moment "today", for data that ends there."""

    brand: str = "Mailshot"
    time_zone: Zone = ZoneInfo("UTC")
    currency: str = "USD"
    link_hosts: tuple[str, ...] = ()
    as_of: datetime | None = None


def read(document: Document | None) -> Company:
    """Read the company file; without one, UTC and no brand. Raises InvalidInput."""
    return document.model(Company) if document else Company()
