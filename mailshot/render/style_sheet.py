"""Reads the style sheets of a mail: its rules and declarations, each with its place in the text.

tinycss2 finds the structure as browsers do (https://www.w3.org/TR/css-syntax-3/). Declarations keep their own text, so
a value that no library knows passes through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import tinycss2

from mailshot.render.css_properties import is_surely_understood
from mailshot.render.lexer import Lines

_IMPORTANT = re.compile(r"\s*!\s*important\s*$", re.IGNORECASE)
_NAME = re.compile(r"(?P<name>--[^\s:;{}]+|[*_#]?-?[A-Za-z_][\w-]*)\s*:")
_GROUPS = ("media", "supports")
"""At-rules whose rules apply under a condition, and keep their rank."""
_ANYTHING = tuple(tinycss2.parse_component_value_list("*"))
_OTHER_GROUPS = ("container", "layer", "scope", "starting-style", "document", "-moz-document")
"""At-rules that also change what their rules match, or their rank."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One declaration of a rule."""

    name: str
    """The property in lower case; a custom property (`--x`) as written. `*zoom` is a property of old readers."""
    text: str
    """Name and value as written, without `!important` and comments."""
    important: bool
    end: int
    """Offset in the document's text of the end of the value, where ` !important` can be written."""

    @property
    def is_sure(self) -> bool:
        """Whether every mail reader understands the value, so that it replaces earlier ones."""
        return is_surely_understood(self.name, self.text.partition(":")[2])


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One style rule. `order` counts the rules of all sheets."""

    selectors: Sequence[Any]
    """The tokens before the brace."""
    declarations: tuple[Declaration, ...]
    order: int
    start: int
    """Offset in the document's text."""
    is_conditional: bool
    """It is inside an at-rule such as @media, or in a sheet with `media`: it does not apply always."""
    is_locked: bool
    """Its text must stay as it is: its sheet is marked `data-premailer="ignore"`, or the rule has rules inside."""
    is_nested: bool = False
    """It stands for the rules inside of another rule: what they match, and their rank, is not known."""


@lru_cache(maxsize=4096)
def read_style(text: str) -> tuple[tuple[str, str, bool], ...]:
    """Read a `style` attribute: name in lower case, value, and whether it is `!important`, of each declaration."""
    declarations = tinycss2.parse_blocks_contents(text, skip_comments=True, skip_whitespace=True) if text else ()
    return tuple(
        (declaration.lower_name, tinycss2.serialize(declaration.value).strip(), declaration.important)
        for declaration in declarations
        if declaration.type == "declaration"
    )


@dataclass(frozen=True, slots=True)
class StyleSheet:
    """What one style sheet holds."""

    rules: tuple[Rule, ...]
    """In order, with those in @media."""
    animated: frozenset[str]
    """The properties that its @keyframes set: `!important` would stop their animations."""


def read_sheet(sheet: str, start: int, first_order: int, is_conditional: bool, is_locked: bool) -> StyleSheet:
    """Read a sheet that begins at offset `start` of the document. Its rules are counted from `first_order`."""
    nodes = tinycss2.parse_stylesheet(sheet)
    rules = _SheetReader(sheet, start, first_order).rules(nodes, len(sheet), is_conditional, is_locked)
    return StyleSheet(tuple(rules), frozenset(_animated(nodes)))


def _animated(nodes: Sequence[Any]) -> Iterator[str]:
    for node in nodes:
        if node.type == "at-rule" and node.lower_at_keyword.endswith("keyframes") and node.content:
            for step in tinycss2.parse_rule_list(node.content):
                if step.type == "qualified-rule":
                    for declaration in tinycss2.parse_blocks_contents(step.content):
                        if declaration.type == "declaration":
                            yield declaration.lower_name


class _SheetReader:
    def __init__(self, sheet: str, start: int, first_order: int) -> None:
        self._sheet, self._start, self._order = sheet, start, first_order
        self._lines = Lines(sheet)

    def _offset(self, node: Any) -> int:
        return self._lines.offset(node.source_line, node.source_column)

    def rules(self, nodes: Sequence[Any], end: int, is_conditional: bool, is_locked: bool) -> Iterator[Rule]:
        """Yield the rules among nodes that follow one another up to the offset `end` of the sheet."""
        for node, following in zip(nodes, [*nodes[1:], None][: len(nodes)], strict=True):
            limit = end if following is None else self._offset(following)
            if node.type == "qualified-rule":
                yield from self._rules(node, limit, is_conditional, is_locked)
            elif (
                node.type == "at-rule" and node.content is not None and node.lower_at_keyword in _GROUPS + _OTHER_GROUPS
            ):
                inner = tinycss2.parse_rule_list(node.content)
                fixed = is_locked or node.lower_at_keyword not in _GROUPS
                yield from self.rules(inner, self._brace(self._offset(node), limit), True, fixed)

    def _brace(self, start: int, limit: int) -> int:
        """Return the offset of the brace that closes the last block before `limit`."""
        brace = self._sheet.rfind("}", start, limit)
        return brace if brace >= 0 else limit

    def _rules(self, node: Any, limit: int, is_conditional: bool, is_locked: bool) -> Iterator[Rule]:
        start = self._offset(node)
        end = self._brace(start, limit)
        blocks = [token for token in node.content if token.type == "{} block"]
        declarations = tuple(self._declarations(node.content, end))
        conditional, locked = is_conditional or bool(blocks), is_locked or bool(blocks)
        self._order += 1
        yield Rule(node.prelude, declarations, self._order, self._start + start, conditional, locked)
        if blocks:
            inside = tuple(declaration for block in blocks for declaration in self._inside(block))
            self._order += 1
            yield Rule(_ANYTHING, inside, self._order, self._start + start, True, True, is_nested=True)

    def _inside(self, block: Any) -> Iterator[Declaration]:
        """Yield the declarations of a block, and of the blocks inside of it."""
        yield from self._declarations(block.content, self._offset(block))
        for token in block.content:
            if token.type == "{} block":
                yield from self._inside(token)

    def _declarations(self, tokens: Sequence[Any], end: int) -> Iterator[Declaration]:
        chunk: list[Any] = []
        for token in tokens:
            if token.type == "literal" and token.value == ";":
                yield from self._declaration(chunk, self._offset(token))
                chunk = []
            elif token.type == "{} block":
                chunk = []  # a rule inside of the rule; what stands before it are its selectors
            else:
                chunk.append(token)
        yield from self._declaration(chunk, end)

    def _declaration(self, tokens: Sequence[Any], end: int) -> Iterator[Declaration]:
        """Read the tokens between two semicolons. What browsers leave out is left out."""
        while tokens and tokens[0].type in ("whitespace", "comment"):
            tokens = tokens[1:]
        if not tokens or any(token.type == "error" for token in tokens):
            return
        while tokens[-1].type in ("whitespace", "comment"):
            end, tokens = self._offset(tokens[-1]), tokens[:-1]
        written = self._sheet[self._offset(tokens[0]) : max(end, self._offset(tokens[0]))]
        if any(token.type == "comment" for token in tokens) or end < self._offset(tokens[-1]):
            written = tinycss2.serialize([token for token in tokens if token.type != "comment"])
        important = _IMPORTANT.search(written)
        text = written[: important.start() if important else None].replace("\\\n", "").replace("\n", " ").strip()
        name = _NAME.match(text)
        if name and text[name.end() :].strip():
            property_name = name["name"] if name["name"].startswith("--") else name["name"].lower()
            text = f"{text[: name.end() - 1].rstrip()}:{text[name.end() :].strip()}"
            yield Declaration(property_name, text, important is not None, self._start + end)
