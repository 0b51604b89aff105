"""Makes up a product that matches a product filter, for examples that name only a group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from itertools import chain, islice, product
from typing import Any

from mailshot.facts.catalogue import Fact, FactType
from mailshot.facts.comparison import KNOWN, Comparison, Value
from mailshot.facts.product_filters import Filter, ProductFilter

#: Combinations of values that are tried for one way to match.
MAX_COMBINATIONS = 5_000
#: Values of facts that the filter does not compare.
SOME: Mapping[FactType, tuple[Value, ...]] = {
    FactType.text: ("some", "other"),
    FactType.number: (Decimal(1), Decimal(0)),
    FactType.boolean: (True, False),
    FactType.date: (date(2000, 1, 1),),
}
Fields = tuple[tuple[Fact, Comparison], ...]


def synthesize(selection: ProductFilter, known: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a product that matches the filter, with the `known` facts and few others; None if none is found."""
    avoided = tuple(_avoided(selection))
    for fields in _ways(selection):
        facts = {fact.name: fact for fact, _ in (*fields, *avoided)}
        choices = [_choices(fact, fields, avoided, known) for fact in facts.values()]
        for values in islice(product(*choices), MAX_COMBINATIONS):
            made = {name: value for name, value in zip(facts, values, strict=True) if value is not None}
            if selection.matches({**known, **made}):
                return {**known, **made}
    return None


def stored_value(fact: Fact, value: Value) -> object:
    """Return a value as an import stores it: own facts as in JSON."""
    if isinstance(value, Decimal) and fact.own:
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date) else value


def _ways(selection: ProductFilter) -> Iterator[Fields]:
    """Yield the comparisons that a product must satisfy, one alternative after the other."""
    for alternative in selection.filters or (Filter(),):
        for fields in product(*(list(_ways(group.selection)) for group in alternative.groups)):
            yield alternative.fields + tuple(chain.from_iterable(fields))


def _avoided(selection: ProductFilter, denied: bool = False) -> Iterator[tuple[Fact, Comparison]]:
    """Yield the comparisons of all exceptions."""
    for alternative in selection.filters:
        yield from alternative.fields if denied else ()
        for group in alternative.groups:
            yield from _avoided(group.selection, denied)
        if alternative.exceptions:
            yield from _avoided(alternative.exceptions, True)


def _choices(fact: Fact, fields: Fields, avoided: Fields, known: Mapping[str, Any]) -> list[Any]:
    """Return the values to try for a field of the product; those that the filter names come first."""
    if fact.name in known:
        return [known[fact.name]]
    wanted = [how for other, how in fields if other.name == fact.name]
    around = [how for other, how in avoided if other.name == fact.name]
    possible = [*_values(fact, wanted), *_values(fact, around), *(fact.choices or SOME[fact.type])]
    fitting = [value for value in dict.fromkeys(possible) if all(how.holds(value) for how in wanted)]
    unknown = [None] if all(how.holds(None) for how in wanted) else []
    return unknown + [stored_value(fact, value) for value in fitting if not fact.choices or value in fact.choices]


def _values(fact: Fact, comparisons: Iterable[Comparison]) -> Iterator[Value]:
    """Yield the values that comparisons name, and values next to them."""
    several = [how for how in comparisons if how.operator != KNOWN]
    for how in several:
        for value in how.values:
            yield value
            if isinstance(value, Decimal):
                yield from (value + 1, value - 1, value + Decimal("0.0001"), value - Decimal("0.0001"))
            elif isinstance(value, date):
                yield from (value + timedelta(days=1), value - timedelta(days=1))
    if fact.type is FactType.text:
        parts = {word: _texts(several, word) for word in ("starts_with", "contains", "ends_with")}
        inside = "".join(parts["contains"])
        joined = product(parts["starts_with"] or [""], [inside], parts["ends_with"] or [""])
        yield from filter(None, map("".join, joined))


def _texts(comparisons: Iterable[Comparison], operator: str) -> list[str]:
    return [str(how.values[0]) for how in comparisons if how.operator == operator]
