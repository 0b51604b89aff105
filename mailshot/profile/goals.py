"""What counts as success of a campaign, and which mail gets the credit for an order that was placed or an event.

A run keeps its goal as it was at the launch (`Goal.freeze`), so that a later change of the file, of a product group or
of the company's time zone does not judge mails that are already out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Self
from zoneinfo import ZoneInfo

from mailshot.facts.catalogue import Fact, FactType
from mailshot.facts.comparison import KNOWN, Comparison, Value
from mailshot.facts.periods import Span
from mailshot.facts.product_filters import Filter, ProductFilter, ProductGroup


@dataclass(frozen=True, slots=True)
class Goal:
    """Purchases of `products`, or events of that name (on these products), `within` a span after the mail.

    Days and months are counted by the calendar of `zone`, as everywhere in rules.
    """

    products: ProductFilter
    within: Span
    zone: ZoneInfo
    event: str | None = None

    def end(self, moment: datetime) -> datetime:
        """Return the first moment that is too late, for a mail of this moment."""
        return self.within.after(moment.astimezone(self.zone)).astimezone(moment.tzinfo)

    def words(self) -> str:
        """Return it as a phrase: 'bought department is PRODUCE within 7 days'."""
        if self.event is None:
            return f"bought {self.products.words()} within {self.within}"
        about = f" of {self.products.words()}" if self.products.filters else ""
        return f"did '{self.event}'{about} within {self.within}"

    def freeze(self) -> dict[str, Any]:
        """Return it in types that JSON knows."""
        within, zone = str(self.within), self.zone.key
        return {"products": _freeze(self.products), "event": self.event, "within": within, "zone": zone}

    @classmethod
    def thaw(cls, body: Mapping[str, Any]) -> Self:
        """Read what `freeze` returned."""
        within = Span.parse(body["within"])
        assert within is not None, body["within"]
        return cls(_thaw(body["products"]), within, ZoneInfo(body["zone"]), body["event"])


@dataclass(frozen=True, slots=True)
class Claim:
    """One mail that an order or event of its customer may be the answer to.

    All moments are on one calendar, that of the purchases. `clicked_at` is the last click of a person in the mail
    before `at`, the moment of the order, or None.
    """

    run_id: int
    at: datetime
    sent_at: datetime
    clicked_at: datetime | None = None


def credited(claims: Iterable[Claim]) -> Claim:
    """Return the claim that gets the credit: the mail clicked last before the order, else the mail sent last."""
    return max(claims, key=lambda it: (it.clicked_at is not None, it.clicked_at or it.sent_at, it.sent_at, it.run_id))


def _freeze(products: ProductFilter) -> list[dict[str, Any]]:
    return [
        {
            "fields": [
                [fact.name, str(fact.type), fact.own, it.operator, list(map(_plain, it.values))]
                for fact, it in alternative.fields
            ],
            "groups": [[group.name, _freeze(group.selection)] for group in alternative.groups],
            "except": _freeze(alternative.exceptions) if alternative.exceptions else None,
        }
        for alternative in products.filters
    ]


def _thaw(filters: Iterable[Mapping[str, Any]]) -> ProductFilter:
    return ProductFilter(
        tuple(
            Filter(
                tuple(_field(*field) for field in frozen["fields"]),
                tuple(ProductGroup(name, _thaw(inner)) for name, inner in frozen["groups"]),
                _thaw(frozen["except"]) if frozen["except"] is not None else None,
            )
            for frozen in filters
        )
    )


def _field(name: str, kind: str, own: bool, operator: str, values: list[Any]) -> tuple[Fact, Comparison]:
    fact = Fact(name, FactType(kind), "", own)
    return fact, Comparison(operator, tuple(_typed(value, fact.type, operator) for value in values))


def _plain(value: Value) -> str | bool:
    return value if isinstance(value, bool) else str(value)


def _typed(value: Any, kind: FactType, operator: str) -> Value:
    if operator == KNOWN or kind is FactType.boolean:
        return bool(value)
    if kind is FactType.number:
        return Decimal(value)
    return date.fromisoformat(value) if kind is FactType.date else str(value)
