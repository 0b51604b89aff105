"""Writes the style rules of a mail into the `style` attributes of its tags. Nothing else of the mail changes.

The tree is that of browsers (html_tree), selectors are matched by cssselect2, and `cascade` decides what can be inlined
without a difference. Premailer puts the rules together on each element. It gets a tree and rules in which numbers
stand for selectors and declarations, because its own parsers lose what they do not know. The declarations are then
spliced into the tags of the untouched text.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tinycss2
from lxml import etree
from premailer import Premailer

from mailshot.render import cascade, changed_attributes
from mailshot.render.cascade import Applied, ElementStyle, Resolution
from mailshot.render.computed_styles import ElementStyles
from mailshot.render.document import MailDocument
from mailshot.render.html_tree import HtmlTree, StyledElement
from mailshot.render.lint import Finding
from mailshot.render.markup import RawText, Tag, unescape_attribute
from mailshot.render.selectors import Match, Selector, SelectorIndex, read_selectors
from mailshot.render.style_sheet import Rule, StyleSheet, read_sheet, read_style

Matched = tuple[Rule, Selector]
"""A rule, and that of its selectors which matches an element with the greatest specificity."""
_NUMBERS = "zq-rules"
"""The attribute that holds the numbers of the rules of an element of premailer's tree."""
_UNKNOWN = (1_000_000, 0, 0)
"""A specificity greater than any: of rules whose rank is not known."""
_NUMBER = re.compile(r"r(\d+):")


@dataclass(frozen=True, slots=True)
class Inlining:
    """What inlining has found out: what the author should know, and the style of each tag."""

    findings: list[Finding]
    styles: ElementStyles


def inline(document: MailDocument, tree: HtmlTree) -> Inlining:
    """Add declarations to the tags of a document. The elements of the tree get the same `style` attributes."""
    sheets = list(_sheets(document))
    selected = list(_selected(tree, [rule for sheet in sheets for rule in sheet.rules]))
    findings = [*_unbalanced(tree), *changed_attributes.lost_links(document, selected)]
    styles, perhaps = _element_styles(tree, _index(selected))
    known = ElementStyles({tag: style.fixed for tag, style in styles.items()}, perhaps)
    if obstacle := changed_attributes.style_question(document, selected):
        return Inlining([*findings, obstacle], known)
    resolution = cascade.resolve(styles.values(), set().union(*(sheet.animated for sheet in sheets)))
    for declaration in resolution.raised:
        document.replace(declaration.end, declaration.end, " !important")
    sought = changed_attributes.sought_in_styles(selected)
    inlined = {tag: cascade.inlined(style, resolution) for tag, style in styles.items()}
    for tag in [tag for tag, applied in inlined.items() if changed_attributes.is_found_anew(sought, tag, applied)]:
        del inlined[tag]
    for tag, applied in inlined.items():
        _write(document, tag, applied)
    for element in tree.elements:
        declarations = [declared.declaration.text for declared in inlined.get(element.tag, ())]
        element.wrapper.etree_element.set("style", ";".join([*declarations, element.tag.value("style")]))
    return Inlining([*findings, *_blocked(document, resolution)], known)


def _sheets(document: MailDocument) -> Iterator[StyleSheet]:
    """Read all style elements. Their rules are counted together."""
    order = 0
    style: Tag | None = None
    for markup in document.markup:
        if isinstance(markup, Tag):
            style = markup if markup.name == "style" and not markup.closing else style
        elif isinstance(markup, RawText) and markup.name == "style" and style and _is_css(style):
            media = style.value("media").strip().lower()
            is_locked = style.value("data-premailer") == "ignore"
            sheet = read_sheet(markup.text, markup.start, order, media not in ("", "all") or is_locked, is_locked)
            order = sheet.rules[-1].order if sheet.rules else order
            yield sheet


def _is_css(style: Tag) -> bool:
    return style.value("type").strip().lower() in ("", "text/css")


# From rules to what they declare for each tag


def _selected(tree: HtmlTree, rules: Iterable[Rule]) -> Iterator[tuple[Selector, Rule]]:
    """Yield each selector with its rule."""
    varying = frozenset[str]().union(*(element.varying_attributes for element in tree.elements))
    for rule in rules:
        for selector in read_selectors(rule.selectors, tree.quirks, varying):
            yield selector, rule


def _index(selected: Iterable[tuple[Selector, Rule]]) -> SelectorIndex:
    index = SelectorIndex()
    for selector, rule in selected:
        index.add(selector, rule)
    return index


