"""Derives the plain text part of a mail from its HTML."""

from __future__ import annotations

import re

import lxml.html
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.html_engine import Inscriptis
from inscriptis.model.config import ParserConfig
from lxml import etree

from mailshot.render.lexer import Segment
from mailshot.render.placeholders import Part, Placeholders

_HIDDEN = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all", re.IGNORECASE)
_ELEMENT = re.compile(r"<[a-z]", re.IGNORECASE)
_BLANKS = re.compile(r"(?<![ \t\u00a0\u200c])[ \t\u00a0\u200c]++(?:\n|\Z)")
_INDENTS = re.compile(r"^[ \t\u00a0]+", re.MULTILINE)
_GAPS = re.compile(r"\n{3,}")
_LAYOUT = ("table", "thead", "tbody", "tfoot", "tr", "td", "th")
_SCHEMES_WITHOUT_URL = ("mailto:", "tel:", "#")


def derive(placeholders: Placeholders, document: str) -> list[Part]:
    """Derive the text and tags of the plain text part from a document with placeholders.

    Hidden and decorative elements and those marked `data-html-only` are left out, table cells become blocks, and
    each link is followed by its URL in angle brackets.
    """
    tree = lxml.html.document_fromstring(document if _ELEMENT.search(document) else f"<div>{document}</div>")
    for element in list(tree.iter()):
        if isinstance(element, etree._Comment):
            _replace_comment(element, placeholders)
        elif _is_hidden(element):
            element.drop_tree()
        elif element.tag in _LAYOUT:
            element.tag = "div"
        elif element.tag == "a":
            _append_url(element, placeholders)
    config = ParserConfig(css=CSS_PROFILES["strict"])
    lines = [" ".join(line.split()) for line in Inscriptis(tree, config).get_text().splitlines()]
    return placeholders.parts("\n".join(lines), plain=True)


def tidy(text: str, derived_from_html: bool) -> str:
    """Strip trailing blanks and repeated empty lines; if `derived_from_html`, also strip indentation."""
    text = _INDENTS.sub("", text) if derived_from_html else text
    return _GAPS.sub("\n\n", _BLANKS.sub("\n", text)).strip() + "\n"


def _is_hidden(element: lxml.html.HtmlElement) -> bool:
    silent = element.get("aria-hidden") == "true" or element.get("data-html-only") is not None
    return silent or bool(_HIDDEN.search(element.get("style", "")))


def _replace_comment(comment: etree._Comment, placeholders: Placeholders) -> None:
    """Replace a comment that represents a statement with the statement's placeholder; drop any other comment."""
    spoken = lxml.html.Element("span")
    spoken.text, spoken.tail, comment.tail = placeholders.statement(comment.text), comment.tail, None
    parent = comment.getparent()
    if parent is not None:
        parent.replace(comment, spoken)


def _append_url(element: lxml.html.HtmlElement, placeholders: Placeholders) -> None:
    word = placeholders.addresses.get(element.get("href", ""), "")
    parts = placeholders.parts(word)
    if parts and (isinstance(parts[0], Segment) or not parts[0].startswith(_SCHEMES_WITHOUT_URL)):
        last = element[-1] if len(element) else None
        if last is None:
            element.text = f"{(element.text or '').rstrip()} <{word}>"
        else:
            last.tail = f"{(last.tail or '').rstrip()} <{word}>"
