"""Owns reading choices of products out of YAML nodes; refuses windows and counts (rules read those).

{department: DELI, category: [CHEESES, SALADS/DIPS]}      every field must fit
{group: meat, except: {type: MEAT SUBSTITUTE}}            a group of rules/products.yaml, less some
{any_of: [{department: MEAT}, {department: DELI}]}        any of several
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mailshot import documents
from mailshot.documents import Document, Node, Problems, Sequence
from mailshot.profile import scalars
from mailshot.profile.catalogue import Fact
from mailshot.profile.products import Filter, Group, ProductFilter

ANY_OF = "any_of"
EXCEPT = "except"
GROUP = "group"
EXAMPLE = "For example {department: PRODUCE}."
MOST_PARTS = 500
MOST_LEVELS = 10


@dataclass(frozen=True, slots=True)
class ProductNames:
    """What a choice of products may name: facts about products, and groups."""

    facts: Mapping[str, Fact]
    groups: Mapping[str, ProductFilter]


def groups(document: Document, facts: Mapping[str, Fact]) -> dict[str, ProductFilter]:
    """Read `rules/products.yaml`: names and what belongs to each; a later group may build on earlier ones."""
    problems = document.problems()
    found: dict[str, ProductFilter] = {}
    if not isinstance(document.root, documents.Mapping):
        problems.add(document.root, "expected names of product groups", "For example 'meat: {department: MEAT}'.")
        problems.raise_if_any()
    assert isinstance(document.root, documents.Mapping)
    for key, node in document.root:
        selection = read(node, ProductNames(facts, found), problems)
        if selection:
            found[key.text] = selection
    problems.raise_if_any()
    return found


def read(node: Node, products: ProductNames, problems: Problems, also: Iterable[str] = ()) -> ProductFilter | None:
    """Read one choice of products; `also` are further words that are known where it stands."""
    if not isinstance(node, documents.Mapping) or not node.entries:
        problems.add(node, "expected product fields", EXAMPLE)
        return None
    found = _selection(node, products, problems, also)
    if found and (found.size > MOST_PARTS or found.depth > MOST_LEVELS):
        told = f"comes to more than {MOST_PARTS} comparisons or {MOST_LEVELS} levels, with the groups it names"
        problems.add(node, f"the choice of products {told}", "Make it simpler.")
        return None
    return found


def _selection(
    node: documents.Mapping, products: ProductNames, problems: Problems, also: Iterable[str]
) -> ProductFilter | None:
    several = node.get(ANY_OF)
    if several is None:
        one = _filter(node, products, problems, also)
        return ProductFilter((one,)) if one else None
    if len(node.entries) > 1 or not isinstance(several, Sequence) or not several.items:
        problems.add(node, f"'{ANY_OF}' stands alone and holds a list of product fields")
        return None
    parts = [read(item, products, problems) for item in several.items]
    if None in parts:
        return None
    return ProductFilter(tuple(one for part in parts if part for one in part.filters))


def _filter(node: documents.Mapping, products: ProductNames, problems: Problems, also: Iterable[str]) -> Filter | None:
    before = len(problems.found)
    fields = []
    named: tuple[Group, ...] = ()
    exceptions: ProductFilter | None = None
    for key, given in node:
        if key.text == EXCEPT:
            exceptions = read(given, products, problems)
        elif key.text == GROUP:
            named = _groups(given, products, problems)
        elif fact := products.facts.get(key.text):
            comparison = scalars.fact(given, fact, problems)
            fields += [(fact, comparison)] if comparison else []
        else:
            known = {*products.facts, *also, EXCEPT, GROUP, ANY_OF}
            problems.unknown(key, f"unknown product field '{key.text}'", key.text, known)
    return Filter(tuple(fields), named, exceptions) if len(problems.found) == before else None


def _groups(node: Node, products: ProductNames, problems: Problems) -> tuple[Group, ...]:
    name = scalars.word(node, products.groups, problems, "product group")
    return (Group(name, products.groups[name]),) if name else ()
