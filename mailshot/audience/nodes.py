"""The tree that a rule is parsed into: one frozen dataclass for each kind of condition.

`Condition` is the closed union of all of them. Functions that treat each kind in its own way (`compile`, `evaluate`,
`describe`, `lint`) end in `typing.assert_never`, so mypy names every place that a new kind has to be added to.
Everything else goes through `walk_conditions`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from mailshot.facts.catalogue import Fact
from mailshot.facts.comparison import Comparison
from mailshot.facts.periods import EVER, Window
from mailshot.facts.product_filters import EVERYTHING, ProductFilter
from mailshot.facts.relative_dates import Relative
from mailshot.profile.activity import BOUGHT, COUNTS, ActivityKind
from mailshot.profile.implications import Closure
from mailshot.profile.lifecycle import DEFAULT, Stage, Thresholds

# Approximate number of SQL comparisons for a condition that differs by time zone, or by year of birth.
MANY_ZONES, MANY_YEARS = 10, 40


@dataclass(frozen=True, slots=True)
class BaseCondition:
    """What all conditions have in common."""

    #: Line in the file that the condition is written in; 0 when it was not read from a file.
    line: int

    @property
    def children(self) -> tuple[Condition, ...]:
        """The conditions it consists of; of `InAudience` the condition of that audience."""
        return ()

    @property
    def size(self) -> int:
        """Approximate number of SQL comparisons, with those of its children."""
        return 1 + sum(child.size for child in self.children)

    @property
    def depth(self) -> int:
        """Levels of nesting in SQL, 1 for a leaf."""
        return 1 + max((child.depth for child in self.children), default=0)

    @property
    def unseen(self) -> bool:
        """Whether its truth may be unknown for customers who do not consent to tracking."""
        return any(child.unseen for child in self.children)

    @property
    def words(self) -> frozenset[str]:
        """Which parts of a profile are needed to evaluate it: activity keywords, 'preference', 'trait', 'consent'."""
        return frozenset(word for child in self.children for word in child.words)


@dataclass(frozen=True, slots=True)
class All(BaseCondition):
    parts: tuple[Condition, ...]

    @property
    def children(self) -> tuple[Condition, ...]:
        return self.parts


@dataclass(frozen=True, slots=True)
class Any(BaseCondition):
    parts: tuple[Condition, ...]

    @property
    def children(self) -> tuple[Condition, ...]:
        return self.parts


@dataclass(frozen=True, slots=True)
class Count(BaseCondition):
    """The number of parts that hold satisfies the comparison (`at_least: 2` with `of: [...]`)."""

    comparison: Comparison
    parts: tuple[Condition, ...]

    @property
    def depth(self) -> int:
        # Each part becomes a CASE inside a sum: two levels of SQL, where 'all' and 'any' add one.
        return 2 + max((part.depth for part in self.parts), default=0)

    @property
    def children(self) -> tuple[Condition, ...]:
        return self.parts


@dataclass(frozen=True, slots=True)
class Not(BaseCondition):
    part: Condition

    @property
    def children(self) -> tuple[Condition, ...]:
        return (self.part,)


@dataclass(frozen=True, slots=True)
class Everyone(BaseCondition):
    """Matches every customer."""


@dataclass(frozen=True, slots=True)
class FactIs(BaseCondition):
    """A fact of the customer satisfies a comparison."""

    fact: Fact
    comparison: Comparison

    @property
    def size(self) -> int:
        return self.comparison.size


@dataclass(frozen=True, slots=True)
class Dated(BaseCondition):
    """A date fact is in a range relative to today."""

    fact: Fact
    when: Relative
    #: Today in the customer's time zone instead of the company's.
    local: bool = False

    @property
    def size(self) -> int:
        yearly = self.when.word == "anniversary_in"
        if self.fact.own:
            # Own dates are ISO texts: an anniversary compares their end with a list, and at any moment three days are
            # "today" somewhere in the world.
            return (3 if yearly else 1) * (3 if self.local else 1)
        if yearly:
            return MANY_YEARS
        return MANY_ZONES if self.local else 1


@dataclass(frozen=True, slots=True)
class InLifecycle(BaseCondition):
    """The customer is in one of the lifecycle stages."""

    stages: tuple[Stage, ...]
    thresholds: Thresholds = DEFAULT

    @property
    def words(self) -> frozenset[str]:
        return frozenset({BOUGHT.keyword})


@dataclass(frozen=True, slots=True)
class HasPreference(BaseCondition):
    """The customer stated `name: value` or a value that implies it; with `says` false, the customer denied it."""

    name: str
    #: The value, with the values that imply it and those that it implies.
    closure: Closure
    says: bool = True

    @property
    def value(self) -> str:
        return self.closure.value

    @property
    def words(self) -> frozenset[str]:
        return frozenset({"preference"})


@dataclass(frozen=True, slots=True)
class HasTrait(BaseCondition):
    """`name: value`, or a value that implies it, was stated or inferred; a stated preference wins over a trait."""

    name: str
    #: The value, with the values that imply it and those that it implies.
    closure: Closure
    #: Least confidence of an inferred trait, more than 0 and at most 1.
    confidence: float

    @property
    def value(self) -> str:
        return self.closure.value

    @property
    def words(self) -> frozenset[str]:
        return frozenset({"trait", "preference"})


@dataclass(frozen=True, slots=True)
class HasConsent(BaseCondition):
    """Consent to a topic is given."""

    topic: str

    @property
    def words(self) -> frozenset[str]:
        return frozenset({"consent"})


@dataclass(frozen=True, slots=True)
class InAudience(BaseCondition):
    """The customer is in another audience; `condition` is the condition of that audience."""

    audience: str
    condition: Condition

    @property
    def children(self) -> tuple[Condition, ...]:
        return (self.condition,)


@dataclass(frozen=True, slots=True)
class RandomShare(BaseCondition):
    """The customer is in a random share of all customers, which stays the same for one salt."""

    #: Size of the share in ten-thousandths: 1000 are 10 %.
    parts: int
    #: Name of the audience, so that the shares of two audiences are independent.
    salt: str


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A comparison of a number that is computed over all matching activities: `times`, `amount`, …"""

    #: A key of `profile.activity.MEASURES`.
    name: str
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class ActivityCondition(BaseCondition):
    """Activities of one kind match the fields, products and window, and satisfy every aggregate in `measures`."""

    history: ActivityKind
    fields: tuple[tuple[Fact, Comparison], ...] = ()
    products: ProductFilter = EVERYTHING
    window: Window = EVER
    #: Without any, one matching activity is enough.
    measures: tuple[Aggregate, ...] = ()
    #: Count customers who do not consent to tracking as customers who never open or click.
    untracked: bool = False

    @property
    def size(self) -> int:
        fields = sum(comparison.size for _, comparison in self.fields)
        window = MANY_ZONES if self.window.local else 1
        return window + fields + self.products.size + sum(measure.comparison.size for measure in self.measures)

    @property
    def depth(self) -> int:
        return 1 + self.products.depth

    @property
    def words(self) -> frozenset[str]:
        return frozenset({self.history.kept_as} | ({"consent"} if self.unseen else set()))

    @property
    def unseen(self) -> bool:
        """Whether opens and clicks of customers who do not consent to tracking make its truth unknown."""
        return self.history.tracked and not self.untracked

    @property
    def grows(self) -> bool:
        """Whether more activity can never make it false, so a few recorded opens can prove it true."""
        more = ("at_least", "more_than")
        return all(measure.name == "times" and measure.comparison.operator in more for measure in self.measures)

    @property
    def matches_empty(self) -> bool:
        """Whether a customer without any matching activity satisfies it (`times: {at_most: 2}`)."""
        zero = all(measure.name in COUNTS and measure.comparison.holds(Decimal()) for measure in self.measures)
        return bool(self.measures) and zero


Condition: TypeAlias = (
    All
    | Any
    | Not
    | Count
    | ActivityCondition
    | FactIs
    | Dated
    | InLifecycle
    | HasPreference
    | HasTrait
    | HasConsent
    | InAudience
    | RandomShare
    | Everyone
)


def walk_conditions(condition: Condition, into_audiences: bool = True) -> Iterator[Condition]:
    """Yield a condition and all conditions below it, parents first and in the order of the file.

    `into_audiences` false: an `InAudience` is yielded, but not the condition of that audience, which has its own file.
    """
    yield condition
    if into_audiences or not isinstance(condition, InAudience):
        for child in condition.children:
            yield from walk_conditions(child, into_audiences)
