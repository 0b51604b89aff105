"""Matches selectors against the elements of a mail, and tells when no answer holds for every customer and reader.

cssselect2 does the matching. A selector may ask what only the reader's program knows (`:hover`, `:checked`), or what
differs between customers (see html_tree); then the elements that it may match are those of its last part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import pairwise
from typing import Any

from cssselect2 import SelectorError, parser
from cssselect2.compiler import CompiledSelector

from mailshot.render.html_tree import StyledElement

_SIBLINGS = frozenset({"first-child", "last-child", "only-child", "first-of-type", "last-of-type", "only-of-type"})
_STATIC = _SIBLINGS | {"root", "link", "any-link"}
_NTH = frozenset({"nth-child", "nth-last-child", "nth-of-type", "nth-last-of-type"})
_CHANGED_BY_READERS = frozenset({"open"})
"""Attributes that a click of the reader adds and removes: of <details>."""
_LISTS = (parser.NegationSelector, parser.MatchesAnySelector, parser.SpecificityAdjustmentSelector)
_KNOWN_TO_BROWSERS = _STATIC | {
    "active", "autofill", "checked", "default", "defined", "disabled", "empty", "enabled", "focus", "focus-visible",
    "focus-within", "fullscreen", "hover", "in-range", "indeterminate", "invalid", "optional", "out-of-range",
    "placeholder-shown", "read-only", "read-write", "required", "target", "valid", "visited",
}  # fmt: skip
"""Pseudo-classes; one that browsers do not know makes them discard the whole rule."""


class Match(Enum):
    """Whether a selector matches an element."""

    YES = "for every customer, in every reader"
    MAYBE = "for some customers, or in some readers or states"
    NO = "never"


@dataclass(frozen=True, slots=True)
class AttributeTest:
    """A test of an attribute, such as `[href^="https"]`."""

    name: str
    operator: str | None
    """None: whether the attribute is there."""
    value: str


@dataclass(slots=True)
class _Questions:
    """What a selector asks about an element."""

    siblings: bool = False
    ancestors: bool = False
    states: bool = False
    """Something that only the reader's program knows."""
    unknown: bool = False
    """Something that browsers may not know."""
    attributes: list[AttributeTest] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Selector:
    """One selector of a rule."""

    specificity: tuple[int, int, int]
    key: tuple[str, str]
    """What an element must have: ('id', …), ('class', …), ('tag', …), or ('', '') for anything."""
    is_static: bool
    """Tree and attributes alone tell what it matches."""
    is_unknown: bool
    """Browsers may not know it."""
    asks_siblings: bool
    asks_ancestors: bool
    tests: tuple[AttributeTest, ...]
    varying: frozenset[str]
    """Attributes that it tests, and that have other values for other customers somewhere in the mail."""
    exact: CompiledSelector | None
    """None where `is_static` is false."""
    relaxed: CompiledSelector
    """Matches all that the selector may match."""

    def match(self, element: StyledElement) -> Match:
        """Return whether the selector matches an element."""
        varies = (
            (self.asks_siblings and element.siblings_vary)
            or (self.asks_ancestors and element.ancestors_vary)
            or (self.varying and (self.asks_siblings or self.asks_ancestors))
            or self.varying & element.varying_attributes
        )
        if self.is_static and self.exact and not varies:
            return Match.YES if self.exact.test(element.wrapper) else Match.NO
        return Match.MAYBE if self.relaxed.test(element.wrapper) else Match.NO


def read_selectors(tokens: Sequence[Any], lower_names: bool, varying_attributes: Collection[str]) -> list[Selector]:
    """Read the selectors of a rule, without those of pseudo-elements, which style no element itself.

    With `lower_names`, classes and ids are compared in lower case. `varying_attributes` are the names of attributes
    that have other values for other customers. Browsers discard a rule with a selector that they do not know; so
    where one here may be unknown, none of the rule is static.
    """
    trees: list[Any] = []
    unknown = False
    for part in _split(tokens):
        unknown |= any(_holds_pseudo_element(token) for token in part)
        try:
            (parsed,) = parser.parse(part)
        except (SelectorError, ValueError, KeyError):
            unknown = True
            continue
        if not parsed.pseudo_element:
            trees.append(parsed.parsed_tree)
    selectors = [_selector(tree, lower_names, varying_attributes) for tree in trees]
    if unknown or any(selector.is_unknown for selector in selectors):
        return [replace(selector, is_static=False) for selector in selectors]
    return selectors


def _holds_pseudo_element(token: Any) -> bool:
    """Return whether a pseudo-element stands inside of `:not()` or `:is()`, which makes the selector invalid."""
    if token.type != "function":
        return False
    pairs = pairwise(token.arguments)
    return any(one == ":" and other == ":" for one, other in pairs) or any(map(_holds_pseudo_element, token.arguments))


