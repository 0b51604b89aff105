"""Splits a template file into text and Jinja tags, each with its place, and nests them into blocks and macros."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import jinja2
from jinja2 import nodes

from mailshot.render.problems import Place, TemplateProblems

Kind = Literal["data", "expression", "statement", "raw"]
_KINDS: dict[str, Kind] = {"variable_begin": "expression", "block_begin": "statement", "raw_begin": "raw"}
_AT = re.compile(r" at (\d+)$")
_STYLE = re.compile(r"<style\b.*?(?:</style|\Z)", re.DOTALL | re.IGNORECASE)
# `{#hero{` in a style sheet is a selector; `{# a note #}` is a comment.
_ID_SELECTOR = re.compile(r"\{#(?=-?[A-Za-z_\u0080-\uffff][^{}]*\{)")
_HELD = "{\ufdd0"
"""Stands for such a `{#` while Jinja reads the text: a noncharacter of Unicode, which no text contains."""


@dataclass(frozen=True, slots=True)
class Token:
    """One word or operator inside a tag."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of text, or one whole tag. `tokens` are what is between its braces."""

    kind: Kind
    text: str
    place: Place
    tokens: tuple[Token, ...] = ()

    @property
    def word(self) -> str:
        """The first word inside the tag: `if`, `for`, `customer`; empty for text."""
        return self.tokens[0].text if self.tokens else ""

    @property
    def end(self) -> Place:
        """The place of the closing braces."""
        line, column = Lines(self.text).at(max(self.text.rfind("}") - 1, 0))
        start = self.place.column if line == 1 else 1
        return Place(self.place.file, self.place.line + line - 1, start + column - 1)

    @property
    def is_assignment(self) -> bool:
        """Whether the tag is `{% set name = value %}`, which has no end tag."""
        return self.word == "set" and any(token.text == "=" for token in self.tokens)

    def spells(self, *words: str) -> bool:
        """Return whether the tag consists of exactly these tokens."""
        return tuple(token.text for token in self.tokens) == words


def expression(tokens: Sequence[Token], place: Place) -> Segment:
    """Make a `{{ … }}` tag from tokens."""
    return Segment("expression", "{{ " + " ".join(token.text for token in tokens) + " }}", place, tuple(tokens))


def statement(tokens: Sequence[Token], place: Place) -> Segment:
    """Make a `{% … %}` tag from tokens."""
    return Segment("statement", "{% " + " ".join(token.text for token in tokens) + " %}", place, tuple(tokens))


def without_raw(parts: Sequence[str | Segment]) -> list[str | Segment]:
    """Return the parts of an attribute's value with numbers in machine format: `1250.5`, not `1,250.5`."""
    result: list[str | Segment] = []
    for part in parts:
        if isinstance(part, Segment) and part.kind == "expression":
            tokens = [*tokens_of("_plain ( (", part.place), *part.tokens, *tokens_of(") )", part.place)]
            part = expression(tokens, part.place)
        result.append(part)
    return result


def tokens_of(text: str, place: Place) -> list[Token]:
    """Return one token for each blank-separated word, all at the same place."""
    return [Token(word, place) for word in text.split()]


class Lines:
    """Converts offsets in a text into lines and columns."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def at(self, offset: int) -> tuple[int, int]:
        """Return line and column, both from 1."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a line and column, both from 1."""
        return self._starts[line - 1] + column - 1


