"""Tells whether two conditions mean the same, and which groups, audiences and facts they name that do not.

It compares the dataclasses field by field, so a new kind of condition needs no code here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from mailshot.audience.nodes import Condition, InAudience
from mailshot.facts.catalogue import Fact
from mailshot.facts.product_filters import ProductFilter, ProductGroup
from mailshot.profile.activity import ActivityKind

#: Things that a rule only names, as they are defined in another file: what they are called in messages, the field with
#: the name, and the field with the definition.
NAMED: Mapping[type, tuple[str, str, str]] = {
    ProductGroup: ("group", "name", "selection"),
    InAudience: ("audience", "audience", "condition"),
    Fact: ("fact", "name", "type"),
}
#: Line numbers and help texts do not affect meaning.
IGNORED = {"line", "help"}
#: Fields that hold only a name, where the definition is compared as well.
_NAMES = {ProductGroup: "name", InAudience: "audience"}


def meaning_key(condition: Condition) -> Hashable:
    """Return a value that is equal for conditions with the same meaning, also under other names and in other files."""
    return _essence(condition, _NAMES)


def same(first: Condition, second: Condition) -> bool:
    """Return whether two conditions are written alike, on whichever lines."""
    return type(first) is type(second) and _essence(first, {}) == _essence(second, {})


def wording_key(condition: Condition | ProductFilter) -> Hashable:
    """Return a value that stays equal while only the definitions of things that it names have changed."""
    return _essence(condition, {kind: definition for kind, (_, _, definition) in NAMED.items()})


def named(condition: Condition | ProductFilter) -> dict[tuple[str, str], Hashable]:
    """Return the meaning of each group, audience and fact that is named, directly or not, by kind and name."""
    return dict(_named(condition))


def shifted(before: Condition, after: Condition) -> list[str]:
    """Return the groups, audiences and facts that both conditions name and whose meaning has changed."""
    old, new = named(before), named(after)
    return [f"{kind} '{name}'" for kind, name in new if old.get((kind, name), new[kind, name]) != new[kind, name]]


def _essence(value: Any, omitted: Mapping[type, str]) -> Hashable:
    """Return a dataclass as nested tuples, without the `omitted` field of each type."""
    if isinstance(value, ActivityKind):
        return value.keyword
    if is_dataclass(value):
        without = omitted.get(type(value))
        names = [field.name for field in fields(value) if field.name != without and field.name not in IGNORED]
        return (type(value).__name__, *(_essence(getattr(value, name), omitted) for name in names))
    if isinstance(value, tuple | list):
        return tuple(_essence(item, omitted) for item in value)
    return value if isinstance(value, Hashable) else repr(value)


def _named(value: Any) -> Iterator[tuple[tuple[str, str], Hashable]]:
    if isinstance(value, tuple | list):
        for item in value:
            yield from _named(item)
    elif is_dataclass(value):
        if type(value) in NAMED:
            kind, name, definition = NAMED[type(value)]
            yield (kind, getattr(value, name)), _essence(getattr(value, definition), _NAMES)
        for field in fields(value):
            yield from _named(getattr(value, field.name))
