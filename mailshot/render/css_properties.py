"""What CSS properties set (https://www.w3.org/TR/css-cascade/#shorthand), and which values every reader understands."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from importlib.resources import files
from typing import Any

import tinycss2
from tinycss2.color3 import parse_color

#: What shorthands and aliases set; made by .ci/css_shorthands.py.
_TABLE: dict[str, list[str]] = json.loads(files("mailshot.render").joinpath("css_shorthands.json").read_text())
_SIDES = ("top", "right", "bottom", "left")
_CORNERS = ("top-left", "top-right", "bottom-right", "bottom-left")
#: Logical longhands, and the physical ones that they may stand for: which one depends on the direction of the text.
_LOGICAL = (
    (r"((?:scroll-)?(?:margin|padding))-(?:inline|block)-(?:start|end)", r"\1-{}", _SIDES),
    (r"border-(?:inline|block)-(?:start|end)-(\w+)", r"border-{}-\1", _SIDES),
    (r"inset-(?:inline|block)-(?:start|end)", "{}", _SIDES),
    (r"(.*)(?:inline|block)-size", r"\1{}", ("width", "height")),
    (r"border-(?:start|end)-(?:start|end)-radius", "border-{}-radius", _CORNERS),
    (r"(overflow|overscroll-behavior)-(?:inline|block)", r"\1-{}", ("x", "y")),
)
_KEYWORDS = {
    "display": {"block", "inline", "inline-block", "none", "table", "table-cell", "table-row"},
    "font-style": {"normal", "italic"},
    "font-weight": {"normal", "bold", *(str(weight) for weight in range(100, 1000, 100))},
    "text-align": {"left", "right", "center", "justify"},
    "text-decoration": {"none", "underline", "line-through"},
    "vertical-align": {"top", "middle", "bottom", "baseline"},
}
_LENGTHS = re.compile(
    r"(?:(?:min|max)-)?(?:width|height)|padding(?:-\w+)?|margin(?:-\w+)?|font-size|line-height|border-radius"
)


@lru_cache(maxsize=1024)
def longhands(name: str) -> frozenset[str]:
    """Return the longhands that a property sets; one that is no shorthand sets itself.

    A logical property (`margin-inline-start`) sets all sides, because which one depends on the direction of the text.
    """
    if name.startswith("--"):
        return frozenset({name})
    return frozenset(physical for longhand in _TABLE.get(name, [name]) for physical in _physical(longhand))


def _physical(longhand: str) -> list[str]:
    for pattern, physical, places in _LOGICAL:
        match = re.fullmatch(pattern, longhand)
        if match:
            return [match.expand(physical.format(place)) for place in places]
    return [longhand]


def overlap(one: str, other: str) -> bool:
    """Return whether two properties may set the same longhand."""
    if "all" in (one, other):
        return not (one.startswith("--") or other.startswith("--"))
    return not longhands(one).isdisjoint(longhands(other))


@lru_cache(maxsize=4096)
def covers(one: str, other: str) -> bool:
    """Return whether the first property always sets all that the second sets."""
    if one == "all":
        return not other.startswith("--")
    if one == other:
        return True
    is_logical = any(len(_physical(longhand)) > 1 for longhand in _TABLE.get(one, [one]))
    return longhands(one) >= longhands(other) and not is_logical


@lru_cache(maxsize=4096)
def is_surely_understood(name: str, value: str) -> bool:
    """Return whether every mail reader understands a value, so that it replaces what was declared before it."""
    tokens = [
        token for token in tinycss2.parse_component_value_list(value) if token.type not in ("whitespace", "comment")
    ]
    if not tokens:
        return False
    if name in ("color", "background-color"):
        return len(tokens) == 1 and _is_old_color(tokens[0])
    if name == "font-family":
        return all(token.type in ("ident", "string") or token == "," for token in tokens)
    if name in _KEYWORDS:
        return len(tokens) == 1 and tokens[0].type in ("ident", "number") and value.strip().lower() in _KEYWORDS[name]
    if _LENGTHS.fullmatch(name):
        most = 4 if name in ("padding", "margin") else 1
        return len(tokens) <= most and all(_is_length(token, name) for token in tokens)
    return False


def _is_old_color(token: Any) -> bool:
    """Return whether a token is a colour of CSS 2: a name, or three or six hex digits."""
    if token.type == "hash":
        return len(token.value) in (3, 6) and parse_color(token) is not None
    return token.type == "ident" and parse_color(token) is not None


def _is_length(token: Any, name: str) -> bool:
    if token.type == "ident":
        return token.lower_value == "auto" and name.startswith(("margin", "width", "height"))
    if token.type == "percentage":
        return bool(token.value >= 0)
    if token.type == "dimension":
        return token.lower_unit in ("px", "em", "pt") and token.value >= 0
    return token.type == "number" and (token.value == 0 or (name == "line-height" and token.value > 0))
