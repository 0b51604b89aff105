"""Owns finding what a marketer can hardly have meant: clauses that always hold, never hold, or contradict each other.

Refuses to call them mistakes: a rule with doubts is valid. Only what is certain is told, so silence proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import combinations

from mailshot.audience import describe, nodes
from mailshot.audience.nodes import Condition
from mailshot.facts import comparison
from mailshot.facts.catalogue import Fact, FactType
from mailshot.facts.comparison import Comparison
from mailshot.facts.periods import Period, Span, Window
from mailshot.facts.product_filters import ProductFilter
from mailshot.profile.activity import BOUGHT
from mailshot.profile.lifecycle import Stage

COUNTED = ("times", "distinct_products")  # never less than none, as items and amounts can be with returns
NEVER, ALWAYS = "can never be true", "is always true"


@dataclass(frozen=True, slots=True)
class LintWarning:
    """What is odd about the condition on `line`."""

    line: int
    words: str


def of(condition: Condition, today: date) -> list[LintWarning]:
    """Return every doubt about a rule, from the top down."""
    found = list(_walk(condition, today))
    whole = always(condition, today)
    if whole is False:
        found.insert(0, LintWarning(condition.line, "nobody can ever belong"))
    elif whole and not isinstance(condition, nodes.Everyone):
        found.insert(0, LintWarning(condition.line, "everybody belongs"))
    return found


def _walk(condition: Condition, today: date) -> Iterator[LintWarning]:
    said = _own(condition, today)
    if said:
        yield LintWarning(condition.line, said)
    # An audience that is named has its own file, which tells its own doubts.
    for part in () if isinstance(condition, nodes.InAudience) else condition.children:
        yield from _walk(part, today)


def _own(condition: Condition, today: date) -> str:
    """Say what is odd about a condition itself, not about its parts."""
    if isinstance(condition, nodes.Everyone):
        return ""
    if isinstance(condition, nodes.All | nodes.Any):
        return _among(condition)
    sure = always(condition, today)
    if sure is None or isinstance(condition, nodes.Not | nodes.InAudience):
        return ""
    return f"'{describe.describe(condition).removesuffix(':')}' {ALWAYS if sure else NEVER}{_why(condition, today)}"


def _why(condition: Condition, today: date) -> str:
    if isinstance(condition, nodes.ActivityCondition) and _to_come(condition.window, today):
        return " yet: the window has not begun"
    return ""


def _among(group: nodes.All | nodes.Any) -> str:
    """Say which two parts of a group contradict, make up for, or repeat each other."""
    bare = map(_bare, group.parts)
    for (one, said), (other, too) in combinations(zip(group.parts, bare, strict=True), 2):
        told = ""
        if said == too:
            told = "say the same"
        elif isinstance(group, nodes.All) and contradict(one, other):
            told = "contradict each other"
        elif isinstance(group, nodes.Any) and _denies(one, other):
            told = "leave nobody out"
        if told:
            first, second = (f"'{describe.describe(each)}' (line {each.line})" for each in (one, other))
            return f"{first} and {second} {told}"
    return ""


def always(condition: Condition, today: date) -> bool | None:
    """Return whether a condition holds of everyone or of no one; None when that depends."""
    if isinstance(condition, nodes.Not):
        inner = always(condition.part, today)
        return None if inner is None else not inner
    if isinstance(condition, nodes.InAudience):
        return always(condition.condition, today)
    if isinstance(condition, nodes.All | nodes.Any | nodes.Count):
        return _of_parts(condition, today)
    if isinstance(condition, nodes.ActivityCondition):
        return _of_happenings(condition, today)
    if isinstance(condition, nodes.RandomShare):
        return {0: False, 10_000: True}.get(condition.parts)
    if isinstance(condition, nodes.InLifecycle):
        return True if set(condition.stages) == set(Stage) else None
    return True if isinstance(condition, nodes.Everyone) else None


def _of_parts(condition: nodes.All | nodes.Any | nodes.Count, today: date) -> bool | None:
    parts = condition.parts
    sure = [always(part, today) for part in parts]
    if isinstance(condition, nodes.All) and any(contradict(*pair) for pair in combinations(parts, 2)):
        return False
    if isinstance(condition, nodes.Any) and any(_denies(*pair) for pair in combinations(parts, 2)):
        return True
    everything, something = Comparison("exactly", (Decimal(len(parts)),)), Comparison("at_least", (Decimal(1),))
    how = everything if isinstance(condition, nodes.All) else something
    how = condition.comparison if isinstance(condition, nodes.Count) else how
    possible = {how.holds(Decimal(n)) for n in range(sure.count(True), len(parts) - sure.count(False) + 1)}
    return possible.pop() if len(possible) == 1 else None


def _of_happenings(condition: nodes.ActivityCondition, today: date) -> bool | None:
    if _to_come(condition.window, today) and not condition.matches_empty:
        return False
    fitting = [_measured(measure, condition.window) for measure in condition.measures]
    if False in fitting:
        return False
    return True if fitting and all(fitting) and condition.matches_empty else None


def _measured(measure: nodes.Aggregate, window: Window) -> bool | None:
    if measure.name in COUNTED:
        none = Comparison("at_least", (Decimal(),))
        if not comparison.satisfiable((measure.comparison, none)):
            return False
        return True if (measure.comparison.operator, measure.comparison.values) == ("at_least", (Decimal(),)) else None
    if measure.name.startswith("days_"):
        within = (
            [Comparison("at_most", (Decimal(window.start.longest.days),))] if isinstance(window.start, Span) else []
        )
        since = [Comparison("at_least", (Decimal(window.end.shortest.days),))] if isinstance(window.end, Span) else []
        return None if comparison.satisfiable((measure.comparison, *within, *since)) else False
    return None


def _to_come(window: Window, today: date) -> bool:
    return isinstance(window.start, date) and window.start > today


def same(one: Condition, other: Condition) -> bool:
    """Say whether two conditions mean the same, wherever they stand."""
    return type(one) is type(other) and _bare(one) == _bare(other)


def _bare(condition: Condition) -> object:
    """Return a condition without the places of its parts."""
    values = [getattr(condition, name) for name in condition.__dataclass_fields__ if name != "line"]
    return type(condition), *(_unplaced(value) for value in values)


def _unplaced(value: object) -> object:
    if isinstance(value, Condition):
        return _bare(value)
    return tuple(map(_unplaced, value)) if isinstance(value, tuple) else value


def _denies(one: Condition, other: Condition) -> bool:
    return any(isinstance(a, nodes.Not) and same(a.part, b) for a, b in ((one, other), (other, one)))


def contradict(one: Condition, other: Condition) -> bool:
    """Say whether no customer can satisfy both; False where that is not certain."""
    if _denies(one, other):
        return True
    if isinstance(one, nodes.FactIs) and isinstance(other, nodes.FactIs):
        return one.fact == other.fact and not comparison.satisfiable((one.comparison, other.comparison))
    if isinstance(one, nodes.InLifecycle) and isinstance(other, nodes.InLifecycle):
        return not set(one.stages) & set(other.stages)
    if isinstance(one, nodes.HasPreference) and isinstance(other, nodes.HasPreference):
        same_name = one.name == other.name and one.says is not other.says
        yes, no = (one, other) if one.says else (other, one)
        # Yes to a value is yes to all that it implies.
        return same_name and yes.value in no.closure.implying
    if isinstance(one, nodes.ActivityCondition) and isinstance(other, nodes.ActivityCondition):
        return _counts_contradict(one, other)
    pairs = ((one, other), (other, one))
    return any(_never_meets(a, b) or _prospect_buys(a, b) for a, b in pairs)


def _counts_contradict(one: nodes.ActivityCondition, other: nodes.ActivityCondition) -> bool:
    """The same things cannot be counted as two different numbers."""
    if (one.history, one.fields, one.products, one.window) != (
        other.history,
        other.fields,
        other.products,
        other.window,
    ):
        return False
    theirs = {measure.name: measure.comparison for measure in other.measures}
    common = [(measure.comparison, theirs[measure.name]) for measure in one.measures if measure.name in theirs]
    return not all(comparison.satisfiable(pair) for pair in common)


def _never_meets(denial: Condition, claim: Condition) -> bool:
    """'Never in 90 days' leaves no room for 'in 30 days'."""
    if not (isinstance(denial, nodes.Not) and isinstance(denial.part, nodes.ActivityCondition)):
        return False
    wide = denial.part
    if not isinstance(claim, nodes.ActivityCondition) or claim.matches_empty or wide.measures:
        return False
    about = wide.history is claim.history and set(wide.fields) <= set(claim.fields)
    products = not wide.products.filters or wide.products == claim.products
    return about and products and _covers(wide.window, claim.window)


def _prospect_buys(stage: Condition, claim: Condition) -> bool:
    if not (isinstance(stage, nodes.InLifecycle) and set(stage.stages) == {Stage.prospect}):
        return False
    return isinstance(claim, nodes.ActivityCondition) and claim.history is BOUGHT and not claim.matches_empty


def _covers(wide: Window, narrow: Window) -> bool:
    """Say whether whatever lies in `narrow` lies in `wide`."""
    begins = wide.start is None or wide.start == narrow.start or _earlier(wide.start, narrow.start)
    ends = wide.end is None or wide.end == narrow.end or _earlier(narrow.end, wide.end)
    return begins and ends and (wide.local == narrow.local or wide == Window(local=wide.local))


def _earlier(one: object, other: object) -> bool:
    if isinstance(one, Span) and isinstance(other, Span):
        return one.shortest >= other.longest
    dates = isinstance(one, date) and isinstance(other, date)
    return dates and not isinstance(one, Period) and one < other  # type: ignore[operator]


PRODUCT, CUSTOMER = "product", "customer"


@dataclass(frozen=True, slots=True)
class LiteralUse:
    """A rule says in `line` (0: not known) that a text of a product, a customer or a history is exactly `value`."""

    of: str
    fact: Fact
    value: str
    line: int = 0


def of_rule(condition: Condition) -> Iterator[LiteralUse]:
    """Give every text that a condition names; groups of products and other audiences tell their own."""
    if isinstance(condition, nodes.FactIs):
        yield from _texts(CUSTOMER, [(condition.fact, condition.comparison)], condition.line)
    if isinstance(condition, nodes.ActivityCondition):
        yield from _texts(condition.history.keyword, condition.fields, condition.line)
        yield from of_products(condition.products, condition.line)
    for part in () if isinstance(condition, nodes.InAudience) else condition.children:
        yield from of_rule(part)


def of_products(selection: ProductFilter, line: int = 0) -> Iterator[LiteralUse]:
    """Give every product value that a selection names itself."""
    for one in selection.filters:
        yield from _texts(PRODUCT, one.fields, line)
        if one.exceptions is not None:
            yield from of_products(one.exceptions, line)


def _texts(of: str, fields: Iterable[tuple[Fact, Comparison]], line: int) -> Iterator[LiteralUse]:
    for fact, compared in fields:
        # The values of a fact with choices have been checked already.
        if fact.type is FactType.text and not fact.choices and compared.operator in ("is", "one_of"):
            yield from (LiteralUse(of, fact, str(value), line) for value in compared.values)
