"""Owns whether two conditions mean the same, and what they name that does not; refuses to say who satisfies them.

It looks into the dataclasses themselves, so that a new kind of condition is compared without a word here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from mailshot.audience.nodes import Condition, InAudience
from mailshot.facts.catalogue import Fact
from mailshot.facts.product_filters import ProductFilter, ProductGroup

# What is written elsewhere and only named in a rule: the word for it, and what it stands for.
NAMED: Mapping[type, tuple[str, str, str]] = {
    ProductGroup: ("group", "name", "selection"),
    InAudience: ("audience", "audience", "condition"),
    Fact: ("fact", "name", "type"),
}
# Where it stands and how it is explained changes nobody's mind.
SILENT = {"line", "help"}


def fingerprint(condition: Condition) -> Hashable:
    """Return what a condition means, wherever and under whatever names it is written: equal for equal meanings."""
    return _essence(condition, {ProductGroup: "name", InAudience: "audience"})


def written(condition: Condition | ProductFilter) -> Hashable:
    """Return what its own file says: equal as long as only things that it names have changed."""
    return _essence(condition, {kind: inside for kind, (_, _, inside) in NAMED.items()})


def named(condition: Condition | ProductFilter) -> dict[tuple[str, str], Hashable]:
    """Return what the groups, audiences and facts mean that are named, directly or not, by kind and name."""
    return dict(_named(condition))


def shifted(before: Condition, after: Condition) -> list[str]:
    """Return the groups, audiences and facts that both name and that have come to mean something else."""
    old, new = named(before), named(after)
    return [f"{kind} '{name}'" for kind, name in new if old.get((kind, name), new[kind, name]) != new[kind, name]]


def _essence(value: Any, less: Mapping[type, str]) -> Hashable:
    if is_dataclass(value):
        without = less.get(type(value))
        names = [field.name for field in fields(value) if field.name != without and field.name not in SILENT]
        return (type(value).__name__, *(_essence(getattr(value, name), less) for name in names))
    if isinstance(value, tuple | list):
        return tuple(_essence(part, less) for part in value)
    return value if isinstance(value, Hashable) else repr(value)


def _named(value: Any) -> Iterator[tuple[tuple[str, str], Hashable]]:
    if isinstance(value, tuple | list):
        for part in value:
            yield from _named(part)
    elif is_dataclass(value):
        if found := NAMED.get(type(value)):
            kind, name, inside = found
            yield (
                (kind, getattr(value, name)),
                _essence(getattr(value, inside), {ProductGroup: "name", InAudience: "audience"}),
            )
        for field in fields(value):
            yield from _named(getattr(value, field.name))
