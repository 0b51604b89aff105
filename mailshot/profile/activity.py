"""Owns the kinds of things that happen to customers, and what can be asked about each; refuses to hold any happening.

Every kind is asked about alike: filtered by its own fields (and by the product, where it has one) and a window, then
counted. So a rule that can be said of purchases can be said of events, mails, conversations and referrals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
MEASURES = {**COUNTS, **AGES}
_ALWAYS = ("times", "days_since_last", "days_since_first")


def _facts(*facts: Fact) -> dict[str, Fact]:
    return {fact.name: fact for fact in facts}


def _text(name: str, help: str, choices: tuple[str, ...] = ()) -> Fact:
    return Fact(name, FactType.text, help, choices=choices)


@dataclass(frozen=True, slots=True)
class ActivityKind:
    """One kind. `word` begins a condition, `never` its denial; `defaults` hold for fields that a rule does not name.

    `tracked`: it is only seen of customers who consent to tracking.
    `lines` is the word under which its lines are kept with those of another kind; '' for those kept by themselves.
    """

    keyword: str
    help: str
    fields: Mapping[str, Fact] = field(default_factory=dict)
    negated: str = ""
    of_products: bool = False
    measures: tuple[str, ...] = _ALWAYS
    defaults: Mapping[str, str] = field(default_factory=dict)
    tracked: bool = False
    lines: str = ""

    @property
    def kept_as(self) -> str:
        """The word under which a profile keeps what happened."""
        return self.lines or self.keyword

    def known(self, catalogue: Catalogue) -> dict[str, Fact]:
        """Return every field a rule may name, with the shop's own ones."""
        if self is DID:
            own = {name: fact for event in catalogue.events.values() for name, fact in event.facts.items()}
            names = _text("event", self.fields["event"].help, tuple(catalogue.events))
            return {"event": names, **own}
        return {**self.fields, **(catalogue.interaction if self is CONTACTED else {})}


BOUGHT = ActivityKind(
    "bought",
    "purchases, filtered by product fields and a window, and counted",
    _facts(_text("channel", "Where it was bought, as in 'web' or 'store'")),
    negated="never_bought",
    of_products=True,
    measures=tuple(MEASURES),
)
RETURNED = ActivityKind(
    "returned",
    "purchases sent back, filtered by product fields and a window, and counted",
    _facts(_text("channel", "Where it was returned, as in 'web' or 'store'")),
    negated="never_returned",
    of_products=True,
    measures=tuple(MEASURES),
    lines="bought",
)
DID = ActivityKind(
    "did",
    "events of your own (viewed, added to basket), by their facts and products",
    _facts(_text("event", "Which event, as declared in rules/facts.yaml")),
    negated="never_did",
    of_products=True,
    measures=("times", "amount", "distinct_products", "days_since_last", "days_since_first"),
)
_MAIL = _facts(
    _text("campaign", "The campaign's name"),
    _text("topic", "The campaign's topic"),
    _text("content", "Which content of the campaign"),
)
_BY = _text("by", "Who is believed to have caused it; 'human' unless said", tuple(kind.value for kind in FeedbackClass))
_HUMAN = {"by": FeedbackClass.human.value}
RECEIVED = ActivityKind("received", "mails that were delivered to the server", _MAIL, negated="never_received")
OPENED = ActivityKind(
    "opened",
    "mails opened, by people unless 'by' says otherwise",
    {**_MAIL, "by": _BY},
    "never_opened",
    defaults=_HUMAN,
    tracked=True,
)
CLICKED = ActivityKind(
    "clicked",
    "links clicked, by people unless 'by' says otherwise",
    {**_MAIL, "by": _BY, "link": _text("link", "Address the link leads to")},
    "never_clicked",
    defaults=_HUMAN,
    tracked=True,
)
CONVERTED = ActivityKind("converted", "goals reached in answer to a campaign", _MAIL, negated="never_converted")
CONTACTED = ActivityKind(
    "contacted",
    "conversations: calls, visits, support cases, with their outcome",
    _facts(
        _text("kind", "Call, visit, support, or any other word the shop uses"),
        _text("direction", "Who began it", ("in", "out")),
        _text("outcome", "What came of it, as in 'interested' or 'solved'"),
    ),
    negated="never_contacted",
)
REFERRED = ActivityKind(
    "referred",
    "customers whom this one brought",
    _facts(_text("source", "Where the referral was made, as in 'friend link'")),
    negated="never_referred",
)
WAS_REFERRED = ActivityKind("was_referred", "was brought by another customer", REFERRED.fields)
HISTORIES = {
    history.keyword: history
    for history in (BOUGHT, RETURNED, DID, RECEIVED, OPENED, CLICKED, CONVERTED, CONTACTED, REFERRED, WAS_REFERRED)
}
