"""Random conditions, and their YAML."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import singledispatch
from typing import Any

from hypothesis import strategies as st

from mailshot.audience import nodes
from mailshot.audience.nodes import ActivityCondition, Aggregate, Condition
from mailshot.audience.vocabulary import Vocabulary
from mailshot.facts import catalogue, comparison
from mailshot.facts.catalogue import Catalogue, Fact, FactType
from mailshot.facts.comparison import KNOWN, Comparison
from mailshot.facts.periods import EVER, Period, Span, Window
from mailshot.facts.product_filters import EVERYTHING, Filter, ProductFilter, ProductGroup
from mailshot.facts.relative_dates import Relative
from mailshot.profile.activity import DID, KINDS, ActivityKind
from mailshot.profile.implications import Implications
from mailshot.profile.lifecycle import Stage, Thresholds

AS_OF = datetime(2026, 4, 7, 13, 30, tzinfo=UTC)
SALT = "Lit-audience"
# One alphabet for rules and rows, so that they meet: both cases, what LIKE and SQL quote, and beyond ASCII.
TEXTS = (
    "Lit-a",
    "lit-A",
    "Lit-é",
    "Lit-É",
    "Lit-e\u0301",
    "Lit-ß",
    "Lit-%",
    "Lit-_",
    "Lit-'",
    'Lit-"',
    "Lit-\\",
    "Lit-😀x",
)
PARTS = ("Lit-", "t-", "é", "É", "%", "_", "'", "\\", "😀", "x", "Lit-a", "longer than any of them")
DATES = (*tuple(date(2026, 3, 8) + timedelta(days=n) for n in (-400, -1, 0, 1, 20, 30)), date(1900, 2, 28))
NUMBERS = tuple(map(Decimal, ("-3", "0", "0.1", "0.3", "1", "2", "2.5", "3", "10", "12.3456", "30", "99999999.9999")))
COUNTS = tuple(map(Decimal, ("0", "0.6", "1", "1.5", "2", "2.5", "3")))
WHOLE = tuple(map(Decimal, ("0", "1", "2", "3")))
AGES = tuple(map(Decimal, ("0", "1", "29", "30", "31", "90", "36500")))
AMOUNTS = tuple(map(Decimal, ("-1", "0", "0.3", "1", "2.5", "3.3333", "5", "10")))
SPANS = tuple(
    Span(*length)
    for length in ((1, "hour"), (36, "hour"), (1, "day"), (30, "day"), (2, "week"), (1, "month"), (1, "year"))
)
CHANNELS = ("store", "web", "Lit-ß")
TOPICS = ("offers", "recipes", "tracking")
CHOICES = {"diet": ("everything", "no_pork", "vegetarian", "vegan"), "size": ("small", "large")}
IMPLICATIONS = {"diet": Implications({"vegan": ("vegetarian",), "vegetarian": ("no_pork", "no_meat")})}
CUSTOMER = {
    **catalogue.CUSTOMER,
    **{
        name: Fact(name, FactType(kind), "", own=True)
        for name, kind in {"age": "number", "member": "boolean", "born": "date", "nick": "text"}.items()
    },
}
PRODUCT = {
    **catalogue.PRODUCT,
    **{
        name: Fact(name, FactType(kind), "", own=True)
        for name, kind in {"weight": "number", "organic": "boolean", "launched": "date", "label": "text"}.items()
    },
}
ASKED = [CUSTOMER[name] for name in ("country", "first_name", "joined_at", "age", "member", "born", "nick", "key")]
ABOUT = [PRODUCT[name] for name in ("department", "name", "price", "weight", "organic", "launched", "label", "key")]
SIMPLE = ProductFilter((Filter(((PRODUCT["department"], Comparison("is", ("Lit-a",))),)),))
GROUPS = {
    "a": SIMPLE,
    "cheap": ProductFilter(
        (Filter(((PRODUCT["price"], Comparison("less_than", (Decimal("2.5"),))),)), *SIMPLE.filters)
    ),
    "not a": ProductFilter((Filter(groups=(ProductGroup("a", SIMPLE),), exceptions=SIMPLE),)),
}
SEEN = {"seconds": Fact("seconds", FactType.number, "", own=True), "page": Fact("page", FactType.text, "", own=True)}
EVENTS = {
    "Lit-viewed": catalogue.EventType("Lit-viewed", "", SEEN),
    "added to basket": catalogue.EventType("added to basket", "", {"page": SEEN["page"]}),
}
AGENT = {
    "agent": Fact("agent", FactType.text, "", own=True, choices=("Lit-a", "Lit-é")),
    "minutes": Fact("minutes", FactType.number, "", own=True),
}
CATALOGUE = Catalogue(CUSTOMER, PRODUCT, EVENTS, AGENT)
THRESHOLDS = Thresholds(new=Span(1, "month"), lapsing=Span(30, "day"), lapsed=Span(1, "year"))
VOCABULARY = Vocabulary(CATALOGUE, TOPICS, CHOICES, CHOICES, IMPLICATIONS, GROUPS, THRESHOLDS)


def sampled(pool: Any) -> Any:
    return st.sampled_from(pool)


def compared(kind: FactType, pool: tuple[Any, ...] = (), known: bool = True) -> st.SearchStrategy[Comparison]:
    """Give comparisons of one type; `pool` are the values to compare with."""
    made = [_of_type(kind, pool)]
    if known:
        made.append(st.builds(lambda yes: Comparison(KNOWN, (yes,)), st.booleans()))
    return st.one_of(*made)


def _of_type(kind: FactType, pool: tuple[Any, ...]) -> st.SearchStrategy[Comparison]:
    if kind is FactType.boolean:
        return _either(("is",), st.booleans())
    if kind is FactType.text:
        parts = st.builds(Comparison, sampled(("starts_with", "ends_with", "contains")), st.tuples(sampled(PARTS)))
        return parts | _either(("is",), sampled(TEXTS))
    values = sampled(pool or (DATES if kind is FactType.date else NUMBERS))
    single = tuple(word for word in comparison.ORDERED if word != "between")
    pairs = st.tuples(values, values).map(lambda both: Comparison("between", tuple(sorted(both))))
    return pairs | _either(single, values)


def _either(operators: tuple[str, ...], values: Any) -> Any:
    several = st.lists(values, min_size=1, max_size=4).map(lambda chosen: Comparison("one_of", tuple(chosen)))
    return st.builds(Comparison, sampled(operators), st.tuples(values)) | several


def _fact(fact: Fact) -> st.SearchStrategy[Condition]:
    return compared(fact.type).map(lambda comparison: nodes.FactIs(0, fact, comparison))


def _filter(exceptions: Any) -> Any:
    field = sampled(ABOUT).flatmap(lambda fact: st.tuples(st.just(fact), compared(fact.type)))
    named = sampled([(), *((ProductGroup(name, group),) for name, group in GROUPS.items())])
    made = st.builds(
        Filter, st.lists(field, max_size=2, unique_by=lambda field: field[0].name).map(tuple), named, exceptions
    )
    return made.filter(
        lambda product_filter: product_filter.fields or product_filter.groups or product_filter.exceptions
    )


SELECTIONS = st.lists(
    _filter(
        st.none()
        | st.lists(_filter(st.none()), min_size=1, max_size=2).map(lambda filters: ProductFilter(tuple(filters)))
    ),
    min_size=1,
    max_size=3,
).map(lambda filters: ProductFilter(tuple(filters)))
DAYS = sampled(DATES)
PERIODS = tuple(map(Period.parse, ("today", "yesterday", "this week", "last month", "this quarter", "last year")))
WINDOWS = st.one_of(
    st.just(EVER),
    st.builds(Window, sampled(SPANS)),
    st.builds(Window, st.none(), sampled(SPANS) | DAYS),
    st.builds(Window, DAYS | sampled(PERIODS)),
    st.tuples(DAYS, DAYS).map(lambda both: Window(*sorted(both))),
    sampled(PERIODS).map(lambda period: Window(period, period)),
    st.builds(Window, st.just(Span(1, "year")), sampled(SPANS[:-1]) | st.just(DATES[3])),
    st.builds(Window, st.just(DATES[0]), sampled(SPANS[:-1])),
)
WINDOWS |= WINDOWS.map(lambda window: replace(window, local=True))
RELATIVES = st.one_of(
    st.builds(Relative, sampled(("within", "before", "in_next", "anniversary_in")), sampled(SPANS[2:])),
    st.builds(Relative, st.just("during"), sampled(PERIODS)),
    st.builds(Relative, st.just("anniversary_in"), sampled(PERIODS[:4])),
)
POOLS = {
    **dict.fromkeys(("times", "distinct_products"), COUNTS),
    "items": NUMBERS,
    "amount": AMOUNTS,
    "average_order": AMOUNTS,
    **dict.fromkeys(("days_since_last", "days_since_first"), AGES),
}
SPANNING = {"event": tuple(EVENTS), "by": ("human", "proxy"), "direction": ("in", "out"), "seconds": NUMBERS}
SPANNING |= {"agent": AGENT["agent"].choices, "channel": CHANNELS, "campaign": ("Lit-a", "Lit-é"), "topic": TOPICS}
SPANNING |= {"content": ("Lit-a", "Lit-x"), "link": ("Lit-a/x", "Lit-é"), "minutes": NUMBERS, "page": TEXTS}


def _measures(history: ActivityKind) -> Any:
    """Up to three measures that this kind of happening has."""
    measure = sampled(sorted(history.measures)).flatmap(
        lambda name: compared(FactType.number, POOLS[name], False).map(lambda how: Aggregate(name, how))
    )
    return st.lists(measure, max_size=3, unique_by=lambda measure: measure.name).map(tuple)


def _fields(history: ActivityKind) -> Any:
    """Comparisons of up to two fields; those that hold unless said otherwise come last, as a reader adds them."""
    facts = history.known(CATALOGUE)
    own = [fact for fact in facts.values() if fact.name not in history.defaults]
    usual = tuple((facts[name], Comparison("is", (value,))) for name, value in history.defaults.items())
    if not own:
        return st.just(usual)
    compared_field = sampled(own).flatmap(lambda fact: st.tuples(st.just(fact), _of_fact(fact)))
    several = st.lists(compared_field, max_size=2, unique_by=lambda pair: pair[0].name).map(tuple)
    plain = several.filter(lambda fields: _carried(history, fields)).map(lambda some: some + usual)
    if not usual:
        return plain
    by = _either(("is",), sampled(facts["by"].choices)).map(lambda how: ((facts["by"], how),))
    return plain | by


def _of_fact(fact: Fact) -> Any:
    pool = SPANNING.get(fact.name, TEXTS)
    return _either(("is",), sampled(pool)) if fact.type is FactType.text else compared(fact.type, pool)


def _carried(history: ActivityKind, fields: Any) -> bool:
    """Only one of the events carries seconds; a rule may not ask the other for them."""
    comparisons = {fact.name: how for fact, how in fields}
    return (
        history is not DID
        or "seconds" not in comparisons
        or "Lit-viewed" in getattr(comparisons.get("event"), "values", EVENTS)
    )


def _happened(history: ActivityKind) -> Any:
    products = st.just(EVERYTHING) | SELECTIONS if history.of_products else st.just(EVERYTHING)
    return st.builds(
        ActivityCondition,
        st.just(0),
        st.just(history),
        _fields(history),
        products,
        WINDOWS,
        _measures(history),
        st.booleans() if history.tracked else st.just(False),
    ).filter(lambda condition: condition != ActivityCondition(0, history))


BOUGHT = _happened(KINDS["bought"])
HAPPENED = [_happened(history) for history in KINDS.values()]
DATED = st.builds(nodes.Dated, st.just(0), sampled([CUSTOMER["born"], CUSTOMER["joined_at"]]), RELATIVES, st.booleans())


def _unsayable(dated: nodes.Dated) -> bool:
    """A moment has no day of the year that is the same in every zone."""
    return dated.local and not dated.fact.own and dated.when.word == "anniversary_in"


CHOICE = sampled([(name, VOCABULARY.closure(name, value)) for name, values in CHOICES.items() for value in values])
LEAVES = st.one_of(
    *map(_fact, ASKED),
    BOUGHT,
    BOUGHT,
    *HAPPENED,
    DATED.filter(lambda dated: not _unsayable(dated)),
    st.just(nodes.Everyone(0)),
    st.lists(sampled(list(Stage)), min_size=1, max_size=3).map(
        lambda some: nodes.InLifecycle(0, tuple(some), THRESHOLDS)
    ),
    st.tuples(CHOICE, st.booleans()).map(lambda pair: nodes.HasPreference(0, *pair[0], pair[1])),
    st.tuples(CHOICE, sampled((0.5, 0.95, 1.0))).map(lambda pair: nodes.HasTrait(0, *pair[0], pair[1])),
    sampled(TOPICS).map(lambda topic: nodes.HasConsent(0, topic)),
    sampled((0, 1, 2500, 5000, 10_000)).map(lambda parts: nodes.RandomShare(0, parts, SALT)),
)


HOW_MANY = compared(FactType.number, WHOLE, False).filter(lambda how: how.operator != "one_of")


def _nested(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(inner, min_size=1, max_size=4).map(tuple)
    return st.one_of(
        several.map(lambda parts: nodes.All(0, parts)),
        several.map(lambda parts: nodes.Any(0, parts)),
        st.builds(nodes.Count, st.just(0), HOW_MANY, several),
        inner.map(lambda part: nodes.Not(0, part)),
        inner.map(lambda part: nodes.InAudience(0, "Lit-other", part)),
    )


CONDITIONS: st.SearchStrategy[Condition] = st.recursive(LEAVES, _nested, max_leaves=8)


def written(condition: Condition) -> str:
    """Return the condition as YAML text that reads back as the same condition."""
    return json.dumps(_spelt(condition), ensure_ascii=False)


def members(condition: Condition) -> list[nodes.InAudience]:
    """Return the references to other audiences, in the order in which a reader meets them."""
    if isinstance(condition, nodes.InAudience):
        return [condition]
    return [reference for part in condition.children for reference in members(part)]


def without_places(thing: Any) -> Any:
    """Return a condition with every line 0, to compare what was read with what was written."""
    if isinstance(thing, tuple):
        return tuple(map(without_places, thing))
    if not is_dataclass(thing) or isinstance(thing, type):
        return thing
    inner = {field.name: without_places(getattr(thing, field.name)) for field in fields(thing)}
    return replace(thing, **(inner | {"line": 0} if isinstance(thing, Condition) else inner))


@singledispatch
def _spelt(condition: Condition) -> Any:
    raise TypeError(condition)


@_spelt.register
def _(condition: nodes.All) -> Any:
    return {"all": [_spelt(part) for part in condition.parts]}


@_spelt.register
def _(condition: nodes.Any) -> Any:
    return {"any": [_spelt(part) for part in condition.parts]}


@_spelt.register
def _(condition: nodes.Count) -> Any:
    how = condition.comparison
    number = [str(value) for value in how.values]
    return {
        how.operator: number if how.operator == "between" else number[0],
        "of": [_spelt(part) for part in condition.parts],
    }


@_spelt.register
def _(condition: nodes.Dated) -> Any:
    length = f"{condition.when.length} ago" if condition.when.word == "before" else str(condition.when.length)
    return {condition.fact.name: {condition.when.word: length} | ({"zone": "customer"} if condition.local else {})}


@_spelt.register
def _(condition: nodes.Not) -> Any:
    part = condition.part
    if isinstance(part, ActivityCondition) and part.history.negated and not part.measures:
        return {part.history.negated: _happening(part)}
    return {"not": _spelt(part)}


@_spelt.register
def _(condition: nodes.Everyone) -> Any:
    return {"everyone": "yes"}


@_spelt.register
def _(condition: nodes.FactIs) -> Any:
    return {condition.fact.name: _how(condition.comparison)}


@_spelt.register
def _(condition: nodes.InLifecycle) -> Any:
    return {"lifecycle": [str(stage) for stage in condition.stages]}


@_spelt.register
def _(condition: nodes.HasPreference) -> Any:
    return {"preference": {condition.name: condition.value, "says": "yes" if condition.says else "no"}}


@_spelt.register
def _(condition: nodes.HasTrait) -> Any:
    return {"trait": {condition.name: condition.value, "confidence": str(condition.confidence)}}


@_spelt.register
def _(condition: nodes.HasConsent) -> Any:
    return {"consent": condition.topic}


@_spelt.register
def _(condition: nodes.InAudience) -> Any:
    return {"audience": condition.audience}


@_spelt.register
def _(condition: nodes.RandomShare) -> Any:
    return {"share": f"{Decimal(condition.parts) / 100}%"}


@_spelt.register
def _(condition: ActivityCondition) -> Any:
    return {condition.history.keyword: _happening(condition)}


def _happening(condition: ActivityCondition) -> dict[str, Any]:
    mapping = _products(condition.products) | _window(condition.window)
    usual = condition.history.defaults
    mapping |= {
        fact.name: _how(how) for fact, how in condition.fields if how != Comparison("is", (usual.get(fact.name),))
    }
    mapping |= {"untracked": "yes"} if condition.untracked else {}
    return mapping | {measure.name: _how(measure.comparison) for measure in condition.measures}


def _products(selection: ProductFilter) -> dict[str, Any]:
    alternatives = [_one(part) for part in selection.filters]
    return alternatives[0] if len(alternatives) == 1 else {"any_of": alternatives} if alternatives else {}


def _one(part: Filter) -> dict[str, Any]:
    mapping: dict[str, Any] = {fact.name: _how(how) for fact, how in part.fields}
    if part.groups:
        mapping["group"] = part.groups[0].name
    return mapping | ({"except": _products(part.exceptions)} if part.exceptions else {})


def _window(window: Window) -> dict[str, Any]:
    mapping: dict[str, Any] = {"zone": "customer"} if window.local else {}
    start, end = window.start, window.end
    if isinstance(start, Period) and start == end:
        return mapping | {"during": str(start)}
    if isinstance(start, date) and isinstance(end, date):
        return mapping | {"between": [str(start), str(end)]}
    if start is not None:
        mapping["within" if isinstance(start, Span) else "since"] = str(start)
    if isinstance(end, Span):
        mapping["before"] = f"{end} ago"
    elif isinstance(end, date):
        mapping["before"] = str(end + timedelta(days=1))  # an end includes its day, 'before' does not
    return mapping


def _how(how: Comparison) -> Any:
    values = [_value(value) for value in how.values]
    if how.operator == "one_of":
        return values
    return {how.operator: values if how.operator == "between" else values[0]}


def _value(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
