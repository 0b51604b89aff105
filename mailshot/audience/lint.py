"""Warns about conditions that are probably not intended: always true, never true, contradictory, or repeated.

A rule with warnings is valid. Only what is certain is reported, so no warning does not mean that all is well. The
second half lists the literal values that rules name, so that `campaign.lint` can look them up in the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import combinations
from typing import assert_never

from mailshot.audience import describe, nodes
from mailshot.audience.equality import same
from mailshot.audience.nodes import Condition
from mailshot.facts import comparison
from mailshot.facts.catalogue import Fact, FactType
from mailshot.facts.comparison import Comparison
from mailshot.facts.periods import Period, Span, Window
from mailshot.facts.product_filters import ProductFilter
from mailshot.profile import bucketing
from mailshot.profile.activity import BOUGHT
from mailshot.profile.lifecycle import Stage

#: Aggregates that are never less than 0. Items and amounts can be, because of returns.
NEVER_NEGATIVE = ("times", "distinct_products")
NEVER, ALWAYS = "can never be true", "is always true"
#: What a literal value is a value of, besides the keywords of activities.
PRODUCT, CUSTOMER = "product", "customer"


@dataclass(frozen=True, slots=True)
class LintWarning:
    """A warning about the condition on `line`."""

    line: int
    message: str


def find_warnings(condition: Condition, today: date) -> list[LintWarning]:
    """Return the warnings about a rule: those about the whole first, the others from the top down."""
    whole = always(condition, today)
    warnings = []
    if whole is False:
        warnings.append(LintWarning(condition.line, "no customer can ever match"))
    elif whole and not isinstance(condition, nodes.Everyone):
        warnings.append(LintWarning(condition.line, "every customer matches"))
    # Other audiences have files and warnings of their own.
    for part in nodes.walk_conditions(condition, into_audiences=False):
        if message := _warning(part, today):
            warnings.append(LintWarning(part.line, message))
    return warnings


def _warning(condition: Condition, today: date) -> str:
    """Return what is wrong with a condition itself, not with its parts; '' for nothing."""
    if isinstance(condition, nodes.Everyone | nodes.Not | nodes.InAudience):
        return ""
    if isinstance(condition, nodes.All | nodes.Any):
        return _conflict(condition)
    constant = always(condition, today)
    if constant is None:
        return ""
    description = describe.describe(condition).removesuffix(":")
    return f"'{description}' {ALWAYS if constant else NEVER}{_reason(condition, today)}"


def _reason(condition: Condition, today: date) -> str:
    if isinstance(condition, nodes.ActivityCondition) and _begins_later(condition.window, today):
        return " yet: the window has not begun"
    return ""


def _conflict(group: nodes.All | nodes.Any) -> str:
    """Return which two parts of a group repeat, contradict or complement each other; '' for none."""
    for first, second in combinations(group.parts, 2):
        conflict = ""
        if same(first, second):
            conflict = "say the same"
        elif isinstance(group, nodes.All) and contradict(first, second):
            conflict = "contradict each other"
        elif isinstance(group, nodes.Any) and _negates(first, second):
            conflict = "exclude no customer"
        if conflict:
            names = (f"'{describe.describe(part)}' (line {part.line})" for part in (first, second))
            return f"{' and '.join(names)} {conflict}"
    return ""


def always(condition: Condition, today: date) -> bool | None:
    """Return whether a condition holds for all customers (True) or for none (False); None when that depends."""
    match condition:
        case nodes.All() | nodes.Any() | nodes.Count():
            return _group_always(condition, today)
        case nodes.Not():
            part = always(condition.part, today)
            return None if part is None else not part
        case nodes.InAudience():
            return always(condition.condition, today)
        case nodes.ActivityCondition():
            return _activity_always(condition, today)
        case nodes.RandomShare():
            return {0: False, bucketing.PARTS: True}.get(condition.parts)
        case nodes.InLifecycle():
            return True if set(condition.stages) == set(Stage) else None
        case nodes.Everyone():
            return True
        case nodes.FactIs() | nodes.Dated() | nodes.HasPreference() | nodes.HasTrait() | nodes.HasConsent():
            return None
        case _:
            assert_never(condition)


def _group_always(condition: nodes.All | nodes.Any | nodes.Count, today: date) -> bool | None:
    parts = condition.parts
    constant = [always(part, today) for part in parts]
    if isinstance(condition, nodes.All) and any(contradict(*pair) for pair in combinations(parts, 2)):
        return False
    if isinstance(condition, nodes.Any) and any(_negates(*pair) for pair in combinations(parts, 2)):
        return True
    fewest, most = constant.count(True), len(parts) - constant.count(False)
    outcomes = {_holds_with(condition, number) for number in range(fewest, most + 1)}
    return outcomes.pop() if len(outcomes) == 1 else None


def _holds_with(group: nodes.All | nodes.Any | nodes.Count, number: int) -> bool:
    """Return whether a group holds when `number` of its parts do."""
    match group:
        case nodes.All():
            return number == len(group.parts)
        case nodes.Any():
            return number > 0
        case nodes.Count():
            return group.comparison.holds(Decimal(number))
        case _:
            assert_never(group)


def _activity_always(condition: nodes.ActivityCondition, today: date) -> bool | None:
    if _begins_later(condition.window, today) and not condition.matches_empty:
        return False
    constant = [_aggregate_always(aggregate, condition.window) for aggregate in condition.measures]
    if False in constant:
        return False
    return True if constant and all(constant) and condition.matches_empty else None


def _aggregate_always(aggregate: nodes.Aggregate, window: Window) -> bool | None:
    if aggregate.name in NEVER_NEGATIVE:
        at_least_0 = Comparison("at_least", (Decimal(),))
        if not comparison.satisfiable((aggregate.comparison, at_least_0)):
            return False
        return True if aggregate.comparison == at_least_0 else None
    if aggregate.name.startswith("days_"):
        within = (
            [Comparison("at_most", (Decimal(window.start.longest.days),))] if isinstance(window.start, Span) else []
        )
        since = [Comparison("at_least", (Decimal(window.end.shortest.days),))] if isinstance(window.end, Span) else []
        return None if comparison.satisfiable((aggregate.comparison, *within, *since)) else False
    return None


def _begins_later(window: Window, today: date) -> bool:
    return isinstance(window.start, date) and window.start > today


def _negates(first: Condition, second: Condition) -> bool:
    """Return whether one condition is the 'not' of the second."""
    pairs = ((first, second), (second, first))
    return any(isinstance(a, nodes.Not) and same(a.part, b) for a, b in pairs)


def contradict(first: Condition, second: Condition) -> bool:
    """Return whether no customer can match both; False where that is not certain."""
    if _negates(first, second):
        return True
    if isinstance(first, nodes.FactIs) and isinstance(second, nodes.FactIs):
        return first.fact == second.fact and not comparison.satisfiable((first.comparison, second.comparison))
    if isinstance(first, nodes.InLifecycle) and isinstance(second, nodes.InLifecycle):
        return not set(first.stages) & set(second.stages)
    if isinstance(first, nodes.HasPreference) and isinstance(second, nodes.HasPreference):
        opposite = first.name == second.name and first.says is not second.says
        stated, denied = (first, second) if first.says else (second, first)
        # Stating a value states all that it implies.
        return opposite and stated.value in denied.closure.implying
    if isinstance(first, nodes.ActivityCondition) and isinstance(second, nodes.ActivityCondition):
        return _counts_contradict(first, second)
    pairs = ((first, second), (second, first))
    return any(_never_meets(a, b) or _prospect_buys(a, b) for a, b in pairs)


def _counts_contradict(first: nodes.ActivityCondition, second: nodes.ActivityCondition) -> bool:
    """Return whether two conditions require different values of one aggregate over the same activities."""
    if replace(first, line=0, measures=(), untracked=False) != replace(second, line=0, measures=(), untracked=False):
        return False
    others = {aggregate.name: aggregate.comparison for aggregate in second.measures}
    pairs = [(aggregate.comparison, others[aggregate.name]) for aggregate in first.measures if aggregate.name in others]
    return not all(map(comparison.satisfiable, pairs))


def _never_meets(denial: Condition, claim: Condition) -> bool:
    """Return whether one condition excludes the activities of the other: 'never in 90 days' excludes 'in 30 days'."""
    if not (isinstance(denial, nodes.Not) and isinstance(denial.part, nodes.ActivityCondition)):
        return False
    wide = denial.part
    if not isinstance(claim, nodes.ActivityCondition) or claim.matches_empty or wide.measures:
        return False
    fields = wide.history is claim.history and set(wide.fields) <= set(claim.fields)
    products = not wide.products.filters or wide.products == claim.products
    return fields and products and _covers(wide.window, claim.window)


def _prospect_buys(stage: Condition, claim: Condition) -> bool:
    if not (isinstance(stage, nodes.InLifecycle) and set(stage.stages) == {Stage.prospect}):
        return False
    return isinstance(claim, nodes.ActivityCondition) and claim.history is BOUGHT and not claim.matches_empty


def _covers(wide: Window, narrow: Window) -> bool:
    """Return whether every moment in `narrow` is certainly in `wide`."""
    begins = wide.start is None or wide.start == narrow.start or _earlier(wide.start, narrow.start)
    ends = wide.end is None or wide.end == narrow.end or _earlier(narrow.end, wide.end)
    return begins and ends and (wide.local == narrow.local or wide == Window(local=wide.local))


def _earlier(first: object, second: object) -> bool:
    if isinstance(first, Span) and isinstance(second, Span):
        return first.shortest >= second.longest
    dates = isinstance(first, date) and isinstance(second, date)
    return dates and not isinstance(first, Period) and first < second  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class LiteralUse:
    """A rule requires a text to be exactly `value`."""

    #: PRODUCT, CUSTOMER, or the keyword of an activity.
    of: str
    fact: Fact
    value: str
    #: 0 if unknown.
    line: int = 0


def literal_uses(condition: Condition) -> Iterator[LiteralUse]:
    """Yield every text that a condition names, without those of product groups and other audiences."""
    for part in nodes.walk_conditions(condition, into_audiences=False):
        if isinstance(part, nodes.FactIs):
            yield from _texts(CUSTOMER, [(part.fact, part.comparison)], part.line)
        elif isinstance(part, nodes.ActivityCondition):
            yield from _texts(part.history.keyword, part.fields, part.line)
            yield from product_literal_uses(part.products, part.line)


def product_literal_uses(selection: ProductFilter, line: int = 0) -> Iterator[LiteralUse]:
    """Yield every text of a product that a filter names, without those of product groups."""
    for product_filter in selection.filters:
        yield from _texts(PRODUCT, product_filter.fields, line)
        if product_filter.exceptions is not None:
            yield from product_literal_uses(product_filter.exceptions, line)


def _texts(of: str, fields: Iterable[tuple[Fact, Comparison]], line: int) -> Iterator[LiteralUse]:
    for fact, how in fields:
        # The parser has already checked the values of a fact with choices.
        if fact.type is FactType.text and not fact.choices and how.operator in ("is", "one_of"):
            yield from (LiteralUse(of, fact, str(value), line) for value in how.values)
