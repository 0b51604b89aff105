"""The settings of a shop that all its campaigns share (`rules/company.yaml`)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from mailshot.documents import Document
from mailshot.facts import language_matching, locales, yaml_values
from mailshot.profile.lifecycle import DEFAULT, Thresholds
from mailshot.profile.utm import UtmParameters
from mailshot.rulebook.campaign import Length, Moment, Strict, Zone

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_HOST = re.compile(r"[^\s@\\]+")
# Pictures that Gmail or Outlook do not show.
_UNSHOWN = (".svg", ".svgz", ".webp", ".avif", ".heic", ".bmp", ".tif", ".tiff", ".ico", ".pdf")
_EITHER = "write for example 'https://shop.example/logo.png', or '_base/logo.png' for a file under templates/"


class Lifecycle(Strict):
    """How long after the first purchase a customer is new, and after the last one not yet lapsing or lapsed."""

    new: Length = DEFAULT.new
    lapsing: Length = DEFAULT.lapsing
    lapsed: Length = DEFAULT.lapsed

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lapsing.approximate_days >= self.lapsed.approximate_days:
            raise ValueError("'lapsed' must be a longer time than 'lapsing'")
        return self

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(self.new, self.lapsing, self.lapsed)


def _currency(code: str) -> str:
    if not (re.fullmatch("[A-Z]{3}", code) and locales.is_currency(code)):
        raise ValueError("is not a currency's code; write for example 'EUR' or 'NOK' (ISO 4217)")
    return code


def _language(code: str) -> str:
    if not locales.is_language(code):
        raise ValueError("is not a language; write for example 'en', 'en-GB' or 'nb' (BCP 47)")
    return code


def _picture(text: Any) -> str:
    picture = str(text).strip()
    url = urlsplit(picture)
    if picture.lower().startswith("http:"):
        raise ValueError(f"is plain http; write its https address: 'https{picture[4:]}'")
    is_url = picture.lower().startswith("https://")
    is_whole = is_url and _HOST.fullmatch(url.netloc) and not re.search(r"[\s\\]", picture)
    if not is_whole and (not picture or _SCHEME.match(picture) or picture.startswith("/")):
        raise ValueError(f"is neither an https address nor a file under templates/; {_EITHER}")
    if url.path.lower().endswith(_UNSHOWN):
        raise ValueError("is a picture that many mail programs do not show; use a PNG, JPEG or GIF")
    return picture


class Logo(Strict):
    """The company's logo in mails: an https address, or a file under templates/, which travels with the mail.

    `alt` is its text for readers who do not see it, the brand unless given. `width` is in CSS pixels.
    """

    picture: Annotated[str, BeforeValidator(_picture)] = Field(examples=["https://shop.example/logo.png"])
    alt: str = ""
    width: Annotated[int | None, BeforeValidator(yaml_values.digits)] = Field(None, ge=1, le=600)

    @model_validator(mode="before")
    @classmethod
    def _by_picture_alone(cls, value: Any) -> Any:
        return {"picture": _picture(value)} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        whole = handler(schema)
        return {"anyOf": [{"type": "string", "examples": ["_base/logo.png"]}, whole]}

    @property
    def file(self) -> str:
        """Its path under templates/; "" for a picture on a server."""
        return "" if self.picture.lower().startswith("https://") else self.picture


class Company(Strict):
    """`as_of` makes a past moment "today", for data that ends there.

    Mails format money, and dates for customers of unknown language, for `language`. Templates without a tag are in it.
    `languages` lists the languages that customers are written to, the preferred one first: a customer whose language a
    mail does not have gets the first one of the list that it has.
    """

    brand: str = "Mailshot"
    logo: Logo | None = None
    time_zone: Zone = ZoneInfo("UTC")
    currency: Annotated[str, AfterValidator(_currency)] = "USD"
    language: Annotated[str, AfterValidator(_language)] = locales.ENGLISH
    languages: Annotated[
        tuple[Annotated[str, AfterValidator(language_matching.read_tag)], ...],
        AfterValidator(language_matching.check_distinct),
        Field(examples=[["nb", "en"]]),
    ] = ()
    link_hosts: tuple[str, ...] = ()
    utm: UtmParameters = UtmParameters()
    as_of: Moment | None = None
    lifecycle: Lifecycle = Lifecycle()

    def today(self, asked: datetime | None, now: datetime) -> datetime:
        """Return the moment that counts as today: asked for, else the company's, else now; in the company's zone."""
        chosen = asked or self.as_of or now
        return chosen.astimezone(self.time_zone) if chosen.tzinfo else chosen.replace(tzinfo=self.time_zone)


def read(document: Document | None) -> Company:
    """Read the company file; without one, UTC and no brand. Raises InvalidInput."""
    return document.model(Company) if document else Company()