def _split(tokens: Sequence[Any]) -> Iterator[list[Any]]:
    part: list[Any] = []
    for token in tokens:
        if token.type == "literal" and token.value == ",":
            yield part
            part = []
        else:
            part.append(token)
    yield part


def _selector(tree: Any, lower_names: bool, varying_attributes: Collection[str]) -> Selector:
    if lower_names:
        _lower(tree)
    asked = _Questions()
    _ask(tree, asked)
    varying = frozenset(test.name for test in asked.attributes).intersection(varying_attributes)
    static = not (asked.states or asked.unknown)
    last = tree.right if isinstance(tree, parser.CombinedSelector) else tree
    kept = [simple for simple in last.simple_selectors if _is_kept(simple, varying_attributes)]
    exact = CompiledSelector(parser.Selector(tree)) if static else None
    relaxed = CompiledSelector(parser.Selector(parser.CompoundSelector(kept)))
    return Selector(
        specificity=tree.specificity,
        key=_key(kept),
        is_static=static,
        is_unknown=asked.unknown,
        asks_siblings=asked.siblings,
        asks_ancestors=asked.ancestors,
        tests=tuple(asked.attributes),
        varying=varying,
        exact=exact,
        relaxed=relaxed,
    )


def _is_kept(simple: Any, varying_attributes: Collection[str]) -> bool:
    """Return whether a part of a compound selector always holds for what the whole selector matches."""
    if isinstance(simple, parser.AttributeSelector):
        return simple.lower_name not in varying_attributes and simple.lower_name not in _CHANGED_BY_READERS
    return isinstance(
        simple, (parser.LocalNameSelector, parser.NamespaceSelector, parser.IDSelector, parser.ClassSelector)
    )


def _key(simple_selectors: Sequence[Any]) -> tuple[str, str]:
    for kind, name in ((parser.IDSelector, "ident"), (parser.ClassSelector, "class_name")):
        for simple in simple_selectors:
            if isinstance(simple, kind):
                return {"ident": "id", "class_name": "class"}[name], getattr(simple, name)
    for simple in simple_selectors:
        if isinstance(simple, parser.LocalNameSelector):
            return "tag", simple.lower_local_name
    return "", ""


def _simple(tree: Any) -> Iterator[Any]:
    """Yield the simple selectors of a tree, also those inside `:not()` and `:is()`, and its combinators."""
    if isinstance(tree, parser.CombinedSelector):
        yield tree.combinator
        yield from _simple(tree.left)
        yield from _simple(tree.right)
    elif isinstance(tree, parser.CompoundSelector):
        for simple in tree.simple_selectors:
            yield simple
            if isinstance(simple, _LISTS):
                for inner in simple.selector_list:
                    yield from _simple(inner.parsed_tree)


def _ask(tree: Any, asked: _Questions) -> None:
    for part in _simple(tree):
        if isinstance(part, str):
            asked.siblings |= part in "+~"
            asked.ancestors |= part in " >"
        elif isinstance(part, parser.PseudoClassSelector):
            asked.siblings |= part.name in _SIBLINGS
            asked.states |= part.name not in _STATIC
            asked.unknown |= part.name not in _KNOWN_TO_BROWSERS
        elif isinstance(part, parser.FunctionalPseudoClassSelector):
            asked.siblings |= part.name in _NTH
            asked.states |= part.name not in _NTH
        elif isinstance(part, parser.RelationalSelector):
            asked.states = True
        elif isinstance(part, parser.AttributeSelector):
            asked.attributes.append(AttributeTest(part.lower_name, part.operator, part.value or ""))
            asked.states |= part.lower_name in _CHANGED_BY_READERS


def _lower(tree: Any) -> None:
    for part in _simple(tree):
        if isinstance(part, parser.IDSelector):
            part.ident = part.ident.lower()
        elif isinstance(part, parser.ClassSelector):
            part.class_name = part.class_name.lower()


class SelectorIndex:
    """Finds the selectors that may match an element without trying all of them."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, str], list[tuple[Selector, Any]]] = defaultdict(list)

    def add(self, selector: Selector, payload: Any) -> None:
        self._by_key[selector.key].append((selector, payload))

    def matches(self, element: StyledElement) -> Iterator[tuple[Selector, Any, Match]]:
        """Yield the selectors that match, or may match, an element, with what was added with each."""
        wrapper = element.wrapper
        keys = [("", ""), ("tag", wrapper.local_name.lower()), ("id", wrapper.id)]
        for key in (*keys, *(("class", name) for name in wrapper.classes)):
            for selector, payload in self._by_key.get(key, ()):
                match = selector.match(element)
                if match is not Match.NO:
                    yield selector, payload, match
