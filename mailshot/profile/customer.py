"""Owns one customer's whole profile as a value, for explaining and rendering; refuses to fetch it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Happening:
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
class Inferred:
    """A trait's confidence (0 to 1) and its evidence; `words` says it in a sentence."""

    confidence: float
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        return str(self.evidence.get("words", ""))


@dataclass(frozen=True, slots=True)
class Profile:
    """All a rule may ask about a customer. Preferences and traits are keyed (name, value), histories by their word.

    Under 'bought' stand the lines as imported, returns among them; `profile.returns` sets one off against the other.
    """

    id: int
    lot: int
    facts: Mapping[str, Any]
    histories: Mapping[str, Sequence[Happening]] = field(default_factory=dict)
    consents: Mapping[str, bool] = field(default_factory=dict)
    preferences: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    traits: Mapping[tuple[str, str], Inferred] = field(default_factory=dict)

    def holds(self, name: str, value: str, confidence: float) -> bool:
        """Say whether `name: value` is true of the customer: what was stated, else what was inferred surely enough.

        A stated value that holds silences inference for the whole name: who says "I eat everything" is no vegetarian.
        """
        stated = self.stated(name, value)
        if stated is not None:
            return stated
        inferred = self.traits.get((name, value))
        return inferred is not None and inferred.confidence >= confidence

    def stated(self, name: str, value: str) -> bool | None:
        """Return what the customer's own statements say of `name: value`, None when they say nothing."""
        said = self.preferences.get((name, value))
        if said is None and any(holds for (other, _), holds in self.preferences.items() if other == name):
            return False
        return said
