"""The schema of a campaign file.

campaign: vegetable week
topic: offers
sender: greenleaf
audience: vegetable lovers
content:
  - {name: vegetarian, when: {trait: {diet: vegetarian}}, template: vegetables, offers: vegetables}
  - {name: others, template: market, offers: market}
offers:
  vegetables: {products: {department: PRODUCE}, take: 6}
schedule: {cron: "0 9 * * MON", zone: Europe/Oslo}
repeat: yes
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from mailshot.facts import json_schema, yaml_values
from mailshot.facts.periods import Span
from mailshot.profile.utm import UtmParameters

_DATED = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TRUTH = TypeAdapter(bool)
# The rulebook reads these in place; the JSON schema refers to their own schemas.
Rule = Annotated[Any, WithJsonSchema({json_schema.STANDS: "condition"})]
Products = Annotated[Any, WithJsonSchema({json_schema.STANDS: "selection"})]


def _span(text: Any) -> Span:
    span = text if isinstance(text, Span) else Span.parse(str(text))
    if span is None:
        raise ValueError("is not a length of time; write for example '7 days'")
    return span


def _zone(text: Any) -> ZoneInfo:
    try:
        return ZoneInfo(str(text))
    except (KeyError, ValueError, OSError):
        raise ValueError("is not a time zone; write for example 'Europe/Oslo'") from None


def _moment(text: Any) -> object:
    # A number would be taken for seconds since 1970, and '2026' for half an hour of them.
    if isinstance(text, str) and not (_DATED.match(text) and int(text[:4]) in yaml_values.YEARS):
        raise ValueError("is not a date or a moment; write for example 2026-03-31 or 2026-03-31 09:00")
    return text


def _share(text: Any) -> int:
    if isinstance(text, int):
        return text
    parts = yaml_values.parse_percent(str(text))
    if parts is None or parts > 9_999:
        raise ValueError("must be a percentage from 0% to 99.99%; write for example '5%'")
    return parts


def _repeat(value: Any) -> bool | Span:
    text = str(value).strip().lower()
    span = Span.parse(text.removeprefix("after ")) if text.startswith("after ") else None
    if isinstance(value, Span) or span:
        return span or value
    try:
        return _TRUTH.validate_python(value)
    except ValidationError:
        hint = f"write 'after {text}'" if Span.parse(text) else "write yes, no, or for example 'after 300 days'"
        raise ValueError(f"is not yes, no or 'after' a length of time; {hint}") from None


Length = Annotated[Span, BeforeValidator(_span), WithJsonSchema(json_schema.SPAN)]
Zone = Annotated[ZoneInfo, BeforeValidator(_zone), WithJsonSchema({"type": "string", "examples": ["Europe/Oslo"]})]
Parts = Annotated[int, BeforeValidator(_share), WithJsonSchema(json_schema.SHARE)]
#: False: once over all runs. True: in every run. A time span: again if the last mail is at least that old.
Repeat = Annotated[bool | Span, BeforeValidator(_repeat), WithJsonSchema(json_schema.REPEAT)]
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema(json_schema.MOMENT)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Content(Strict):
    """One mail of the campaign; the first whose `when` fits is chosen. `about` names its products for guards."""

    name: str
    template: str
    when: Rule = None
    offers: str | None = None
    about: Products = None


class Offers(Strict):
    """Products chosen per customer: first those bought most within the window, then those others buy most."""

    products: Products
    take: yaml_values.Whole = Field(6, ge=1, le=50)
    at_least: yaml_values.Whole = Field(1, ge=0)
    bought_within: Length = Span(1, "year")
    fill: bool = True

    @model_validator(mode="after")
    def _room(self) -> Offers:
        if self.at_least > self.take:
            raise ValueError(f"'at_least' asks for {self.at_least} products, 'take' allows {self.take}")
        return self


class ScheduleDefinition(Strict):
    """Now (empty), once `at` a time, or repeatedly by `cron`, in `zone`."""

    at: Moment | None = None
    cron: str | None = None
    zone: Zone | None = None

    @field_validator("cron")
    @classmethod
    def _cron(cls, text: str | None) -> str | None:
        try:
            if text is not None:
                CronSim(text, datetime(2026, 1, 1))
        except CronSimError as error:
            message = f"is not a cron expression (minute hour day month weekday): {error}"
            raise ValueError(f"{message}; write for example '0 9 * * MON'") from None
        return text

    @model_validator(mode="after")
    def _one(self) -> ScheduleDefinition:
        if self.at and self.cron:
            raise ValueError("'at' and 'cron' exclude each other; keep one")
        return self

    def next_after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """Return the next due moment after `moment`, None when there is none."""
        local = self.zone or zone
        if self.at is not None:
            due = self._due(zone)
            return due if due > moment else None
        return next_slot(self.cron, moment.astimezone(local)) if self.cron else None

    def words(self, zone: ZoneInfo) -> str:
        """Return the schedule in words; `zone` is the company's."""
        if self.cron:
            elsewhere = f" ({self.zone.key})" if self.zone and self.zone.key != zone.key else ""
            return f"{CronSim(self.cron, datetime(2026, 1, 1)).explain()}{elsewhere}"
        return f"once at {self._due(zone).astimezone(zone):%Y-%m-%d %H:%M %Z}" if self.at else "now"

    def _due(self, zone: ZoneInfo) -> datetime:
        assert self.at
        return self.at if self.at.tzinfo else self.at.replace(tzinfo=self.zone or zone)


