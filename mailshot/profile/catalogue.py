"""Owns the list of facts that rules, templates and imports may name; refuses to hold a value of any.

`rules/facts.yaml` declares a shop's own facts beside the built-in ones:

    customer:
      household_size: {type: text, help: "Persons in the household, 1 to 5+"}
    product:
      organic: {type: boolean, help: "Whether the product is certified organic"}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, field_validator

from mailshot import documents


class FactType(StrEnum):
    text = "text"
    number = "number"
    boolean = "boolean"
    date = "date"


@dataclass(frozen=True, slots=True)
class Fact:
    """One typed thing. `own` marks a fact the shop declared: it lives in the row's `facts`, not in a column."""

    name: str
    type: FactType
    help: str
    own: bool = False

    def typed(self, raw: Any, zone: ZoneInfo | None = None) -> str | bool | Decimal | date | None:
        """Return a kept value as this fact's type; one of another type is as good as unknown.

        A moment counts as its day in `zone`.
        """
        if self.type is FactType.number:
            return Decimal(str(raw)) if isinstance(raw, int | float | Decimal) and not isinstance(raw, bool) else None
        if self.type is FactType.date:
            return _day(raw, zone)
        return raw if isinstance(raw, bool if self.type is FactType.boolean else str) else None


def _day(raw: Any, zone: ZoneInfo | None) -> date | None:
    if isinstance(raw, datetime):
        return raw.astimezone(zone).date()
    try:
        return date.fromisoformat(raw) if isinstance(raw, str) else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every fact by name, about customers and about products."""

    customer: Mapping[str, Fact]
    product: Mapping[str, Fact]


def _builtin(facts: Mapping[str, tuple[FactType, str]]) -> dict[str, Fact]:
    return {name: Fact(name, kind, help) for name, (kind, help) in facts.items()}


CUSTOMER = _builtin(
    {
        "key": (FactType.text, "The customer's key in the shop's own system"),
        "email": (FactType.text, "E-mail address"),
        "first_name": (FactType.text, "Given name"),
        "last_name": (FactType.text, "Family name"),
        "language": (FactType.text, "Language, as in 'en' or 'pt-BR' (BCP 47)"),
        "country": (FactType.text, "Country, as in 'NO' (ISO 3166)"),
        "time_zone": (FactType.text, "Time zone, as in 'Europe/Oslo' (IANA)"),
        "joined_at": (FactType.date, "When the customer became known"),
    }
)
PRODUCT = _builtin(
    {
        "key": (FactType.text, "The product's key (SKU) in the shop's own system"),
        "name": (FactType.text, "Name"),
        "department": (FactType.text, "Department, the widest group"),
        "category": (FactType.text, "Category within the department"),
        "type": (FactType.text, "Type within the category"),
        "brand": (FactType.text, "Brand"),
        "size": (FactType.text, "Package size as printed"),
        "price": (FactType.number, "Price in the shop's currency"),
        "url": (FactType.text, "Address of the product's page"),
    }
)


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: FactType
    help: str = ""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    customer: dict[str, _Declared] = {}
    product: dict[str, _Declared] = {}

    @field_validator("customer", "product")
    @classmethod
    def _names(cls, facts: dict[str, _Declared], info: object) -> dict[str, _Declared]:
        taken = CUSTOMER if getattr(info, "field_name", "") == "customer" else PRODUCT
        for name in facts:
            if not name.isidentifier() or name != name.lower():
                raise ValueError(f"'{name}' is not a fact name: use lower case letters, digits and _")
            if name in taken:
                raise ValueError(f"'{name}' is built in; choose another name")
        return facts


def builtin() -> Catalogue:
    """Return the facts every shop has."""
    return Catalogue(CUSTOMER, PRODUCT)


def read(document: documents.Document) -> Catalogue:
    """Return the built-in facts and those that `rules/facts.yaml` declares. Raises InvalidInput."""
    declared = document.model(_File)
    return Catalogue(_with(CUSTOMER, declared.customer), _with(PRODUCT, declared.product))


def _with(known: Mapping[str, Fact], declared: Mapping[str, _Declared]) -> dict[str, Fact]:
    return {**known, **{name: Fact(name, item.type, item.help, own=True) for name, item in declared.items()}}
