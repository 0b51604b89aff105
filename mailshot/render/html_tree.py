"""Builds the tree that mail readers build from a mail's HTML, and tells how far it holds for every customer.

The tree is html5lib's, which nests as browsers do (`tbody` is added, a `div` ends a `p`). Each start tag gets a mark
with its number, so that what is found out about an element can be written into its tag. A tag of the text may become
no element, or several: `<b><p></b></p>` makes two `b`.

The text is the template's, with every branch of every `if` and each loop's body once. So some questions have no
answer that holds for all customers:

- which siblings an element has, where a Jinja statement stands among its own or its ancestors' siblings
- which ancestors it has, after a branch that opens an element and leaves it open, and inside `{% set %}`
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import html5lib
from cssselect2 import ElementWrapper
from html5lib.treebuilders import getTreeBuilder
from lxml import etree

from mailshot.render.document import MailDocument
from mailshot.render.lexer import Segment
from mailshot.render.markup import VOID, Attribute, BrokenTag, Tag

MARK = "data-zq"
"""The attribute that holds the number of an element's start tag."""
_OPTIONAL_END = frozenset(
    {"body", "colgroup", "dd", "dt", "head", "html", "li", "option", "p", "rp", "rt", "tbody", "td", "tfoot", "th",
     "thead", "tr"}
)  # fmt: skip
"""Elements that the next element ends, so a branch may leave them open."""
_LAST = ("body", "html")
_CONTROL = ("if", "for", "set", "with", "filter")
_OUTSIDE = frozenset({"head", "title", "meta", "link", "style", "script", "base", "template", "noscript"})
"""Elements without boxes. They are not styled."""


@dataclass(slots=True)
class StyledElement:
    """An element of the tree that has a start tag in the text."""

    tag: Tag
    wrapper: ElementWrapper
    siblings_vary: bool
    """Its siblings, or those of an ancestor, may differ between customers."""
    ancestors_vary: bool
    """Its ancestors may differ between customers."""
    varying_attributes: frozenset[str]
    """Attributes whose values may differ between customers."""


@dataclass(frozen=True, slots=True)
class HtmlTree:
    """The tree of a document. `elements` are in the order of the text; those without boxes are left out."""

    root: Any
    """The root, an element of lxml."""
    elements: Sequence[StyledElement]
    quirks: bool
    """There is no doctype, or an old one: browsers compare classes and ids without regard to case."""
    unbalanced: tuple[Segment, ...]
    """Jinja tags whose branch opens an element that it does not close, or closes one that it did not open."""


def build(document: MailDocument) -> HtmlTree:
    """Build the tree of a document."""
    tags = [markup for markup in document.markup if isinstance(markup, Tag) and not markup.closing]
    parser = html5lib.HTMLParser(tree=getTreeBuilder("lxml"), namespaceHTMLElements=False)
    tree = parser.parse(_marked(document, tags))
    control = _ControlFlow(document)
    quirks = parser.compatMode == "quirks"
    root = tree.getroot()
    if quirks:
        _lower_names(root)
    wrapped = ElementWrapper.from_html_root(root)
    elements = list(_elements(wrapped, tags, document, control))
    elements.sort(key=lambda element: element.tag.start)
    return HtmlTree(root, elements, quirks, tuple(control.unbalanced))


def _marked(document: MailDocument, tags: Sequence[Tag]) -> str:
    """Return the text with a mark in each start tag, and a comment for each statement between tags."""
    numbers = {tag.start: number for number, tag in enumerate(tags)}
    pieces: list[str] = []
    position = 0
    for markup in document.markup:
        if isinstance(markup, BrokenTag):
            continue
        pieces.append(_with_comments(document, document.text[position : markup.start]))
        position = markup.start
        if isinstance(markup, Tag) and markup.closing and markup.name in _LAST:
            position = markup.end  # what follows belongs to the body all the same, and keeps its order
        elif isinstance(markup, Tag):
            if not markup.closing:
                pieces += [document.text[position : markup.name_end], f' {MARK}="{numbers[markup.start]}"']
                position = markup.name_end
            pieces.append(document.text[position : markup.end])
            position = markup.end
        else:
            pieces.append(markup.text)
            position += len(markup.text)
    return "".join([*pieces, _with_comments(document, document.text[position:])])


