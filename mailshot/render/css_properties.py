"""What CSS properties set: shorthands, their longhands, and values that every mail reader understands.

Shorthands are those of https://www.w3.org/TR/css-cascade/#shorthand that mails use.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import tinycss2
from tinycss2.color3 import parse_color

_SIDES = ("top", "right", "bottom", "left")
_BORDER_KINDS = ("width", "style", "color")
_VENDOR = re.compile(r"^-(?:webkit|moz|ms|o)-")
_LOGICAL = re.compile(r"(?P<box>margin|padding|border|inset)(?:-(?:block|inline))(?:-.*)?")
EVERYTHING = frozenset({"all"})
"""What `all` sets."""


def _border(side: str) -> set[str]:
    return {f"border-{side}-{kind}" for kind in _BORDER_KINDS}


_SHORTHANDS: dict[str, set[str]] = {
    "margin": {f"margin-{side}" for side in _SIDES},
    "padding": {f"padding-{side}" for side in _SIDES},
    "inset": set(_SIDES),
    **{f"border-{side}": _border(side) for side in _SIDES},
    **{f"border-{kind}": {f"border-{side}-{kind}" for side in _SIDES} for kind in _BORDER_KINDS},
    "border": set().union(*(_border(side) for side in _SIDES), {"border-image"}),
    "border-radius": {
        f"border-{vertical}-{side}-radius" for vertical in ("top", "bottom") for side in ("left", "right")
    },
    "background": {
        f"background-{part}"
        for part in ("color", "image", "position-x", "position-y", "size", "repeat", "origin", "clip", "attachment")
    },
    "background-position": {"background-position-x", "background-position-y"},
    "font": {
        "line-height",
        *(f"font-{part}" for part in ("style", "variant", "weight", "stretch", "size", "family", "size-adjust")),
    },
    "list-style": {f"list-style-{part}" for part in ("type", "position", "image")},
    "text-decoration": {f"text-decoration-{part}" for part in ("line", "style", "color", "thickness")},
    "outline": {f"outline-{kind}" for kind in _BORDER_KINDS},
    "overflow": {"overflow-x", "overflow-y"},
    "flex": {"flex-grow", "flex-shrink", "flex-basis"},
    "flex-flow": {"flex-direction", "flex-wrap"},
    "gap": {"row-gap", "column-gap"},
    "columns": {"column-width", "column-count"},
    "transition": {f"transition-{part}" for part in ("property", "duration", "timing-function", "delay")},
    "animation": {
        f"animation-{part}"
        for part in ("name", "duration", "timing-function", "delay", "iteration-count", "direction", "fill-mode",
                     "play-state")
    },
}  # fmt: skip
_ALIASES = {"word-wrap": "overflow-wrap", "inline-size": "width", "block-size": "height"}
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

    Vendor prefixes are ignored. A logical property (`margin-inline`) sets any side, because which one depends on the
    direction of the text.
    """
    if name.startswith("--"):
        return frozenset({name})
    bare = _VENDOR.sub("", name)
    logical = _LOGICAL.fullmatch(bare)
    bare = logical["box"] if logical else _ALIASES.get(bare, bare)
    return frozenset(_SHORTHANDS.get(bare, {bare}))


def overlap(one: str, other: str) -> bool:
    """Return whether two properties may set the same longhand."""
    if "all" in (one, other):
        return not (one.startswith("--") or other.startswith("--"))
    return not longhands(one).isdisjoint(longhands(other))


def covers(one: str, other: str) -> bool:
    """Return whether the first property sets all that the second sets."""
    if one == "all":
        return not other.startswith("--")
    return longhands(one) >= longhands(other) and not _LOGICAL.fullmatch(one)


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
