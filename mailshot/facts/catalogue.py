"""The catalogue of facts that rules, templates and imports may name.

`rules/facts.yaml` declares a shop's own facts in addition to the built-in ones:

    customer:
      household_size: {type: text, title: People at home, help: "As in '5+'", choices: ["1", "2", "3", "4", "5+"]}
      margin: {type: number, hidden: yes, help: "What the household's orders leave us a year"}
    product:
      organic: {type: boolean, help: "Whether the product is certified organic"}
    event:
      viewed: {help: Looked at a product's page, facts: {seconds: {type: number, unit: seconds, help: How long}}}
    interaction:
      agent: {type: text, help: Who spoke with the customer}
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator

from mailshot import documents
from mailshot.facts.localized_text import ShopText

# Keywords of rules: a fact with such a name could not be used in a rule.
RESERVED = frozenset((
    "all", "any", "not", "of", "everyone", "lifecycle", "preference", "trait", "consent", "audience", "share",
    "group", "any_of", "except", "zone", "within", "before", "since", "during", "in_next", "anniversary_in",
    "bought", "returned", "did", "received", "opened", "clicked", "converted", "contacted", "referred", "was_referred",
    "never_bought", "never_returned", "never_did", "never_received", "never_opened", "never_clicked",
    "never_converted", "never_contacted", "never_referred",
    "at_least", "at_most", "more_than", "less_than", "between", "exactly",
    "times", "items", "amount", "distinct_products", "days_since_last", "days_since_first", "average_order",
))  # fmt: skip


class FactType(StrEnum):
    text = "text"
    number = "number"
    boolean = "boolean"
    date = "date"


@dataclass(frozen=True, slots=True)
class Fact:
    """One typed thing. `own` marks a fact the shop declared: it lives in the row's `facts`, not in a column.

    `unit` is for people (seconds, EUR); `choices` are the only values it can have, none for any. `help` is for those
    who write rules, `title` for the customer who reads it on the preference page, where a `hidden` fact is left out
    and an `editable` one can be corrected.
    """

    name: str
    type: FactType
    help: str
    own: bool = False
    unit: str = ""
    choices: tuple[str, ...] = ()
    title: str = ""
    hidden: bool = False
    editable: bool = False

    @property
    def label(self) -> str:
        """The name that customers see: the title, else the name in readable form."""
        return self.title or self.name.replace("_", " ").strip().capitalize()

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
        day = date.fromisoformat(raw) if isinstance(raw, str) else None
    except ValueError:
        return None
    # Python reads '20260331' and '2026-W14-2' too; only what sorts as days do is one here.
    return day if day and day.isoformat() == raw else None


@dataclass(frozen=True, slots=True)
class EventType:
    """Something of the shop's own that happens to customers, and the facts that each such event carries."""

    name: str
    help: str
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every fact by name, about customers, products and interactions, and every event."""

    customer: Mapping[str, Fact]
    product: Mapping[str, Fact]
    events: Mapping[str, EventType] = field(default_factory=dict)
    interaction: Mapping[str, Fact] = field(default_factory=dict)


def _builtin(facts: Mapping[str, tuple[FactType, str]], titles: Mapping[str, str] | None = None) -> dict[str, Fact]:
    return {name: Fact(name, kind, help, title=(titles or {}).get(name, "")) for name, (kind, help) in facts.items()}


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
    },
    titles={"key": "Customer number", "email": "E-mail address", "joined_at": "With us since"},
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

_TAKEN: Mapping[str, Collection[str]] = {
    "customer": {*CUSTOMER, *RESERVED},
    "product": {*PRODUCT, *RESERVED, "channel"},
    "interaction": {*RESERVED, "kind", "direction", "outcome"},
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Declared(_Strict):
    """One fact of the shop's own."""

    type: FactType
    help: str = ""
    unit: str = ""
    choices: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _chosen(self) -> Self:
        if self.choices and self.type is not FactType.text:
            raise ValueError("only a text can have 'choices'")
        return self


class DeclaredCustomer(Declared):
    """One fact of the shop's own about customers, who see it on the preference page unless it is hidden.

    Customers may correct or remove an `editable` one.
    """

    title: ShopText = ""
    hidden: bool = False
    editable: bool = False

    @model_validator(mode="after")
    def _editable_is_shown(self) -> Self:
        if self.editable and self.hidden:
            raise ValueError("a fact cannot be both 'hidden' and 'editable'; choose one of them")
        return self


class DeclaredEvent(_Strict):
    """One event of the shop's own, with the facts it carries."""

    help: str = ""
    facts: dict[str, Declared] = {}


class FactsFile(_Strict):
    """`rules/facts.yaml`: the shop's own facts about customers, products and interactions, and its own events."""

    customer: dict[str, DeclaredCustomer] = {}
    product: dict[str, Declared] = {}
    event: dict[str, DeclaredEvent] = {}
    interaction: dict[str, Declared] = {}

    @field_validator("customer", "product", "interaction")
    @classmethod
    def _names(cls, facts: dict[str, Declared], info: ValidationInfo) -> dict[str, Declared]:
        _check(facts, _TAKEN[info.field_name or ""])
        return facts

    @field_validator("event")
    @classmethod
    def _events(cls, events: dict[str, DeclaredEvent]) -> dict[str, DeclaredEvent]:
        types: dict[str, tuple[FactType, str]] = {}
        for event, declared in events.items():
            _check(declared.facts, {*PRODUCT, *RESERVED, "event"})
            for name, fact in declared.facts.items():
                known, other = types.setdefault(name, (fact.type, event))
                if known is not fact.type:
                    raise ValueError(f"'{name}' is a {known} for '{other}' and a {fact.type} for '{event}'")
        return events


def _check(facts: Mapping[str, Declared], taken: Collection[str]) -> None:
    for name in facts:
        if not name.isidentifier() or name != name.lower():
            raise ValueError(f"'{name}' is not a fact name; use lower case letters, digits and _")
        if name in taken:
            raise ValueError(f"'{name}' is built in; choose another name")


def builtin() -> Catalogue:
    """Return the facts every shop has."""
    return Catalogue(CUSTOMER, PRODUCT)


def read(document: documents.Document) -> Catalogue:
    """Return the built-in facts and what `rules/facts.yaml` declares. Raises InvalidInput."""
    declared = document.model(FactsFile)
    events = {name: EventType(name, item.help, _own(item.facts)) for name, item in declared.event.items()}
    return Catalogue(
        {**CUSTOMER, **_own(declared.customer)},
        {**PRODUCT, **_own(declared.product)},
        events,
        _own(declared.interaction),
    )


def _own(declared: Mapping[str, Declared]) -> dict[str, Fact]:
    return {name: Fact(name, own=True, **item.model_dump()) for name, item in declared.items()}
