"""Owns the tree a rule becomes: frozen conditions with their line; refuses to compile, evaluate or describe."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mailshot.facts.catalogue import Fact
from mailshot.facts.comparison import Comparison
from mailshot.facts.periods import EVER, Window
from mailshot.facts.product_filters import EVERYTHING, ProductFilter
from mailshot.facts.relative_dates import Relative
from mailshot.profile.activity import BOUGHT, COUNTS, ActivityKind
from mailshot.profile.implications import Closure
from mailshot.profile.lifecycle import DEFAULT, Stage, Thresholds

# How many comparisons it comes to, about, where moments are meant that differ from zone to zone or from year to year.
MANY_ZONES, MANY_YEARS = 10, 40


@dataclass(frozen=True, slots=True)
class Condition:
    """Anything that is true or false of a customer. `line` is where it stands in its file."""

    line: int

    @property
    def size(self) -> int:
        """How many comparisons it comes to, with those of its parts and of the audiences it names."""
        return 1 + sum(part.size for part in self.children)

    @property
    def depth(self) -> int:
        return 1 + max((part.depth for part in self.children), default=0)

    @property
    def unseen(self) -> bool:
        """Whether it may be unknown of customers who do not consent to tracking."""
        return any(part.unseen for part in self.children)

    @property
    def children(self) -> tuple[Condition, ...]:
        """The conditions it is made of."""
        return ()

    @property
    def words(self) -> frozenset[str]:
        """What must be known of a customer to judge it: the words of histories, and of what was said or inferred."""
        return frozenset(word for part in self.children for word in part.words)


@dataclass(frozen=True, slots=True)
class All(Condition):
    parts: tuple[Condition, ...]

    @property
    def children(self) -> tuple[Condition, ...]:
        return self.parts


@dataclass(frozen=True, slots=True)
class Any(Condition):
    parts: tuple[Condition, ...]

    @property
    def children(self) -> tuple[Condition, ...]:
        return self.parts


@dataclass(frozen=True, slots=True)
class Count(Condition):
    """So many of the parts hold."""

    comparison: Comparison
    parts: tuple[Condition, ...]

    @property
    def depth(self) -> int:
        # Counting nests a database's expressions twice as deep as 'all' and 'any' do.
        return 2 + max((part.depth for part in self.parts), default=0)

    @property
    def children(self) -> tuple[Condition, ...]:
        return self.parts


@dataclass(frozen=True, slots=True)
class Not(Condition):
    part: Condition

    @property
    def children(self) -> tuple[Condition, ...]:
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
class Dated(Condition):
    """A date fact lies so far from today: the company's today, or (`local`) the customer's own."""

    fact: Fact
    when: Relative
    local: bool = False

    @property
    def size(self) -> int:
        yearly = self.when.word == "anniversary_in"
        if self.fact.own:
            # A day is a text: its end is compared with a list, and around the world it is one of three.
            return (3 if yearly else 1) * (3 if self.local else 1)
        if yearly:
            return MANY_YEARS
        return MANY_ZONES if self.local else 1


@dataclass(frozen=True, slots=True)
class InLifecycle(Condition):
    stages: tuple[Stage, ...]
    thresholds: Thresholds = DEFAULT

    @property
    def words(self) -> frozenset[str]:
        return frozenset({BOUGHT.keyword})


@dataclass(frozen=True, slots=True)
class HasPreference(Condition):
    """The customer stated something from which `name: value` follows, or (`says` false) its denial."""

    name: str
    closure: Closure
    says: bool = True

    @property
    def value(self) -> str:
        return self.closure.value

    @property
    def words(self) -> frozenset[str]:
        return frozenset({"preference"})


@dataclass(frozen=True, slots=True)
class HasTrait(Condition):
    """`name: value`, or a value that implies it, was inferred with at least `confidence`; what was stated wins."""

    name: str
    closure: Closure
    confidence: float

    @property
    def value(self) -> str:
        return self.closure.value

    @property
    def words(self) -> frozenset[str]:
        return frozenset({"trait", "preference"})


@dataclass(frozen=True, slots=True)
class HasConsent(Condition):
    topic: str

    @property
    def words(self) -> frozenset[str]:
        return frozenset({"consent"})


@dataclass(frozen=True, slots=True)
class InAudience(Condition):
    """Belongs to another audience, whose condition is already resolved."""

    audience: str
    condition: Condition

    @property
    def children(self) -> tuple[Condition, ...]:
        return (self.condition,)


@dataclass(frozen=True, slots=True)
class RandomShare(Condition):
    """A stable random share of everyone, in ten-thousandths; the salt decides who."""

    parts: int
    salt: str


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What is counted over the happenings that fit: `times`, `amount`, `days_since_last`, …"""

    name: str
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class ActivityCondition(Condition):
    """Happenings of one kind in `window`, by their own fields and the product's, counted by every measure.

    `untracked` takes customers who do not consent to tracking for such as never open or click.
    """

    history: ActivityKind
    fields: tuple[tuple[Fact, Comparison], ...] = ()
    products: ProductFilter = EVERYTHING
    window: Window = EVER
    measures: tuple[Aggregate, ...] = ()
    untracked: bool = False

    @property
    def size(self) -> int:
        fields = sum(comparison.size for _, comparison in self.fields)
        own = MANY_ZONES if self.window.local else 1
        return own + fields + self.products.size + sum(measure.comparison.size for measure in self.measures)

    @property
    def depth(self) -> int:
        return 1 + self.products.depth

    @property
    def words(self) -> frozenset[str]:
        return frozenset({self.history.kept_as} | ({"consent"} if self.unseen else set()))

    @property
    def unseen(self) -> bool:
        """Whether it is unknown of customers who do not consent to tracking, beyond what was seen of them."""
        return self.history.tracked and not self.untracked

    @property
    def grows(self) -> bool:
        """Whether it stays true whatever else happens, so that what was seen is enough."""
        more = ("at_least", "more_than")
        return all(measure.name == "times" and measure.comparison.operator in more for measure in self.measures)

    @property
    def matches_empty(self) -> bool:
        """Whether a customer to whom nothing of the kind happened satisfies it (`times: {at_most: 2}`)."""
        zero = all(measure.name in COUNTS and measure.comparison.holds(Decimal()) for measure in self.measures)
        return bool(self.measures) and zero
