"""Computes the look of each text of a mail where it is certain: colours, size, and whether it is hidden.

What always applies counts: declarations that can be inlined, `style` attributes and old attributes such as `bgcolor`.
Rules in @media and for states (`:hover`) do not. Where anything else is involved (a picture or gradient behind the
text, transparency, a variable, a customer's value), the colour is None: unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from tinycss2.color3 import parse_color

from mailshot.render.cascade import Applied
from mailshot.render.css_properties import overlap
from mailshot.render.html_tree import HtmlTree, StyledElement
from mailshot.render.markup import Tag
from mailshot.render.style_sheet import read_style

Color = tuple[int, int, int]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
_MAX_UNREADABLE_PX = 2
"""Text of this size or less is hidden on purpose."""
_OUTSIDE = frozenset({"head", "style", "script", "title", "template", "noscript", "svg"})
_OWN_COLORS = frozenset({"button", "input", "select", "textarea", "mark", "option"})
"""Elements that each mail program colours in its own way."""
_SCALES = {"h1": 2.0, "h2": 1.5, "h3": 1.17, "h5": 0.83, "h6": 0.67, "small": 0.83, "big": 1.2}
_BOLD = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "th", "b", "strong"})
_SIZE = re.compile(r"(\d*\.?\d+)(px|pt|em|rem|%)?")
_POINTS = 4 / 3
_ATTRIBUTES = ("bgcolor", "background", "color", "text", "aria-hidden", "hidden")


@dataclass(frozen=True, slots=True)
class Look:
    """How the text of an element looks. A size or colour is None where it is not certain."""

    color: Color | None = BLACK
    background: Color | None = WHITE
    pixels: float | None = 16
    is_bold: bool = False
    is_blended: bool = False
    """Something else than its own colours tells how it looks: opacity, a filter."""
    is_gone: bool = False
    """It is not shown at all, nor are pictures in it."""
    is_decoration: bool = False
    """It is marked as such: `aria-hidden`."""

    @property
    def is_hidden(self) -> bool:
        """Whether readers cannot see the text: it is not shown, or of no size, or coloured as what is behind it."""
        is_tiny = self.pixels is not None and self.pixels <= _MAX_UNREADABLE_PX
        return self.is_gone or is_tiny or (self.color is not None and self.color == self.background)


@dataclass(frozen=True, slots=True)
class TextRun:
    """A text that stands directly in an element, with words for Jinja tags."""

    text: str
    look: Look
    tag: Tag
    """The start tag around it."""


@dataclass(frozen=True, slots=True)
class ElementStyles:
    """What the style sheets of a mail say about its tags."""

    always: Mapping[Tag, tuple[Applied, ...]]
    """Declarations that always apply, in the order of the cascade, important ones last."""
    perhaps: Mapping[Tag, frozenset[str]] = field(default_factory=dict)
    """Properties that are set for some customers only."""

    def declarations(self, tag: Tag) -> Iterator[tuple[str, str, Applied | None]]:
        """Yield name, value and rule (None: the `style` attribute) of each declaration, the winning ones last."""
        always, own = self.always.get(tag, ()), read_style(tag.value("style"))
        for important in (False, True):
            for applied in always:
                if applied.important == important:
                    yield applied.name, applied.declaration.text.partition(":")[2], applied
            for name, value, is_important in own:
                if is_important == important:
                    yield name, value, None


class ComputedStyles:
    """The looks of the elements of one mail."""

    def __init__(self, tree: HtmlTree, styles: ElementStyles) -> None:
        self._quirks, self._styles = tree.quirks, styles
        self._elements: dict[Any, StyledElement] = {item.wrapper.etree_element: item for item in tree.elements}
        self._looks: dict[Any, Look] = {}
        self._cache: dict[tuple[object, ...], Look] = {}
        self.gone: set[Tag] = set()
        """Tags of elements that are not shown."""
        self.texts: list[TextRun] = []
        self._walk(tree.root)

    def look(self, element: Any) -> Look:
        """Return the look of the texts in an element of lxml."""
        return self._looks.get(element, Look(is_gone=True))

    def _walk(self, root: Any) -> None:
        pending: list[tuple[Any, Look, Tag | None]] = [(root, Look(), None)]
        while pending:
            element, above, tag = pending.pop()
            known = self._elements.get(element)
            look = self._look(element, known, above)
            tag = known.tag if known else tag
            self._looks[element] = look
            if known and look.is_gone:
                self.gone.add(known.tag)
            children = [child for child in element if isinstance(child.tag, str) and child.tag not in _OUTSIDE]
            pending += [(child, look, tag) for child in reversed(children)]
            texts = [element.text, *(child.tail for child in element)]
            if tag is not None and any(text and not text.isspace() for text in texts):
                self.texts.append(TextRun("".join(text or " " for text in texts), look, tag))

    def _look(self, element: Any, known: StyledElement | None, above: Look) -> Look:
        if known is None:
            return above
        tag = known.tag
        attributes = tuple(element.get(name) for name in _ATTRIBUTES)
        declared = tuple((name, value) for name, value, _ in self._styles.declarations(tag) if name in _SETTERS)
        perhaps = self._styles.perhaps.get(tag, frozenset())
        key = (above, element.tag, attributes, declared, perhaps, known.ancestors_vary)
        if key not in self._cache:
            look = _with_defaults(above, element.tag, self._quirks)
            look = _with_attributes(look, dict(zip(_ATTRIBUTES, attributes, strict=True)), element.tag)
            look = _with_declarations(look, above, declared)
            look = _with_doubts(look, perhaps)
            self._cache[key] = replace(look, is_blended=True) if known.ancestors_vary else look
        return self._cache[key]


def _with_defaults(above: Look, name: str, quirks: bool) -> Look:
    look = above
    if name in _SCALES and look.pixels is not None:
        look = replace(look, pixels=look.pixels * _SCALES[name])
    if name in _BOLD:
        look = replace(look, is_bold=True)
    if name == "a" or name in _OWN_COLORS:
        look = replace(look, color=None)
    if name in _OWN_COLORS:
        look = replace(look, background=None)
    if name == "table" and quirks:
        look = replace(look, color=None, pixels=None)
    return look


def _with_attributes(look: Look, attributes: Mapping[str, str | None], name: str) -> Look:
    if attributes["bgcolor"] is not None:
        look = replace(look, background=_old_color(attributes["bgcolor"]))
    if attributes["background"] is not None:
        look = replace(look, background=None)
    written = attributes["color"] if name == "font" else attributes["text"] if name == "body" else None
    if written is not None:
        look = replace(look, color=_old_color(written))
    if attributes["aria-hidden"] == "true":
        look = replace(look, is_decoration=True)
    return replace(look, is_gone=True) if attributes["hidden"] is not None else look


def _old_color(written: str) -> Color | None:
    color = solid_color(written)
    return color if color or not re.fullmatch("[0-9a-fA-F]{6}", written) else solid_color(f"#{written}")


def _with_declarations(look: Look, above: Look, declared: tuple[tuple[str, str], ...]) -> Look:
    has_picture, background = False, look.background
    final: dict[str, str] = {}
    for name, value in declared:
        value = value.strip().lower()
        final[name] = value
        if name in ("background", "background-color", "background-image"):
            if name != "background-color":
                has_picture = "(" in value and not value.startswith(("rgb", "#"))
            if name != "background-image":
                background = _background(value, above.background)
        elif name not in _HIDING:
            look = _SETTERS[name](look, value, above)
    is_gone = look.is_gone or any(final.get(name) in values for name, values in _HIDING.items())
    return replace(look, background=None if has_picture else background, is_gone=is_gone)


def _background(value: str, behind: Color | None) -> Color | None:
    """Return the colour of a `background` or `background-color`; of one that is transparent, that behind it."""
    parts = value.split() if "(" not in value else [value]
    if "transparent" in parts:
        return behind
    colors = [color for color in map(solid_color, parts) if color]
    if colors:
        return colors[-1]
    return behind if all(part in ("none", "0", "no-repeat", "repeat", "scroll") for part in parts) else None


@lru_cache(maxsize=4096)
def solid_color(value: str) -> Color | None:
    """Return an opaque colour in 8 bits a channel, None for a transparent or unknown one."""
    try:
        color = parse_color(value)
    except (ValueError, TypeError):
        return None
    if color is None or isinstance(color, str) or color.alpha < 1:
        return None
    red, green, blue = (round(255 * min(max(channel, 0), 1)) for channel in color[:3])
    return red, green, blue


def _set_color(look: Look, value: str, above: Look) -> Look:
    return replace(look, color=above.color if value in ("inherit", "currentcolor") else solid_color(value))


def _set_size(look: Look, value: str, above: Look) -> Look:
    match = _SIZE.fullmatch(value)
    if value == "inherit":
        return replace(look, pixels=above.pixels)
    if not match or (match[2] is None and float(match[1])):
        return replace(look, pixels=None)
    number, unit = float(match[1]), match[2] or "px"
    if unit in ("em", "%"):
        factor = number / 100 if unit == "%" else number
        return replace(look, pixels=None if above.pixels is None else above.pixels * factor)
    return replace(look, pixels=number * {"px": 1, "pt": _POINTS, "rem": 16}[unit])


def _set_font(look: Look, value: str, above: Look) -> Look:
    parts = value.partition("'")[0].partition('"')[0].replace("/", " / ").split()
    sizes = [part for part in parts if _SIZE.fullmatch(part) and not part.isdigit()]
    look = replace(look, is_bold="bold" in parts or any(part in parts for part in ("600", "700", "800", "900")))
    return _set_size(look, sizes[0] if sizes else "", above)


def _set_weight(look: Look, value: str, above: Look) -> Look:
    return replace(look, is_bold=value in ("bold", "bolder") or (value.isdigit() and int(value) >= 600))


def _set_opacity(look: Look, value: str, above: Look) -> Look:
    opacity = re.fullmatch(r"(\d*\.?\d+)(%?)", value)
    is_gone = opacity is not None and float(opacity[1]) == 0
    is_whole = opacity is not None and float(opacity[1]) >= (100 if opacity[2] else 1)
    return replace(look, is_gone=look.is_gone or is_gone, is_blended=look.is_blended or not is_whole)


def _blend(*harmless: str) -> Any:
    def setter(look: Look, value: str, above: Look) -> Look:
        return look if value in harmless else replace(look, is_blended=True)

    return setter


_HIDING = {"display": ("none",), "visibility": ("hidden", "collapse"), "max-height": ("0", "0px")}
_SETTERS: dict[str, Any] = {
    "background": None,
    "background-color": None,
    "background-image": None,
    "color": _set_color,
    "-webkit-text-fill-color": lambda look, value, above: replace(look, color=None),
    "font-size": _set_size,
    "font": _set_font,
    "font-weight": _set_weight,
    **dict.fromkeys(_HIDING),
    "opacity": _set_opacity,
    "position": _blend("static", "relative"),
    "filter": _blend("none"),
    "mix-blend-mode": _blend("normal"),
    "text-indent": lambda look, value, above: replace(look, is_blended=True) if value.startswith("-") else look,
    "all": lambda look, value, above: replace(look, is_blended=True),
}


def _with_doubts(look: Look, perhaps: frozenset[str]) -> Look:
    """Return a look without what other rules may set for some customers."""
    if any(overlap(name, "color") for name in perhaps):
        look = replace(look, color=None)
    if any(name.startswith("background") or name == "all" for name in perhaps):
        look = replace(look, background=None)
    if any(overlap(name, "font-size") for name in perhaps):
        look = replace(look, pixels=None)
    return look
