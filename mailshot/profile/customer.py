"""One customer's profile as rules and templates see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from mailshot.profile.implications import Closure


@dataclass(frozen=True, slots=True)
class Activity:
    """One thing that happened: a purchase line, an event, a mail opened, a call.

    `occasion` is what `times` counts (the order of a line); `about` holds the fields of the kind, and `product` what is
    known of the product, if there was one. `returned_at` is when a purchase was sent back, None if it was not.
    """

    occasion: str
    at: datetime
    about: Mapping[str, Any] = field(default_factory=dict)
    product: Mapping[str, Any] | None = None
    amount: Decimal | None = None
    quantity: Decimal | None = None
    returned_at: datetime | None = None

    def stands(self, as_of: datetime) -> bool:
        """Say whether it had not been sent back by then."""
        return self.returned_at is None or self.returned_at >= as_of


@dataclass(frozen=True, slots=True)
class TraitValue:
    """A trait's confidence (0 to 1) and its evidence; `words` says it in a sentence."""

    confidence: float
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        return str(self.evidence.get("words", ""))


@dataclass(frozen=True, slots=True)
class Profile:
    """All that rules may use of a customer. Preferences and traits are keyed (name, value), activities by keyword.

    'bought' has the lines as imported, with returns among them; `profile.returns` matches them. `tracked`: the customer
    consents to tracking, and no other customer at the address refuses. Opens and clicks of others are unknown.
    """

    id: int
    lot: int
    facts: Mapping[str, Any]
    histories: Mapping[str, Sequence[Activity]] = field(default_factory=dict)
    consents: Mapping[str, bool] = field(default_factory=dict)
    preferences: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    traits: Mapping[tuple[str, str], TraitValue] = field(default_factory=dict)
    tracked: bool = False

    def inferred(self, name: str, closure: Closure) -> tuple[str, TraitValue] | None:
        """Return the surest trait that makes a value true, with its own value; None when there is none.

        A trait that the customer denied, or one that implies something denied, does not count.
        """
        candidates = [
            (value, self.traits[name, value])
            for value, implied in closure.sources
            if (name, value) in self.traits and not any(self.preferences.get((name, w)) is False for w in implied)
        ]
        return max(candidates, key=lambda pair: pair[1].confidence, default=None)