class Cap(Strict):
    """At most `mails` mails to one customer, over all campaigns, in any period `per`."""

    mails: yaml_values.Whole = Field(ge=1)
    per: Length


class Limits(Strict):
    cap: Cap | None = None
    rate: Annotated[int | None, BeforeValidator(yaml_values.digits)] = Field(
        default=None, ge=1, description="Mails per minute over all workers."
    )


class GoalDefinition(Strict):
    """The goal: purchases of `products`, or an `event` (on them), `within` a period after the mail."""

    products: Products = None
    event: str | None = Field(default=None, description="An event of rules/facts.yaml; purchases without it.")
    within: Length = Span(14, "day")


class CampaignDefinition(Strict):
    """A campaign file. Rules in it (`when`, `products`, `about`) stay as written; the rulebook reads them in place."""

    campaign: str
    description: str = ""
    topic: str
    sender: str
    audience: str
    content: list[Content] = Field(min_length=1)
    offers: dict[str, Offers] = {}
    schedule: ScheduleDefinition = ScheduleDefinition()
    limits: Limits = Limits()
    holdout: Parts = 500
    goal: GoalDefinition | None = None
    in_doubt: Literal["at_most_once", "at_least_once"] = "at_most_once"
    repeat: Repeat | None = None
    as_of: Moment | None = None
    utm: UtmParameters = UtmParameters()
    archive: Annotated[bool, Field(description="Show a copy without customer data in the public archive.")] = False

    @field_validator("schedule", mode="before")
    @classmethod
    def _now(cls, value: Any) -> object:
        return {} if value == "now" else value

    @property
    def repeats(self) -> bool:
        """Whether every customer may receive it again in every later run."""
        # A schedule launched before `repeat` was required with `cron` keeps its behaviour.
        return self.schedule.cron is not None if self.repeat is None else self.repeat is True

    def received_since(self, as_of: datetime, zone: ZoneInfo) -> datetime | None:
        """Return the time since which an earlier mail excludes a customer; None: any. `zone` is the company's."""
        local = as_of.astimezone(self.schedule.zone or zone)
        return self.repeat.before(local) if isinstance(self.repeat, Span) else None


def next_slot(cron: str, local: datetime) -> datetime:
    """Return the first moment after `local` whose local time fits; of an hour that occurs twice, the first counts."""
    # In the second of two equal hours CronSim names a moment of the first; only UTC tells them apart.
    return next(due for due in CronSim(cron, local) if due.astimezone(UTC) > local.astimezone(UTC))
