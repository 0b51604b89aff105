"""Owns what is the same for every campaign of a shop (`rules/company.yaml`); refuses anything a campaign decides."""

from __future__ import annotations

from datetime import datetime
from typing import Self
from zoneinfo import ZoneInfo

from pydantic import model_validator

from mailshot.campaign.definition import Length, Moment, Strict, Zone
from mailshot.documents import Document
from mailshot.profile.lifecycle import DEFAULT, Thresholds


class Lifecycle(Strict):
    """How long a first purchase makes one new, and how long a silence makes one lapsing, then lapsed."""

    new: Length = DEFAULT.new
    lapsing: Length = DEFAULT.lapsing
    lapsed: Length = DEFAULT.lapsed

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lapsing.rough >= self.lapsed.rough:
            raise ValueError("'lapsed' must be a longer silence than 'lapsing'")
        return self

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(self.new, self.lapsing, self.lapsed)


class Company(Strict):
    """`as_of` makes a past moment "today", for data that ends there."""

    brand: str = "Mailshot"
    time_zone: Zone = ZoneInfo("UTC")
    currency: str = "USD"
    link_hosts: tuple[str, ...] = ()
    as_of: Moment | None = None
    lifecycle: Lifecycle = Lifecycle()

    def today(self, asked: datetime | None, now: datetime) -> datetime:
        """Return the moment that counts as today: asked for, else the company's, else now; in the company's zone."""
        chosen = asked or self.as_of or now
        return chosen.astimezone(self.time_zone) if chosen.tzinfo else chosen.replace(tzinfo=self.time_zone)


def read(document: Document | None) -> Company:
    """Read the company file; without one, UTC and no brand. Raises InvalidInput."""
    return document.model(Company) if document else Company()
