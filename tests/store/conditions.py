"""Owns conditions made up at random and their spelling as YAML; refuses to judge them."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import singledispatch
from typing import Any

from hypothesis import strategies as st

from mailshot.audience import nodes
from mailshot.audience.nodes import Bought, Condition, Measure
from mailshot.audience.vocabulary import Vocabulary
from mailshot.profile import catalogue, comparison
from mailshot.profile.catalogue import Catalogue, Fact, FactType
from mailshot.profile.comparison import KNOWN, Comparison
from mailshot.profile.lifecycle import Stage
from mailshot.profile.products import Filter, Group, Selection
from mailshot.profile.window import EVER, Span, Window

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
AGES = tuple(map(Decimal, ("0", "1", "29", "30", "31", "90", "36500")))
AMOUNTS = tuple(map(Decimal, ("-1", "0", "0.3", "1", "2.5", "3.3333", "5", "10")))
SPANS = tuple(
    Span(*each) for each in ((1, "hour"), (36, "hour"), (1, "day"), (30, "day"), (2, "week"), (1, "month"), (1, "year"))
)
CHANNELS = ("store", "web", "Lit-ß")
TOPICS = ("offers", "recipes")
CHOICES = {"diet": ("everything", "vegetarian", "vegan"), "size": ("small", "large")}
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
SIMPLE = Selection((Filter(((PRODUCT["department"], Comparison("is", ("Lit-a",))),)),))
GROUPS = {
    "a": SIMPLE,
    "cheap": Selection((Filter(((PRODUCT["price"], Comparison("less_than", (Decimal("2.5"),))),)), *SIMPLE.filters)),
    "not a": Selection((Filter(groups=(Group("a", SIMPLE),), exceptions=SIMPLE),)),
}
VOCABULARY = Vocabulary(Catalogue(CUSTOMER, PRODUCT), TOPICS, CHOICES, CHOICES, GROUPS)


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


def _either(words: tuple[str, ...], values: Any) -> Any:
    several = st.lists(values, min_size=1, max_size=4).map(lambda given: Comparison("one_of", tuple(given)))
    return st.builds(Comparison, sampled(words), st.tuples(values)) | several


def _fact(fact: Fact) -> st.SearchStrategy[Condition]:
    return compared(fact.type).map(lambda found: nodes.FactIs(0, fact, found))


def _filter(exceptions: Any) -> Any:
    field = sampled(ABOUT).flatmap(lambda fact: st.tuples(st.just(fact), compared(fact.type)))
    named = sampled([(), *((Group(name, group),) for name, group in GROUPS.items())])
    made = st.builds(
        Filter, st.lists(field, max_size=2, unique_by=lambda each: each[0].name).map(tuple), named, exceptions
    )
    return made.filter(lambda one: one.fields or one.groups or one.exceptions)


SELECTIONS = st.lists(
    _filter(st.none() | st.lists(_filter(st.none()), min_size=1, max_size=2).map(lambda one: Selection(tuple(one)))),
    min_size=1,
    max_size=3,
).map(lambda found: Selection(tuple(found)))
DAYS = sampled(DATES)
WINDOWS = st.one_of(
    st.just(EVER),
    st.builds(Window, sampled(SPANS)),
    st.builds(Window, st.none(), sampled(SPANS) | DAYS),
    st.builds(Window, DAYS),
    st.tuples(DAYS, DAYS).map(lambda both: Window(*sorted(both))),
    st.builds(Window, st.just(Span(1, "year")), sampled(SPANS[:-1]) | st.just(DATES[3])),
    st.builds(Window, st.just(DATES[0]), sampled(SPANS[:-1])),
)
POOLS = {
    **dict.fromkeys(("times", "distinct_products"), COUNTS),
    "items": NUMBERS,
    "amount": AMOUNTS,
    "average_order": AMOUNTS,
    **dict.fromkeys(("days_since_last", "days_since_first"), AGES),
}
MEASURES = st.lists(
    sampled(sorted(POOLS)).flatmap(
        lambda name: compared(FactType.number, POOLS[name], False).map(lambda how: Measure(name, how))
    ),
    max_size=3,
    unique_by=lambda measure: measure.name,
).map(tuple)
BOUGHT = st.builds(
    Bought,
    st.just(0),
    st.just(Selection()) | SELECTIONS,
    WINDOWS,
    st.lists(sampled(CHANNELS), max_size=2).map(tuple),
    MEASURES,
).filter(lambda found: found != Bought(0, Selection(), EVER, (), ()))
CHOICE = sampled([(name, value) for name, values in CHOICES.items() for value in values])
LEAVES = st.one_of(
    *map(_fact, ASKED),
    BOUGHT,
    BOUGHT,
    BOUGHT,
    st.just(nodes.Everyone(0)),
    st.lists(sampled(list(Stage)), min_size=1, max_size=3).map(lambda some: nodes.InStage(0, tuple(some))),
    st.tuples(CHOICE, st.booleans()).map(lambda said: nodes.Prefers(0, *said[0], said[1])),
    st.tuples(CHOICE, sampled((0.5, 0.95, 1.0))).map(lambda said: nodes.Shows(0, *said[0], said[1])),
    sampled(TOPICS).map(lambda topic: nodes.Consents(0, topic)),
    sampled((0, 1, 2500, 5000, 10_000)).map(lambda parts: nodes.Share(0, parts, SALT)),
)


def _nested(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(inner, min_size=1, max_size=4).map(tuple)
    return st.one_of(
        several.map(lambda parts: nodes.All(0, parts)),
        several.map(lambda parts: nodes.Any(0, parts)),
        inner.map(lambda part: nodes.Not(0, part)),
        inner.map(lambda part: nodes.Member(0, "Lit-other", part)),
    )


CONDITIONS: st.SearchStrategy[Condition] = st.recursive(LEAVES, _nested, max_leaves=8)


def written(condition: Condition) -> str:
    """Return the condition as YAML text that reads back as the same condition."""
    return json.dumps(_spelt(condition), ensure_ascii=False)


def members(condition: Condition) -> list[nodes.Member]:
    """Return the references to other audiences, in the order in which a reader meets them."""
    if isinstance(condition, nodes.Member):
        return [condition]
    return [found for part in condition.inner for found in members(part)]


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
def _(condition: nodes.Not) -> Any:
    part = condition.part
    if isinstance(part, Bought) and not part.measures:
        return {"never_bought": _purchases(part)}
    return {"not": _spelt(part)}


@_spelt.register
def _(condition: nodes.Everyone) -> Any:
    return {"everyone": "yes"}


@_spelt.register
def _(condition: nodes.FactIs) -> Any:
    return {condition.fact.name: _how(condition.comparison)}


@_spelt.register
def _(condition: nodes.InStage) -> Any:
    return {"lifecycle": [str(stage) for stage in condition.stages]}


@_spelt.register
def _(condition: nodes.Prefers) -> Any:
    return {"preference": {condition.name: condition.value, "says": "yes" if condition.says else "no"}}


@_spelt.register
def _(condition: nodes.Shows) -> Any:
    return {"trait": {condition.name: condition.value, "confidence": str(condition.confidence)}}


@_spelt.register
def _(condition: nodes.Consents) -> Any:
    return {"consent": condition.topic}


@_spelt.register
def _(condition: nodes.Member) -> Any:
    return {"audience": condition.audience}


@_spelt.register
def _(condition: nodes.Share) -> Any:
    return {"share": f"{Decimal(condition.parts) / 100}%"}


@_spelt.register
def _(condition: Bought) -> Any:
    return {"bought": _purchases(condition)}


def _purchases(condition: Bought) -> dict[str, Any]:
    shown = _products(condition.products) | _window(condition.window)
    if condition.channels:
        shown["channel"] = list(condition.channels)
    return shown | {measure.name: _how(measure.comparison) for measure in condition.measures}


def _products(selection: Selection) -> dict[str, Any]:
    shown = [_one(each) for each in selection.filters]
    return shown[0] if len(shown) == 1 else {"any_of": shown} if shown else {}


def _one(each: Filter) -> dict[str, Any]:
    shown: dict[str, Any] = {fact.name: _how(how) for fact, how in each.fields}
    if each.groups:
        shown["group"] = each.groups[0].name
    return shown | ({"except": _products(each.exceptions)} if each.exceptions else {})


def _window(window: Window) -> dict[str, Any]:
    start, end = window.start, window.end
    if isinstance(start, date) and isinstance(end, date):
        return {"between": [str(start), str(end)]}
    shown: dict[str, Any] = {}
    if start is not None:
        shown["within" if isinstance(start, Span) else "since"] = str(start)
    if isinstance(end, Span):
        shown["before"] = f"{end} ago"
    elif end is not None:
        shown["before"] = str(end + timedelta(days=1))  # an end includes its day, 'before' does not
    return shown


def _how(how: Comparison) -> Any:
    values = [_value(value) for value in how.values]
    if how.operator == "one_of":
        return values
    return {how.operator: values if how.operator == "between" else values[0]}


def _value(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