def _with_comments(document: MailDocument, text: str) -> str:
    return document.words.sub(
        lambda match: f"<!--{match[0]}-->" if document.segment(match[0]).kind == "statement" else match[0], text
    )


def _lower_names(root: Any) -> None:
    for element in root.iter():
        for name in ("class", "id"):
            if isinstance(element.tag, str) and name in element.attrib:
                element.attrib[name] = element.attrib[name].lower()


def _elements(
    wrapped: ElementWrapper, tags: Sequence[Tag], document: MailDocument, control: _ControlFlow
) -> Iterator[StyledElement]:
    """Yield the elements that can be styled, with what may vary."""
    vary: dict[Any, bool] = {}
    """By parent, whether the siblings among its children may differ."""
    for wrapper in wrapped.iter_subtree():
        element = wrapper.etree_element
        parent = element.getparent()
        if parent not in vary:
            above = parent is not None and vary[parent.getparent()]
            vary[parent] = above or (parent is not None and _has_statement(parent, document))
        mark = element.get(MARK)
        if mark is not None and wrapper.local_name not in _OUTSIDE and (parent is None or parent.tag not in _OUTSIDE):
            tag = tags[int(mark)]
            varying = frozenset(attribute.name for attribute in tag.attributes if _varies(attribute, document))
            yield StyledElement(tag, wrapper, vary[parent], control.ancestors_vary(tag.start), varying)


def _varies(attribute: Attribute, document: MailDocument) -> bool:
    return attribute.value is not None and document.has_tag(attribute.value)


def _has_statement(parent: Any, document: MailDocument) -> bool:
    return any(document.words.fullmatch((comment.text or "").strip()) for comment in parent.iterchildren(etree.Comment))


@dataclass(slots=True)
class _Branch:
    """A branch of a statement: the elements opened in it so far."""

    segment: Segment
    start: int
    is_captured: bool
    opened: list[str] = field(default_factory=list)


class _ControlFlow:
    """Follows the statements of a document, and finds branches that do not close what they open."""

    def __init__(self, document: MailDocument) -> None:
        self.unbalanced: list[Segment] = []
        self._varies_from: int | None = None
        self._captured: list[tuple[int, int]] = []
        self._branches: list[_Branch] = []
        for offset, item in sorted(_events(document), key=lambda event: event[0]):
            if isinstance(item, Segment):
                self._statement(item, offset)
            elif self._branches:
                self._tag(item)

    def ancestors_vary(self, offset: int) -> bool:
        """Return whether the ancestors of an element that begins here may differ between customers."""
        after = self._varies_from is not None and offset >= self._varies_from
        return after or any(start <= offset < end for start, end in self._captured)

    def _statement(self, segment: Segment, offset: int) -> None:
        word = segment.word
        if word in ("elif", "else") or (word.startswith("end") and word.removeprefix("end") in _CONTROL):
            self._leave(offset)
        if word in ("elif", "else") or (word in _CONTROL and not segment.is_assignment):
            self._branches.append(_Branch(segment, offset, word == "set"))

    def _leave(self, offset: int) -> None:
        if not self._branches:
            return
        branch = self._branches.pop()
        if branch.is_captured:
            self._captured.append((branch.start, offset))
        if any(name not in _OPTIONAL_END for name in branch.opened):
            self._unbalance(branch)

    def _tag(self, tag: Tag) -> None:
        branch = self._branches[-1]
        if not tag.closing:
            if tag.name not in VOID:
                branch.opened.append(tag.name)
        elif tag.name in branch.opened:
            del branch.opened[len(branch.opened) - 1 - branch.opened[::-1].index(tag.name) :]
        elif tag.name not in _OPTIONAL_END:
            self._unbalance(branch)

    def _unbalance(self, branch: _Branch) -> None:
        self._varies_from = min(branch.start, self._varies_from if self._varies_from is not None else branch.start)
        if branch.segment not in self.unbalanced:
            self.unbalanced.append(branch.segment)


def _events(document: MailDocument) -> Iterator[tuple[int, Tag | Segment]]:
    """Yield the tags and the statements between them, each with its offset."""
    for markup in document.markup:
        if isinstance(markup, Tag):
            yield markup.start, markup
    for match in document.words.finditer(document.text):
        segment = document.segment(match[0])
        if segment.kind == "statement":
            yield match.start(), segment
