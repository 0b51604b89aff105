"""The registry of activity kinds: everything that customers do and rules test (`bought`, `opened`, `contacted`, …).

All kinds are tested alike: filtered by their own fields, by the product where they have one, and by a window, then
counted. So whatever can be said about purchases can be said about events, mails, interactions and referrals.

To add a kind, add its entry to KINDS. Parser, JSON Schema, descriptions, evaluator, compiler and examples read
everything they need from it; mypy reports a field that is missing. The table of a kind is declared in
`store.rule_schema`, the columns of its import in `ingest.fields`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mailshot.facts.catalogue import Catalogue, Fact, FactType
from mailshot.states import FeedbackClass

COUNTS = {
    "times": "times",
    "items": "items",
    "amount": "amount",
    "distinct_products": "different products",
}
AGES = {
    "days_since_last": "days since the last",
    "days_since_first": "days since the first",
    "average_order": "on average per order",
}
#: Every aggregate that a rule may compare, and how it is described.
MEASURES = {**COUNTS, **AGES}
_ALWAYS = ("times", "days_since_last", "days_since_first")
_MAIL_CONDITION, _MAIL_ACTIVITY = "{campaign: spring, within: 90 days}", "{campaign: spring, at: 10 days ago}"
_HUMAN = {"by": FeedbackClass.human.value}


def _facts(*facts: Fact) -> dict[str, Fact]:
    return {fact.name: fact for fact in facts}


def _text(name: str, help: str, choices: tuple[str, ...] = ()) -> Fact:
    return Fact(name, FactType.text, help, choices=choices)


@dataclass(frozen=True, slots=True, repr=False)
class ActivityKind:
    """One kind of activity, as rules and examples use it."""

    #: The word of a condition, and of an activity in an example.
    keyword: str
    #: For documentation and editors.
    help: str
    #: A condition of this kind in YAML, for error messages.
    condition: str
    #: One activity of an example's customer in YAML, for error messages.
    activity: str
    #: The word of the negated condition; '' if there is none.
    negated: str
    fields: Mapping[str, Fact] = field(default_factory=dict)
    #: Activities have a product, which conditions may filter.
    of_products: bool = False
    #: Activities are lines of an order, with quantity and amount.
    in_orders: bool = False
    #: Keys of MEASURES that conditions may use.
    measures: tuple[str, ...] = _ALWAYS
    #: Values of fields that a condition does not name.
    defaults: Mapping[str, str] = field(default_factory=dict)
    #: Recorded only for customers who consent to tracking.
    tracked: bool = False
    #: The keyword of the kind whose rows in a profile contain these, too; '' if they are kept by themselves.
    lines: str = ""
    #: Where a shop declares fields of its own in rules/facts.yaml; '' if it cannot.
    declared: Literal["", "events", "interactions"] = ""

    def __repr__(self) -> str:
        return f"<{self.keyword}>"

    @property
    def verb(self) -> str:
        """How it is described: 'was referred'."""
        return self.keyword.replace("_", " ")

    @property
    def kept_as(self) -> str:
        """The keyword under which a profile keeps these activities."""
        return self.lines or self.keyword

    def known(self, catalogue: Catalogue) -> dict[str, Fact]:
        """Return every field that a condition may name, with those that the shop declares."""
        if self.declared == "events":
            own = {name: fact for event in catalogue.events.values() for name, fact in event.facts.items()}
            event = _text("event", self.fields["event"].help, tuple(catalogue.events))
            return {"event": event, **own}
        return {**self.fields, **(catalogue.interaction if self.declared == "interactions" else {})}


BOUGHT = ActivityKind(
    "bought",
    "purchases, filtered by product fields and a window, and counted",
    condition="{department: PRODUCE, within: 90 days}",
    activity="{group: vegetables, at: 10 days ago}",
    negated="never_bought",
    fields=_facts(_text("channel", "Where it was bought, as in 'web' or 'store'")),
    of_products=True,
    in_orders=True,
    measures=tuple(MEASURES),
)
RETURNED = ActivityKind(
    "returned",
    "returned purchases, filtered by product fields and a window, and counted",
    condition="{department: PRODUCE, within: 90 days}",
    activity="{group: vegetables, at: 5 days ago}",
    negated="never_returned",
    fields=_facts(_text("channel", "Where it was returned, as in 'web' or 'store'")),
    of_products=True,
    in_orders=True,
    measures=tuple(MEASURES),
    lines="bought",
)
DID = ActivityKind(
    "did",
    "events of your own (viewed, added to basket), by their facts and products",
    condition="{event: viewed, within: 7 days}",
    activity="{event: viewed, at: 10 days ago}",
    negated="never_did",
    fields=_facts(_text("event", "Which event, as declared in rules/facts.yaml")),
    of_products=True,
    measures=("times", "amount", "distinct_products", "days_since_last", "days_since_first"),
    declared="events",
)
_MAIL = _facts(
    _text("campaign", "The campaign's name"),
    _text("topic", "The campaign's topic"),
    _text("content", "Which content of the campaign"),
)
_BY = _text("by", "What probably caused it; default: 'human'", tuple(kind.value for kind in FeedbackClass))
RECEIVED = ActivityKind(
    "received",
    "mails that were delivered to the server",
    condition=_MAIL_CONDITION,
    activity=_MAIL_ACTIVITY,
    negated="never_received",
    fields=_MAIL,
)
OPENED = ActivityKind(
    "opened",
    "mails opened, by people unless 'by' says otherwise",
    condition=_MAIL_CONDITION,
    activity=_MAIL_ACTIVITY,
    negated="never_opened",
    fields={**_MAIL, "by": _BY},
    defaults=_HUMAN,
    tracked=True,
)
CLICKED = ActivityKind(
    "clicked",
    "links clicked, by people unless 'by' says otherwise",
    condition=_MAIL_CONDITION,
    activity=_MAIL_ACTIVITY,
    negated="never_clicked",
    fields={**_MAIL, "by": _BY, "link": _text("link", "Address the link leads to")},
    defaults=_HUMAN,
    tracked=True,
)
CONVERTED = ActivityKind(
    "converted",
    "goals reached in response to a campaign",
    condition=_MAIL_CONDITION,
    activity=_MAIL_ACTIVITY,
    negated="never_converted",
    fields=_MAIL,
)
CONTACTED = ActivityKind(
    "contacted",
    "interactions: calls, visits, support cases, with their outcome",
    condition="{kind: call, within: 2 weeks}",
    activity="{kind: call, at: 10 days ago}",
    negated="never_contacted",
    fields=_facts(
        _text("kind", "Call, visit, support, or any other word the shop uses"),
        _text("direction", "Who initiated it", ("in", "out")),
        _text("outcome", "The result, as in 'interested' or 'solved'"),
    ),
    declared="interactions",
)
REFERRED = ActivityKind(
    "referred",
    "customers whom this one referred",
    condition="{within: 1 year}",
    activity="{at: 10 days ago}",
    negated="never_referred",
    fields=_facts(_text("source", "Where the referral was made, as in 'friend link'")),
)
WAS_REFERRED = ActivityKind(
    "was_referred",
    "was referred by another customer",
    condition="{within: 1 year}",
    activity="{at: 10 days ago}",
    negated="",
    fields=REFERRED.fields,
)
KINDS: dict[str, ActivityKind] = {
    kind.keyword: kind
    for kind in (BOUGHT, RETURNED, DID, RECEIVED, OPENED, CLICKED, CONVERTED, CONTACTED, REFERRED, WAS_REFERRED)
}
