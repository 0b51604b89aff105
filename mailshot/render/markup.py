"""Finds the tags, attributes and comments of an HTML text by position, so that each can be changed where it stands.

Attributes are read as the HTML standard reads them (https://html.spec.whatwg.org/#attributes-2). A tag with a quote or
a `<` where none may stand is broken: parsers differ about what such a sign begins or ends, so nothing in the tag could
be checked.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.entities import html5

VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
"""Elements without an end tag."""
_NAME = r"[a-zA-Z][^\s/<>\"'=]*+"
_ATTRIBUTES = r"(?:[\s/]++|[^\s\"'<>/=]++(?:\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|[^\s\"'<>]++|(?=>)))?+)*+"
_TAG = rf"(?P<tag></?(?P<name>{_NAME})(?=[\s/>])(?P<attributes>{_ATTRIBUTES})>)|(?P<broken></?[a-zA-Z])"
_MARKUP = re.compile(
    r"(?P<comment><!--.*?(?:-->|\Z))"
    r"|(?P<declaration><[!?][^>]*(?:>|\Z))"
    rf"|{_TAG}",
    re.DOTALL | re.IGNORECASE,
)
_ONLY_TAGS = re.compile(_TAG, re.IGNORECASE)
_BEGUN = re.compile(rf"</?(?P<name>{_NAME})(?:(?=[\s/]){_ATTRIBUTES})?+")
_ATTRIBUTE = re.compile(
    r"(?P<name>[^\s\"'>/=]+)(?P<equals>\s*=\s*)?(?(equals)(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'>]*)))"
)
_RAW_ENDS = {name: re.compile(rf"</{name}\s*>|\Z", re.IGNORECASE) for name in ("style", "script", "title", "textarea")}
_REFERENCE = re.compile(r"&(?:#(?:[0-9]+|[xX][0-9a-fA-F]+);?|[0-9A-Za-z]+;?)(?P<equals>=?)")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a tag. Offsets are those of the whole text."""

    name: str
    """In lower case."""
    value: str | None
    """As written, without its quotes; None where only the name is written."""
    start: int
    value_start: int
    """Offset of the value, inside its quotes."""
    end: int
    """Offset after the value and its quotes."""
    quote: str
    """The quote around the value: `"`, `'` or none."""

    @property
    def value_end(self) -> int:
        return self.end - len(self.quote)


@dataclass(frozen=True, slots=True, eq=False)
class Tag:
    """A start or end tag."""

    name: str
    """In lower case."""
    closing: bool
    attributes: tuple[Attribute, ...]
    start: int
    name_end: int
    end: int

    def get(self, name: str) -> Attribute | None:
        """Return the attribute of this name; of several, the first, as browsers do."""
        return next((attribute for attribute in self.attributes if attribute.name == name), None)

    def value(self, name: str) -> str:
        """Return an attribute's value, its references decoded; '' without one."""
        attribute = self.get(name)
        return unescape_attribute(attribute.value or "") if attribute else ""


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment, a doctype or another declaration, as written."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class RawText:
    """What stands inside a `style`, `script`, `title` or `textarea`: text, in which no tag begins."""

    name: str
    text: str
    start: int


@dataclass(frozen=True, slots=True)
class BrokenTag:
    """The beginning of a tag that has no end, or in which an odd sign stands."""

    name: str
    sign: str
    """The sign that may not stand there; empty when the tag has no end."""
    start: int
    end: int
    """Offset of the sign, or of the tag's beginning."""


Markup = Tag | Comment | RawText | BrokenTag


def scan(text: str) -> Iterator[Markup]:
    """Yield the tags, comments and raw texts of an HTML text, in order."""
    position = 0
    while match := _MARKUP.search(text, position):
        position = match.end()
        if match["comment"] or match["declaration"]:
            yield Comment(match[0], match.start())
        elif match["broken"]:
            yield _broken(text, match.start(), 0)
        else:
            tag = _tag(match, 0)
            yield tag
            if tag.name in _RAW_ENDS and not tag.closing:
                end = _RAW_ENDS[tag.name].search(text, position)
                assert end
                yield RawText(tag.name, text[position : end.start()], position)
                position = end.start()


def scan_comment(comment: Comment) -> Iterator[Tag | BrokenTag]:
    """Yield the tags written in a comment that some readers obey: `<!--[if mso]>…<![endif]-->`."""
    for match in _ONLY_TAGS.finditer(comment.text):
        if match["broken"]:
            yield _broken(comment.text, match.start(), comment.start)
        else:
            yield _tag(match, comment.start)


def is_conditional(comment: Comment) -> bool:
    """Return whether this is a conditional comment, whose content Outlook reads."""
    return "[if" in comment.text.lower()


def _tag(match: re.Match[str], base: int) -> Tag:
    start = base + match.start("attributes")
    attributes = tuple(_attribute(matched, start) for matched in _ATTRIBUTE.finditer(match["attributes"]))
    closing = match["tag"].startswith("</")
    return Tag(
        match["name"].lower(), closing, attributes, base + match.start(), base + match.end("name"), base + match.end()
    )


def _attribute(match: re.Match[str], base: int) -> Attribute:
    group = next((name for name in ("double", "single", "bare") if match[name] is not None), "")
    value_start = base + (match.start(group) if group else match.end())
    quote = {"double": '"', "single": "'"}.get(group, "")
    return Attribute(
        match["name"].lower(),
        match[group] if group else None,
        base + match.start(),
        value_start,
        base + match.end(),
        quote,
    )


def _broken(text: str, start: int, base: int) -> BrokenTag:
    begun = _BEGUN.match(text, start)
    assert begun
    sign = text[begun.end() : begun.end() + 1]
    return BrokenTag(begun["name"], sign, base + start, base + (begun.end() if sign else start))


def unescape_attribute(value: str) -> str:
    """Decode the character references of an attribute's value.

    A named reference without `;` before `=`, a letter or a digit is text: `?a=1&copy=2` has a parameter `copy`
    (https://html.spec.whatwg.org/#named-character-reference-state).
    """
    return _REFERENCE.sub(_decoded, value) if "&" in value else value


def _decoded(match: re.Match[str]) -> str:
    reference = match[0].removesuffix("=") if match["equals"] else match[0]
    name = reference[1:]
    if name.startswith("#") or (name.endswith(";") and name in html5) or (name in html5 and not match["equals"]):
        return html.unescape(reference) + match["equals"]
    return match[0]
