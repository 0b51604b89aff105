"""The names that templates may use, by dotted group, and what each group is: an object, a list, or names only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from mailshot.render import logo
from mailshot.render.links import OWN_PAGES

OFFER_EXTRAS = ("times", "reason")
#: Groups that are lists, and those that have a value themselves; others only contain values.
LISTS = frozenset({"offers", "last_order.products"})
OBJECTS = frozenset({"customer", "campaign", logo.COMPANY, "sender", "links"})


class ListType(frozenset[str]):
    """The fields of each item of a list in a vocabulary, as `offers` is one."""


class GroupType(frozenset[str]):
    """The fields of a group that has no value of its own: `preference.diet` is nothing, `preference.diet.vegan` is."""


def example_values(vocabulary: Mapping[str, Collection[str]], value: object, items: int) -> dict[str, Any]:
    """Return values for every name of a vocabulary: each fact is `value`, each list has so many items."""
    values: dict[str, Any] = {}
    for group in sorted(vocabulary):  # a group comes before the groups in it
        *owners, name = group.split(".")
        target = values
        for owner in owners:
            target = target[owner]
        fields = dict.fromkeys(vocabulary[group], value)
        target[name] = [fields] * items if isinstance(vocabulary[group], ListType) else fields
    return values


def template_names(customer: Collection[str], product: Collection[str]) -> dict[str, list[str]]:
    """Return the names that the templates of every shop may use, with its facts about customers and products."""
    return {
        "customer": sorted(customer),
        "offers": sorted({*product, *OFFER_EXTRAS}),
        "campaign": ["name"],
        logo.COMPANY: list(logo.FIELDS),
        "sender": ["email", "name", "postal_address"],
        "links": sorted(OWN_PAGES),
    }


def typed_vocabulary(names: Mapping[str, Collection[str]]) -> dict[str, Collection[str]]:
    """Return a vocabulary whose groups say what they are."""
    kinds: dict[bool, Callable[[Collection[str]], Collection[str]]] = {True: tuple, False: GroupType}
    return {
        group: ListType(fields) if group in LISTS else kinds[group in OBJECTS](fields)
        for group, fields in names.items()
    }
