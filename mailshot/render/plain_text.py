"""Derives the plain text part of a mail from its HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.html_engine import Inscriptis
from inscriptis.model.config import ParserConfig
from lxml import etree

from mailshot.render.document import MailDocument, Part
from mailshot.render.html_tree import MARK, HtmlTree
from mailshot.render.links import ADDRESS_SCHEMES, without_blanks
from mailshot.render.markup import Tag, unescape_attribute
from mailshot.render.problems import TemplateProblems

_HIDDEN = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all", re.IGNORECASE)
_BLANKS, _INDENTS = " \t\u00a0\u200c", " \t\u00a0"
_GAPS = re.compile(r"\n{3,}")
_LAYOUT = ("table", "thead", "tbody", "tfoot", "tr", "td", "th")
_BLOCKS = frozenset(
    {"address", "article", "blockquote", "br", "center", "div", "dl", "form", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
     "ol", "p", "pre", "section", "table", "ul"}
)  # fmt: skip
_BETWEEN_CELLS = " | "
_AMPERSAND = "\ufdd1"
"""Stands for & meanwhile: a noncharacter of Unicode."""


def derive(
    document: MailDocument, tree: HtmlTree, urls: Mapping[int, Sequence[Part]], report: TemplateProblems
) -> list[Part]:
    """Derive the text and tags of the plain text part from the tree of a mail's HTML.

    Hidden and decorative elements and those marked `data-html-only` are left out. Images become their alt texts, rows
    of data tables become lines, other cells become blocks. `urls` are the URLs of links by the offset of their tag:
    each link is followed by its URL in angle brackets, or by its address or number.
    """
    root = _copy(tree.root, document)
    starts = [markup.start for markup in document.markup if isinstance(markup, Tag) and not markup.closing]
    for element in list(root.iter()):
        if not isinstance(element.tag, str):
            _replace_comment(element, document)
        elif _is_hidden(element):
            _replace(element, _statements(element, document))
        elif element.tag == "img":
            _replace(element, " ".join((element.get("alt") or "").split()))
    for link in root.iter("a"):
        if link.get(MARK):
            _append_url(link, document, urls.get(starts[int(link.get(MARK))], ()))
    for row in list(root.iter("tr")):
        _separate_cells(row)
    for element in root.iter():
        element.tag = "div" if element.tag in _LAYOUT else element.tag
        element.text, element.tail = _hold(element.text), _hold(element.tail)
    text = Inscriptis(root, ParserConfig(css=CSS_PROFILES["strict"])).get_text().replace(_AMPERSAND, "&")
    text = "\n".join(" ".join(line.split()) for line in text.splitlines())
    _refuse_moved(text, document, report)
    return document.restore(text)


def _refuse_moved(text: str, document: MailDocument, report: TemplateProblems) -> None:
    """Report a statement that stands elsewhere in the text than in the HTML: browsers move what is not well nested."""
    written = [word for word in document.words.findall(document.text) if _is_statement(word, document)]
    derived = [word for word in document.words.findall(text) if _is_statement(word, document)]
    order = {word: number for number, word in enumerate(written)}
    for word, following in pairwise(derived):
        if order.get(word, -1) > order.get(following, len(order)):
            message = "The HTML around this is not well nested, so browsers move it, and no plain text can be derived."
            remedy = "Close every element where it was opened, or write a body.txt."
            report.add(document.segment(word).place, message, remedy)
            return


def tidy(text: str, derived_from_html: bool) -> str:
    """Strip trailing blanks and repeated empty lines; if `derived_from_html`, also strip indentation."""
    # Line by line: a regular expression for blanks before a line end tries every blank of the text.
    lines = [line.rstrip(_BLANKS) for line in text.split("\n")]
    if derived_from_html:
        lines = [line.lstrip(_INDENTS) for line in lines]
    return _GAPS.sub("\n\n", "\n".join(lines)).strip() + "\n"


def _hold(text: str | None) -> str | None:
    """Hold the ampersands of a text, which Inscriptis would decode a second time."""
    return text.replace("&", _AMPERSAND) if text else text


def _is_hidden(element: Any) -> bool:
    silent = element.get("aria-hidden") == "true" or element.get("data-html-only") is not None
    return silent or bool(_HIDDEN.search(element.get("style") or ""))


def _copy(root: Any, document: MailDocument) -> Any:
    """Copy a tree, with the statements before its body moved into it: the text may lose none of them."""
    copied = deepcopy(root)
    body = copied.find("body")
    before = [*reversed(list(root.itersiblings(preceding=True))), *reversed(list(body.itersiblings(preceding=True)))]
    body.text = "".join(_statements(element, document) for element in before) + (body.text or "")
    return copied


def _statements(element: Any, document: MailDocument) -> str:
    """Return the statements in an element that is left out. What they print is left out with it."""
    comments = (item.text or "" for item in element.iter() if not isinstance(item.tag, str))
    return "".join(text for text in map(str.strip, comments) if _is_statement(text, document))


def _is_statement(text: str, document: MailDocument) -> bool:
    return bool(document.words.fullmatch(text)) and document.segment(text).kind == "statement"


def _replace(element: Any, text: str) -> None:
    """Put text in place of an element."""
    parent = element.getparent()
    if parent is None:
        return
    span = etree.Element("span")
    span.text, span.tail, element.tail = text, element.tail, None
    parent.replace(element, span)


def _replace_comment(comment: Any, document: MailDocument) -> None:
    """Replace a comment that represents a statement with the statement; drop any other comment."""
    word = (comment.text or "").strip()
    _replace(comment, word if _is_statement(word, document) else "")


def _append_url(link: Any, document: MailDocument, url: Sequence[Part]) -> None:
    """Write the URL of a link after its text; of a mail address or a number, only that."""
    parts = [unescape_attribute(part) if isinstance(part, str) else part for part in url]
    first = parts[0] if parts else "#"
    if isinstance(first, str):
        scheme, colon, rest = first.strip().partition(":")
        if first.startswith("#") or not colon:
            return
        if f"{scheme.lower()}:" in ADDRESS_SCHEMES:
            parts = _before_query([rest, *parts[1:]])
        elif scheme.lower() in ("http", "https"):
            parts = without_blanks(parts)
    address = document.hold(parts).strip()
    if not address or address in ("".join(link.itertext()).strip(), ""):
        return
    last = link
    while len(last) and not (last[-1].tail or "").strip():
        last = last[-1]
    if len(last):
        last[-1].tail = f"{last[-1].tail.rstrip()} <{address}>"
    else:
        last.text = f"{(last.text or '').rstrip()} <{address}>"


def _before_query(url: Sequence[Part]) -> list[Part]:
    """Return a URL up to its `?`: the addresses of `mailto:`, without the subject."""
    parts: list[Part] = []
    for part in url:
        if isinstance(part, str) and "?" in part:
            return [*parts, part.partition("?")[0]]
        parts.append(part)
    return parts


def _separate_cells(row: Any) -> None:
    """Put the cells of a row of data on one line. A row is data when no cell of it holds a block."""
    table = next(row.iterancestors("table"), None)
    if table is None or table.get("role") in ("presentation", "none"):
        return
    cells = [cell for cell in row if cell.tag in ("td", "th")]
    filled = [cell for cell in cells if "".join(cell.itertext()).strip()]
    if len(filled) < 2 or any(True for cell in cells for _ in cell.iter(*_BLOCKS)):
        return
    for cell in cells:
        cell.tag = "span"
    for cell in filled[:-1]:
        cell.tail = _BETWEEN_CELLS
    for cell in cells:
        if cell not in filled[:-1]:
            cell.tail = ""