def _element_styles(tree: HtmlTree, index: SelectorIndex) -> tuple[dict[Tag, ElementStyle], dict[Tag, frozenset[str]]]:
    """Return the style of each tag that some rule always matches, and the properties set for some customers only."""
    copies: dict[Tag, list[StyledElement]] = defaultdict(list)
    for element in tree.elements:
        copies[element.tag].append(element)
    fixed: dict[Tag, dict[Rule, Selector]] = {}
    occasional: dict[Tag, list[Matched]] = {}
    perhaps: dict[Tag, frozenset[str]] = {}
    for tag, elements in copies.items():
        always, sometimes = _matches(index, elements)
        if always:
            fixed[tag], occasional[tag] = always, sometimes
        if sometimes and (names := frozenset(_for_some_customers(sometimes))):
            perhaps[tag] = names
    ordered = _put_together(fixed)
    groups: dict[object, ElementStyle] = {}
    styles = {}
    for tag, matched in ordered.items():
        own = own_properties(tag)
        key = (
            tuple((id(rule), selector.specificity, important) for (rule, selector), important in matched),
            frozenset((id(rule), selector.specificity) for rule, selector in occasional[tag]),
            own,
        )
        if key not in groups:
            groups[key] = ElementStyle(tuple(_applied(matched)), tuple(_sometimes(occasional[tag])), own)
        styles[tag] = groups[key]
    return styles, perhaps


def _for_some_customers(sometimes: Iterable[Matched]) -> Iterator[str]:
    """Yield the properties of rules that depend on the customer, not on the reader's device or doings."""
    for rule, selector in sometimes:
        if not rule.is_conditional and (selector.is_static or selector.varying):
            yield from (declaration.name for declaration in rule.declarations)


def _matches(index: SelectorIndex, elements: Sequence[StyledElement]) -> tuple[dict[Rule, Selector], list[Matched]]:
    """Return the rules that always match an element, and those that do at times; of several elements, all of them.

    A rule that matches at times comes with each of its selectors that may match: their specificities differ.
    """
    always: list[set[Rule]] = []
    possible: dict[tuple[Rule, tuple[int, int, int]], Selector] = {}
    certain: dict[Rule, Selector] = {}
    for element in elements:
        always.append(set())
        for selector, rule, match in index.matches(element):
            if match is Match.YES and not rule.is_conditional:
                always[-1].add(rule)
                certain[rule] = max(certain.get(rule, selector), selector, key=_specificity)
            possible[rule, selector.specificity] = selector
    fixed = set.intersection(*always)
    return (
        {rule: certain[rule] for rule in fixed},
        [
            (rule, selector)
            for (rule, specificity), selector in possible.items()
            if rule not in fixed or certain[rule].specificity < specificity
        ],
    )


def _specificity(selector: Selector) -> tuple[int, int, int]:
    return selector.specificity


def _applied(matched: Iterable[tuple[Matched, bool]]) -> Iterator[Applied]:
    """Yield the declarations of rules in their order; of each rule either the important ones or the others."""
    for (rule, selector), important in matched:
        for number, declaration in enumerate(rule.declarations):
            if declaration.important == important:
                specificity = _UNKNOWN if rule.is_nested else selector.specificity
                yield Applied(declaration, rule, (specificity, rule.order, number))


def _sometimes(matched: Iterable[Matched]) -> Iterator[Applied]:
    return _applied((item, important) for item in matched for important in (False, True))


def own_properties(tag: Tag) -> tuple[str, ...]:
    """Return the properties that a tag's `style` attribute declares without `!important`."""
    return tuple(name for name, _, is_important in read_style(tag.value("style")) if not is_important)


# Premailer


class _Applier(Premailer):  # type: ignore[misc]
    """Premailer, with rules that need no parsing: each selector is a number of `_NUMBERS`, and its style, too."""

    def __init__(self, root: Any, ranks: Sequence[tuple[object, ...]]) -> None:
        super().__init__(
            root,
            css_text="",
            allow_network=False,
            disable_validation=True,
            disable_leftover_css=True,
            align_floating_images=False,
            cssutils_logging_level=logging.CRITICAL,
        )
        self._ranks = ranks

    def _process_css_text(self, css_text: str, index: int, rules: list[tuple[object, ...]], head: Any) -> None:
        rules += [(rank, f'[{_NUMBERS}~="{number}"]', f"r{number}:1") for number, rank in enumerate(self._ranks)]


