"""Warns of what mail programs cut off, drop or do not know: size, style sheets, and features of HTML and CSS.

Which client knows what is in client_support.json, which .ci/client_support.py makes from the data of caniemail.com.
What stands in @media, in @supports or for a state (`:hover`) is an extra for the clients that know it, and not looked
at; nor are elements that are not shown, or are not for Outlook.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

import tinycss2

from mailshot.render.computed_styles import ElementStyles, solid_color
from mailshot.render.css_properties import overlap
from mailshot.render.document import MailDocument, Part
from mailshot.render.html_tree import HtmlTree
from mailshot.render.lint import Finding
from mailshot.render.markup import Comment, RawText, Tag, is_conditional
from mailshot.render.problems import Place

GMAIL_BYTES = 102_400
"""Gmail cuts the HTML near here: "102 KB" (https://github.com/hteumeuleu/email-bugs/issues/41)."""
NEAR_GMAIL_BYTES = 92_160
"""Values and tracking links may add the rest."""
GMAIL_STYLE_BYTES = 16_384
"""Of all <style> together (https://github.com/hteumeuleu/email-bugs/issues/90)."""
_MAX_FEATURES = 10
OUTLOOK = "Outlook for Windows"
_CLIENTS: dict[str, dict[str, Any]] = json.loads(files("mailshot.render").joinpath("client_support.json").read_text())
_FOR_OUTLOOK_TOO = frozenset({"css-float", "css-background-image", "css-linear-gradient", "css-radial-gradient"})
"""Pages of features for which mails give Outlook something else in conditional comments: tables, VML."""
_COLORS = frozenset({"color", "background-color", "background"})
_BACKGROUNDS = frozenset({"background", "background-image"})
_AT_RULES = re.compile(r"/\*.*?(?:\*/|\Z)|\"[^\"\n]*\"|'[^'\n]*'|@[\w-]+|[{};]", re.DOTALL)
_GROUPS = frozenset({"@media", "@supports"})
_NESTABLE = _GROUPS | {"@font-face", "@keyframes", "@-webkit-keyframes", "@container", "@layer"}
_IMPORT = re.compile(r"@import\b[^;{}]*", re.IGNORECASE)
_FONT = re.compile(r"font|typekit|typography", re.IGNORECASE)
_PICTURE = re.compile(r"\.(\w+)(?:[?#]|$)")


def weight(parts: Sequence[Part], body_file: str) -> Iterator[Finding]:
    """Yield a warning if the HTML is about as large as Gmail shows. Customers' values are not counted."""
    size = sum(len(part.encode("utf-8", "replace")) for part in parts if isinstance(part, str))
    if size > GMAIL_BYTES:
        message = f"The HTML has {size / 1000:.0f} KB before any customer's values. Gmail cuts a mail after 102 KB."
    elif size > NEAR_GMAIL_BYTES:
        message = (
            f"The HTML has {size / 1000:.0f} KB. Customers' values and tracking links may take it over 102 KB, "
            "after which Gmail cuts a mail."
        )
    else:
        return
    yield Finding("warning", f"{message} Shorten it, or send fewer products.", Place(body_file, 0, 0))


def style_sheets(document: MailDocument) -> Iterator[Finding]:
    """Yield warnings about style sheets that mail programs drop."""
    in_body, told_place, told_size, size = False, False, False, 0
    for markup in document.markup:
        if isinstance(markup, Tag):
            in_body |= markup.name == "body" or (markup.name == "head" and markup.closing)
            if markup.name == "link" and not markup.closing:
                yield from _link(document, markup)
        elif isinstance(markup, RawText) and markup.name == "style" and markup.text.strip():
            place = document.place(markup.start)
            if in_body and not told_place:
                told_place = True
                yield Finding("warning", "Gmail ignores a <style> outside of <head>. Move it there.", place)
            size += len(markup.text.encode("utf-8", "replace"))
            if size > GMAIL_STYLE_BYTES and not told_size:
                told_size = True
                yield Finding("warning", _TOO_MUCH_STYLE, place)
            yield from _at_rules(document, markup)


_TOO_MUCH_STYLE = (
    "The style sheets up to here have more than 16 KB (16,384 bytes). Gmail drops this <style> and those after it. "
    "What Mailshot inlines is kept; rules for phones and dark mode are lost. Remove rules that no element needs."
)
_NOT_LOADED = (
    "Gmail, Outlook.com, Yahoo Mail and others do not load style sheets from a server, and Mailshot does not inline "
    "them. Write the rules into a <style>."
)
_NESTED = (
    "Gmail drops a whole <style> in which an @-rule stands inside of another. Put '{}' into a <style> of its own, "
    "after the others."
)


def _link(document: MailDocument, tag: Tag) -> Iterator[Finding]:
    """Warn of a linked style sheet. One of web fonts may be missing: the mail has other fonts, too."""
    if "stylesheet" in tag.value("rel").lower().split() and not _FONT.search(tag.value("href")):
        yield Finding("warning", _NOT_LOADED, document.place(tag.start))


def _at_rules(document: MailDocument, sheet: RawText) -> Iterator[Finding]:
    if "@" not in sheet.text:
        return
    for match in _IMPORT.finditer(sheet.text):
        if not _FONT.search(match[0]):
            yield Finding("warning", _NOT_LOADED, document.place(sheet.start + match.start()))
            break
    waiting, blocks = "", [""]
    for match in _AT_RULES.finditer(sheet.text):
        token = match[0]
        if token == "{":
            blocks.append(waiting)
        elif token == "}":
            blocks = blocks[:-1] or [""]
        elif blocks[-1].lower() in _GROUPS and token.lower() in _NESTABLE:
            yield Finding("warning", _NESTED.format(token), document.place(sheet.start + match.start()))
            return
        waiting = token if token[0] == "@" else ""


# Features


@dataclass(slots=True)
class _Use:
    """One feature in one mail: where it is first, how often, and the clients that ignore it there."""

    label: str
    offset: int
    clients: dict[str, None]
    offsets: set[int] = field(default_factory=set)


def features(document: MailDocument, tree: HtmlTree, styles: ElementStyles, gone: set[Tag]) -> list[Finding]:
    """Return a warning for each feature that some of the great mail programs do not know, at its first place."""
    others = _Ranges(document)
    has_alternatives = any(isinstance(item, Comment) and is_conditional(item) for item in document.markup)
    uses: dict[str, _Use] = {}
    for element in tree.elements:
        tag = element.tag
        if tag in gone:
            continue
        declared = list(styles.declarations(tag))
        only_others = tag.start in others or _hides_from_outlook(declared)
        keys = [(key, tag.start) for key in _in_markup(tag, element.wrapper.etree_element)]
        keys += [
            (key, tag.start if applied is None else applied.declaration.end - 1)
            for number, (name, value, applied) in enumerate(declared)
            for key in declaration_features(name, value)
            if not _has_fallback(key, name, declared[:number], declared, tag)
        ]
        for key, offset in keys:
            _count(uses, key, offset, only_others, has_alternatives)
    return list(_findings(document, uses))


def _count(uses: dict[str, _Use], key: str, offset: int, only_others: bool, has_alternatives: bool) -> None:
    entry = _CLIENTS[key]
    page = entry["page"]
    spared = only_others or (has_alternatives and page in _FOR_OUTLOOK_TOO)
    clients = [client for client in entry["clients"] if client != OUTLOOK or not spared]
    if clients:
        use = uses.setdefault(page, _Use(_label(key), offset, {}))
        use.clients.update(dict.fromkeys(clients))
        use.offsets.add(offset)


def _label(key: str) -> str:
    kind, _, name = key.partition(" ")
    return {
        "element": f"<{name}>",
        "attribute": f"the attribute '{name}'",
        "function": f"'{name}()'",
        "unit": f"the unit '{name}'",
        "image": f"pictures of the kind .{name}",
    }.get(kind, f"'{name.replace(':', ': ').replace('url()', 'url(…)')}'")


def _findings(document: MailDocument, uses: dict[str, _Use]) -> Iterator[Finding]:
    ordered = sorted(uses.items(), key=lambda item: -len(item[1].clients))
    for number, (page, use) in enumerate(ordered):
        if number == _MAX_FEATURES:
            rest = ", ".join(other.label for _, other in ordered[number:])
            yield Finding("warning", f"Some mail programs also ignore {rest}.", document.place(use.offset))
            return
        names = [*use.clients]
        clients = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
        verb = "ignore" if len(names) > 1 else "ignores"
        more = f" ({len(use.offsets) - 1} more below)" if len(use.offsets) > 1 else ""
        message = f"{clients} {verb} {use.label}{more}: https://www.caniemail.com/features/{page}/"
        yield Finding("warning", message, document.place(use.offset))


class _Ranges:
    """The ranges of the text that Outlook leaves out: between `<!--[if !mso]><!-->` and `<!--<![endif]-->`."""

    def __init__(self, document: MailDocument) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for markup in document.markup:
            if isinstance(markup, Comment):
                text = markup.text.lower()
                is_open = len(self._starts) > len(self._ends)
                if "[if !mso" in text and "[endif]" not in text and not is_open:
                    self._starts.append(markup.start)
                elif "[endif]" in text and is_open:
                    self._ends.append(markup.start)

    def __contains__(self, offset: int) -> bool:
        number = bisect_right(self._starts, offset) - 1
        return 0 <= number < len(self._ends) and offset < self._ends[number]


def _hides_from_outlook(declared: Sequence[tuple[str, str, object]]) -> bool:
    return any(name == "mso-hide" and value.strip().lower() == "all" for name, value, _ in declared)


def _in_markup(tag: Tag, element: Any) -> Iterator[str]:
    """Yield the features of a tag itself."""
    if f"element {tag.name}" in _CLIENTS and not (tag.name in ("video", "audio") and _has_content(element)):
        yield f"element {tag.name}"
    if tag.get("hidden"):
        yield "attribute hidden"
    if tag.name == "img":
        match = _PICTURE.search(tag.value("src").strip().lower())
        if match and f"image {match[1]}" in _CLIENTS:
            yield f"image {match[1]}"


def _has_content(element: Any) -> bool:
    """Return whether a <video> has a picture or link for readers that cannot play it."""
    return any(inner.tag in ("img", "a") for inner in element.iterdescendants())


@lru_cache(maxsize=8192)
def declaration_features(name: str, value: str) -> tuple[str, ...]:
    """Return the keys of the features that a declaration uses."""
    value = value.strip().lower()
    keys = [f"property {name}", f"value {name}:{value}"]
    if "(" in value or "rem" in value or "vw" in value:
        tokens = tinycss2.parse_component_value_list(value)
        keys += [key for key in _token_features(tokens) if key != "function rgba" or name in _COLORS]
        if name in _BACKGROUNDS and any(token.type == "url" or _is_url(token) for token in tokens):
            keys.append(f"value {name}:url()")
    if name == "filter" and ("progid" in value or "alpha(" in value or value == "none"):
        return ()
    if value in ("none", "normal", "initial", "unset", "inherit", "0"):
        return ()
    return tuple(key for key in dict.fromkeys(keys) if key in _CLIENTS)


def _is_url(token: Any) -> bool:
    return bool(token.type == "function" and token.lower_name == "url")


def _token_features(tokens: Sequence[Any]) -> Iterator[str]:
    for token in tokens:
        if token.type == "function":
            yield f"function {token.lower_name.removeprefix('repeating-').removeprefix('-webkit-')}"
            yield from _token_features(token.arguments)
        elif token.type == "dimension":
            yield f"unit {token.lower_unit}"


def _has_fallback(
    key: str,
    name: str,
    earlier: Sequence[tuple[str, str, object]],
    declared: Sequence[tuple[str, str, object]],
    tag: Tag,
) -> bool:
    """Return whether a client that ignores the declaration has another: an earlier one, or a colour for a picture."""
    if key.startswith("property "):
        return name == "float" and tag.get("align") is not None
    if any(overlap(other, name) and key not in declaration_features(other, value) for other, value, _ in earlier):
        return True
    return name in _BACKGROUNDS and (
        tag.get("bgcolor") is not None
        or any(other in ("background", "background-color") and _is_colored(value) for other, value, _ in declared)
    )


def _is_colored(value: str) -> bool:
    return any(solid_color(part.strip().lower()) for part in ([value] if value.startswith("rgb") else value.split()))
