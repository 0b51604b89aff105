"""Owns what can be imported: each kind with its fields, their types and their help; refuses to read a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from mailshot.profile.catalogue import Catalogue, Fact, FactType

FACT_PREFIX = "facts."


class Kind(StrEnum):
    customers = "customers"
    products = "products"
    purchases = "purchases"
    consents = "consents"
    events = "events"
    interactions = "interactions"
    referrals = "referrals"
    campaigns = "campaigns"
    recipients = "recipients"
    conversions = "conversions"


class Type(StrEnum):
    """What the text of a cell must be."""

    key = "key"
    text = "text"
    long_text = "long text"
    email = "e-mail address"
    number = "number"
    instant = "time"
    boolean = "yes or no"
    date = "date"


# In characters: an index entry of PostgreSQL holds about 2,700 octets.
MOST = {Type.key: 200, Type.text: 500, Type.long_text: 2_000, Type.email: 320}


@dataclass(frozen=True, slots=True)
class Field:
    """One target of a column. `own` marks a fact that lives in the row's JSON `facts`; `choices` all it can be."""

    name: str
    type: Type
    help: str
    required: bool = False
    own: bool = False
    choices: tuple[str, ...] | None = None


def _fields(*fields: Field) -> dict[str, Field]:
    return {field.name: field for field in fields}


_CUSTOMER = Field("customer", Type.key, "Key of the customer", required=True)
_CAMPAIGN = Field("campaign", Type.key, "Key of the past campaign", required=True)
_AT = Field("at", Type.instant, "When it happened", required=True)

FIXED: dict[Kind, dict[str, Field]] = {
    Kind.purchases: _fields(
        _CUSTOMER,
        Field("order", Type.key, "Key of the order (receipt, basket)", required=True),
        Field("product", Type.key, "Key of the product", required=True),
        _AT,
        Field("quantity", Type.number, "How many; below zero for a return", required=True),
        Field(
            "amount",
            Type.number,
            "Paid for the whole line, or (below zero) paid back, in the shop's currency",
            required=True,
        ),
        Field("channel", Type.text, "Where it was bought, as in 'web' or 'store'"),
    ),
    Kind.consents: _fields(
        _CUSTOMER,
        Field("topic", Type.key, "The topic, or 'tracking'", required=True),
        Field("given", Type.boolean, "Whether it was given (yes) or withdrawn (no)", required=True),
        _AT,
        Field("source", Type.text, "Where it was given, as in 'web form'", required=True),
    ),
    Kind.events: _fields(
        _CUSTOMER,
        Field("name", Type.key, "What happened, as in 'viewed'", required=True),
        _AT,
        Field("key", Type.key, "Key of the event; made from name and time when not mapped"),
        Field("amount", Type.number, "An amount that belongs to it"),
        Field("product", Type.key, "Key of the product it is about"),
    ),
    Kind.interactions: _fields(
        _CUSTOMER,
        Field("kind", Type.key, "Call, visit, support, or any other word", required=True),
        _AT,
        Field("key", Type.key, "Key of the interaction; made from kind and time when not mapped"),
        Field("direction", Type.text, "Who began it: in or out", choices=("in", "out")),
        Field("outcome", Type.text, "What came of it"),
    ),
    Kind.referrals: _fields(
        Field("customer", Type.key, "Key of the customer who brought the other", required=True),
        Field("referred", Type.key, "Key of the customer who was brought", required=True),
        _AT,
        Field("source", Type.text, "Where the referral was made, as in 'friend link'"),
    ),
    Kind.campaigns: _fields(
        Field("key", Type.key, "Key of the campaign", required=True),
        Field("start", Type.instant, "When its mails went out", required=True),
        Field("end", Type.instant, "When its offer ended"),
        Field("topic", Type.key, "The topic it was sent under", required=True),
        Field("name", Type.text, "Name for people"),
    ),
    Kind.recipients: _fields(_CAMPAIGN, _CUSTOMER),
    Kind.conversions: _fields(
        _CUSTOMER,
        _CAMPAIGN,
        _AT,
        Field("key", Type.key, "Key of the conversion; made from campaign and time when not mapped"),
    ),
}
_TYPES = {
    FactType.text: Type.long_text,
    FactType.number: Type.number,
    FactType.boolean: Type.boolean,
    FactType.date: Type.date,
}
_BUILT_IN = {"key": Type.key, "email": Type.email, "joined_at": Type.instant, "url": Type.long_text}


def of(kind: Kind, catalogue: Catalogue) -> dict[str, Field]:
    """Return the fields that an import of this kind may map; what happened has the shop's own as `facts.<name>`."""
    if kind is Kind.customers:
        return _of_facts(catalogue.customer)
    if kind is Kind.products:
        return _of_facts(catalogue.product)
    if kind is Kind.interactions:
        return {**FIXED[kind], **_details(catalogue.interaction)}
    if kind is not Kind.events:
        return FIXED[kind]
    declared = replace(FIXED[kind]["name"], choices=tuple(catalogue.events))
    carried = {name: fact for event in catalogue.events.values() for name, fact in event.facts.items()}
    return {**FIXED[kind], "name": declared, **_details(carried)}


def loose(kind: Kind, name: str) -> Field | None:
    """Return the field that `facts.<name>` stands for in a conversion: what is known of it is nobody's to declare."""
    fact = name.removeprefix(FACT_PREFIX)
    if kind is not Kind.conversions or fact == name or not fact.isidentifier():
        return None
    return Field(name, Type.long_text, "A detail of the conversion", own=True)


def _of_facts(facts: Mapping[str, Fact]) -> dict[str, Field]:
    made = {}
    for fact in facts.values():
        kind = _TYPES[fact.type] if fact.own else _BUILT_IN.get(fact.name, _built_in(fact))
        required, choices = fact.name == "key", fact.choices or None
        made[fact.name] = Field(fact.name, kind, fact.help, required=required, own=fact.own, choices=choices)
    return made


def _details(facts: Mapping[str, Fact]) -> dict[str, Field]:
    own = {f"{FACT_PREFIX}{name}": fact for name, fact in facts.items()}
    return {
        name: Field(name, _TYPES[fact.type], fact.help, own=True, choices=fact.choices or None)
        for name, fact in own.items()
    }


def _built_in(fact: Fact) -> Type:
    return Type.number if fact.type is FactType.number else Type.text