def _put_together(matched: Mapping[Tag, Mapping[Rule, Selector]]) -> dict[Tag, list[tuple[Matched, bool]]]:
    """Return for each tag its rules in the order of the cascade, those with `!important` declarations again last.

    Premailer gets a tree with one element for each set of rules that occurs.
    """
    numbers: dict[tuple[Rule, tuple[int, int, int], bool], int] = {}
    root = etree.Element("html")
    elements: dict[str, Any] = {}
    chosen: dict[Tag, Any] = {}
    for tag, rules in matched.items():
        blocks = " ".join(
            str(numbers.setdefault((rule, selector.specificity, important), len(numbers)))
            for rule, selector in rules.items()
            for important in (False, True)
            if any(declaration.important == important for declaration in rule.declarations)
        )
        if blocks not in elements:
            elements[blocks] = etree.SubElement(root, "p", {_NUMBERS: blocks})
        chosen[tag] = elements[blocks]
    blocks_by_number = list(numbers)
    _Applier(root, [(important, specificity, rule.order) for rule, specificity, important in numbers]).transform()
    together: dict[Tag, list[tuple[Matched, bool]]] = {}
    for tag, rules in matched.items():
        order = [blocks_by_number[int(number)] for number in _NUMBER.findall(chosen[tag].get("style") or "")]
        together[tag] = [((rule, rules[rule]), important) for rule, _, important in order]
    return together


# Into the text


def _write(document: MailDocument, tag: Tag, applied: Sequence[Applied]) -> None:
    """Write declarations into a tag: before its own, which win; important ones after them."""
    if not applied:
        return
    style = tag.get("style")
    if style is None or style.value is None:
        at = style.end if style else max([tag.name_end, *(attribute.end for attribute in tag.attributes)])
        name = "" if style else " style"
        document.replace(at, at, f'{name}="{_escaped(applied, chr(34))}"')
        return
    quote = style.quote or '"'
    before = [declared for declared in applied if not declared.important]
    after = [declared for declared in applied if declared.important]
    if not style.quote:
        document.replace(style.value_start, style.value_start, quote)
    if before:
        separator = ";" if style.value.strip() or after else ""
        document.replace(style.value_start, style.value_start, _escaped(before, quote) + separator)
    if after and _ends_well(unescape_attribute(style.value)):
        document.replace(style.value_end, style.value_end, _separator(style.value) + _escaped(after, quote))
    if not style.quote:
        document.replace(style.value_end, style.value_end, quote)


def _separator(written: str) -> str:
    """Return what ends the last declaration of an attribute's value. The semicolon of `&quot;` does not end it."""
    style = unescape_attribute(written)
    last = style.rstrip()
    if not last or (last.endswith(";") and not last.endswith("\\;")):
        return ""
    # A reference without a semicolon of its own (`&quot`) takes the first one.
    return ";" if unescape_attribute(f"{written};") != style else ";;"


def _ends_well(style: str) -> bool:
    """Return whether a declaration after these would be read as one: no bracket or quote is open at the end."""
    last = tinycss2.parse_blocks_contents(f"{style};--end:0", skip_comments=True, skip_whitespace=True)[-1:]
    return bool(last) and last[0].type == "declaration" and last[0].name == "--end"


def _escaped(applied: Iterable[Applied], quote: str) -> str:
    """Return declarations as an attribute's value in these quotes. Strings get the other kind, where they can."""
    text = ";".join(declared.declaration.text for declared in applied).replace("&", "&amp;")
    other = "'" if quote == '"' else '"'
    if quote in text and other not in text:
        return text.replace(quote, other)
    return text.replace(quote, "&quot;" if quote == '"' else "&#39;")


# What the author should know


def _unbalanced(tree: HtmlTree) -> Iterator[Finding]:
    for segment in tree.unbalanced:
        message = (
            "The elements opened and closed in this branch do not match. After it, rules that look at other elements "
            "(such as 'td a') stay in the style sheet and are not inlined. Close each element in the branch that "
            "opens it."
        )
        yield Finding("warning", message, segment.place)


def _blocked(document: MailDocument, resolution: Resolution) -> Iterator[Finding]:
    for declaration in sorted(resolution.blocked, key=lambda declaration: declaration.end):
        message = (
            f"'{declaration.text}' must win over rules that are inlined, but '!important' would change other elements. "
            f"'{declaration.name}' is not inlined there. Write rules for media queries and states last in the style "
            "sheet, with '!important' where they must win."
        )
        yield Finding("warning", message, document.place(declaration.end - 1))
