"""Owns the tree a rule becomes: frozen conditions with their line; refuses to compile, evaluate or describe."""

from __future__ import annotations

from dataclasses import dataclass

from mailshot.profile.catalogue import Fact
from mailshot.profile.comparison import Comparison
from mailshot.profile.lifecycle import Stage
from mailshot.profile.products import Selection
from mailshot.profile.window import Window


@dataclass(frozen=True, slots=True)
class Condition:
    """Anything that is true or false of a customer. `line` is where it stands in its file."""

    line: int

    @property
    def size(self) -> int:
        """How many comparisons it comes to, with those of its parts and of the audiences it names."""
        return 1 + sum(part.size for part in self.inner)

    @property
    def depth(self) -> int:
        return 1 + max((part.depth for part in self.inner), default=0)

    @property
    def inner(self) -> tuple[Condition, ...]:
        """The conditions it is made of."""
        return ()


@dataclass(frozen=True, slots=True)
class All(Condition):
    parts: tuple[Condition, ...]

    @property
    def inner(self) -> tuple[Condition, ...]:
        return self.parts


@dataclass(frozen=True, slots=True)
class Any(Condition):
    parts: tuple[Condition, ...]

    @property
    def inner(self) -> tuple[Condition, ...]:
        return self.parts


@dataclass(frozen=True, slots=True)
class Not(Condition):
    part: Condition

    @property
    def inner(self) -> tuple[Condition, ...]:
        return (self.part,)


@dataclass(frozen=True, slots=True)
class Everyone(Condition):
    """True of every customer."""


@dataclass(frozen=True, slots=True)
class FactIs(Condition):
    fact: Fact
    comparison: Comparison

    @property
    def size(self) -> int:
        return self.comparison.size


@dataclass(frozen=True, slots=True)
class InStage(Condition):
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Prefers(Condition):
    """The customer stated that `name: value` holds, or (`says` false) that it does not."""

    name: str
    value: str
    says: bool = True


@dataclass(frozen=True, slots=True)
class Shows(Condition):
    """`name: value` was inferred with at least `confidence`, unless the customer stated otherwise."""

    name: str
    value: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Consents(Condition):
    topic: str


@dataclass(frozen=True, slots=True)
class Member(Condition):
    """Belongs to another audience, whose condition is already resolved."""

    audience: str
    condition: Condition

    @property
    def inner(self) -> tuple[Condition, ...]:
        return (self.condition,)


@dataclass(frozen=True, slots=True)
class Share(Condition):
    """A stable random share of everyone, in ten-thousandths; the salt decides who."""

    parts: int
    salt: str


@dataclass(frozen=True, slots=True)
class Measure:
    """What is counted over the purchase lines that fit: `times`, `amount`, `days_since_last`, …"""

    name: str
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Bought(Condition):
    """Purchases of `products` in `window` through `channels`, counted by every measure (all must hold)."""

    products: Selection
    window: Window
    channels: tuple[str, ...]
    measures: tuple[Measure, ...]

    @property
    def size(self) -> int:
        return 1 + self.products.size + sum(measure.comparison.size for measure in self.measures)

    @property
    def depth(self) -> int:
        return 1 + self.products.depth

    @property
    def holds_for_none(self) -> bool:
        """Whether a customer without a single fitting purchase satisfies it (`times: {at_most: 2}`)."""
        zero = all(measure.name in COUNTS and measure.comparison.holds(0) for measure in self.measures)  # type: ignore[arg-type]
        return bool(self.measures) and zero


COUNTS = {
    "times": "orders",
    "items": "items",
    "amount": "spent",
    "distinct_products": "different products",
}
AGES = {
    "days_since_last": "days since the last",
    "days_since_first": "days since the first",
    "average_order": "spent on average per order",
}
MEASURES = {**COUNTS, **AGES}
