"""What can be imported: the kinds of rows, and the fields of each with type and help.

An unreadable cell costs the whole row if its field is required or a key. Otherwise the row is imported without that
value. For withdrawals, the loader decides (see `loader_decides`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from mailshot.facts.catalogue import Catalogue, Fact, FactType

FACT_PREFIX = "facts."
#: Fields of customers that hold a code (see `codes`).
CODE_FIELDS = ("country", "language", "time_zone")
YES = ("yes", "y", "true", "t", "1", "on", "given")
NO = ("no", "n", "false", "f", "0", "off", "withdrawn")
# What other mailers export. Only words that cannot mean anything else: 'active', 'pending' or 'unconfirmed' are no
# consent for certain and no withdrawal either, so the mapping has to say what they stand for.
_OPTED = ("opted {}", "opted-{}", "opted_{}", "opt {}", "opt-{}", "opt_{}", "opt{}")
GIVEN_YES = (
    "subscribed", "subscribe", "granted", "consented", *(form.format("in") for form in _OPTED),
    # German, Norwegian, French, Spanish, as the exports of mailers in these languages have them.
    "angemeldet", "påmeldt", "abonné", "abonnée", "alta",
)  # fmt: skip
GIVEN_NO = (
    "unsubscribed", "unsubscribe", "un-subscribed", "unsub", "cleaned", "revoked", "refused", "declined", "denied",
    "not given", "not subscribed", "bounced", "hard bounce", "hard bounced", "complained", "complaint",
    "spam complaint",
    "blocklisted", "blacklisted", "suppressed", "do not contact", "do not email", "do not mail",
    *(form.format("out") for form in _OPTED),
    "abgemeldet", "avmeldt", "désabonné", "désabonnée", "baja",
)  # fmt: skip
# Of these two one must be mapped, and a row needs one of them.
EITHER = ("customer", "email")


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
    suppressions = "suppressions"
    answers = "answers"


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
MAX_CHARACTERS = {Type.key: 200, Type.text: 500, Type.long_text: 2_000, Type.email: 320}


@dataclass(frozen=True, slots=True)
class Field:
    """One target of a column."""

    name: str
    type: Type
    help: str
    #: It must be mapped, and a row in which it cannot be read is rejected.
    required: bool = False
    #: A fact that lives in the row's JSON `facts`.
    own: bool = False
    #: A fact of a customer: its dates are those of people alive.
    of_person: bool = False
    #: All it can be; None: anything.
    choices: tuple[str, ...] | None = None
    #: Words recognised in any case, and written as here.
    known: tuple[str, ...] = ()
    #: The loader decides whether to reject the row: a withdrawal is applied even if this is unreadable.
    loader_decides: bool = False
    #: Words of a boolean.
    yes: tuple[str, ...] = YES
    no: tuple[str, ...] = NO

    @property
    def losable(self) -> bool:
        """Whether a row comes in without this value when it cannot be read."""
        return self.loader_decides or not (self.required or self.name == "key")


def _fields(*fields: Field) -> dict[str, Field]:
    return {field.name: field for field in fields}


_CUSTOMER = Field("customer", Type.key, "Key of the customer", required=True)
_CAMPAIGN = Field("campaign", Type.key, "Key of the past campaign", required=True)
_AT = Field("at", Type.instant, "When it happened", required=True)
_WHO = (
    Field("customer", Type.key, "Key of the customer", loader_decides=True),
    Field("email", Type.email, "Address, where the customer's key is not known", loader_decides=True),
)

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
        *_WHO,
        Field("topic", Type.key, "The topic, or 'tracking'", required=True),
        Field(
            "given",
            Type.boolean,
            "Whether it was given (yes) or withdrawn (no)",
            required=True,
            yes=(*YES, *GIVEN_YES),
            no=(*NO, *GIVEN_NO),
        ),
        replace(_AT, loader_decides=True),
        Field("source", Type.text, "Where it was given, as in 'web form'", required=True, loader_decides=True),
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
    Kind.suppressions: _fields(
        *_WHO,
        Field("reason", Type.text, "Why it must not be mailed, as in 'hard bounce'"),
        Field("at", Type.instant, "Since when; the import's moment when not mapped"),
        Field("source", Type.text, "Where this is known from; the mapping's name when not mapped"),
    ),
    Kind.answers: _fields(
        _CUSTOMER,
        Field("question", Type.key, "The question, as in rules/preferences.yaml", required=True),
        Field("value", Type.key, "The answer, one of the question's values", required=True),
        _AT,
        Field("holds", Type.boolean, "Whether it is so (yes) or not (no); yes when not mapped or empty"),
        Field("source", Type.text, "Where it was said, as in 'survey'; the mapping's name when not mapped"),
        Field("by", Type.text, "Who noted it: 'customer', or a member of staff"),
        Field("note", Type.long_text, "What else was said"),
    ),
}
_TYPES = {
    FactType.text: Type.long_text,
    FactType.number: Type.number,
    FactType.boolean: Type.boolean,
    FactType.date: Type.date,
}
_BUILT_IN = {"key": Type.key, "email": Type.email, "joined_at": Type.instant, "url": Type.long_text}


def fields_of(kind: Kind, catalogue: Catalogue, topics: Collection[str]) -> dict[str, Field]:
    """Return the fields that an import of this kind may map; what happened has the shop's own as `facts.<name>`.

    `topics` are those of rules/topics.yaml and 'tracking'. A past campaign may name one that is no more.
    """
    if kind in (Kind.consents, Kind.campaigns):
        topic = replace(FIXED[kind]["topic"], known=tuple(topics))
        return {**FIXED[kind], "topic": replace(topic, choices=topic.known) if kind is Kind.consents else topic}
    if kind is Kind.customers:
        facts = _of_facts(catalogue.customer)
        return {name: replace(field, of_person=True) for name, field in facts.items()}
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
    """Return the field of a `facts.<name>` column of a conversion, whose facts are not declared."""
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