def tokenize(text: str, file: str, environment: jinja2.Environment, report: TemplateProblems) -> list[Segment]:
    """Split a file into segments. Joined, their texts are the file without its Jinja comments."""
    lines = Lines(text)
    segments: list[Segment] = []
    position, begin, opened = 0, 0, ""
    tokens: list[Token] = []

    def place(offset: int) -> Place:
        return Place(file, *lines.at(offset))

    text = _STYLE.sub(lambda style: _ID_SELECTOR.sub(_HELD, style[0]), text)
    try:
        for _, kind, value in environment.lexer.tokeniter(text, None):
            start = text.index(value, position) if value else position
            if start > position and not opened:
                segments.append(Segment("data", text[position:start], place(position)))
            position = start + len(value)
            if kind.endswith("_begin"):
                opened, begin, tokens = kind, start, []
            elif kind.endswith("_end"):
                if opened in _KINDS:
                    segments.append(Segment(_KINDS[opened], text[begin:position], place(begin), tuple(tokens)))
                opened = ""
            elif not opened and value:
                segments.append(Segment("data", value, place(start)))
            elif opened in ("variable_begin", "block_begin") and kind != "whitespace":
                tokens.append(Token(value, place(start)))
    except jinja2.TemplateSyntaxError as error:
        at = _AT.search(error.message or "")
        where = place(int(at[1])) if at else Place(file, error.lineno, _first_tag(text, error.lineno))
        message = _AT.sub("", error.message or "") + "."
        report.add(
            where, message, "In a style sheet, write a blank after {: `{ #hero`." if "comment" in message else ""
        )
        return []
    if position < len(text):
        segments.append(Segment("data", text[position:], place(position)))
    return [replace(segment, text=segment.text.replace(_HELD, "{#")) for segment in segments]


def _first_tag(text: str, line: int) -> int:
    column = text.splitlines()[line - 1].find("{") if 0 < line <= len(text.splitlines()) else 0
    return max(column, 0) + 1


def parse(
    pieces: Iterable[Segment], file: str, environment: jinja2.Environment, report: TemplateProblems
) -> tuple[nodes.Template, list[Place]]:
    """Parse only the tags, one token a line, so that a node's line number leads to the place of its token.

    Returns the tree and the places by line (from 1). Syntax errors are reported and give an empty tree.
    """
    source: list[str] = []
    places = [Place(file, 1, 1)]
    last = Place(file, 1, 1)
    for piece in pieces:
        if piece.kind in ("data", "raw"):
            continue
        last = piece.place
        marks = ("{{", "}}") if piece.kind == "expression" else ("{%", "%}")
        for token in (Token(marks[0], piece.place), *piece.tokens, Token(marks[1], piece.end)):
            source.append(token.text + "\n")
            places += [token.place] * (token.text.count("\n") + 1)
    places.append(last)
    try:
        return environment.parse("".join(source)), places
    except jinja2.TemplateSyntaxError as error:
        report.add(places[min(error.lineno, len(places) - 1)], error.message or "This cannot be parsed.")
    except ValueError:
        report.add(Place(file, 0, 0), "A number has too many digits.")
    except RecursionError:
        report.add(Place(file, 0, 0), "The expressions are nested too deeply.")
    return nodes.Template([]), places


@dataclass(frozen=True, slots=True)
class Block:
    """A named part that a child may replace."""

    name: str
    body: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Macro:
    """A named piece of markup with parameters; `opening` is its `{% macro … %}` tag."""

    name: str
    opening: Segment
    body: tuple[Node, ...]


Node = Segment | Block | Macro


def nested(pieces: Iterator[Segment], until: str = "") -> Iterator[Node]:
    """Nest the segments of a file, up to the tag that closes their block or macro."""
    for piece in pieces:
        if piece.kind != "statement" or piece.word not in ("block", "macro", "endblock", "endmacro"):
            yield piece
        elif piece.word == until:
            return
        elif piece.word == "block" and len(piece.tokens) > 1:
            yield Block(piece.tokens[1].text, tuple(nested(pieces, "endblock")), piece.place)
        elif piece.word == "macro" and len(piece.tokens) > 1:
            yield Macro(piece.tokens[1].text, piece, tuple(nested(pieces, "endmacro")))


def walk(tree: Sequence[Node]) -> Iterator[Node]:
    """Yield the nodes of a tree, and those inside its blocks."""
    for node in tree:
        yield node
        if isinstance(node, Block):
            yield from walk(node.body)


def blocks(tree: Sequence[Node]) -> Iterator[Block]:
    return (node for node in walk(tree) if isinstance(node, Block))
