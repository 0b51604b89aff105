"""Owns a template file's pieces nested in its blocks and macros; refuses to follow them into other files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mailshot.render.pieces import Segment
from mailshot.render.report import Place


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
    """Nest the pieces of a file, up to the tag that closes the block or macro they stand in."""
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
    """List a tree with all that its blocks hold."""
    for node in tree:
        yield node
        if isinstance(node, Block):
            yield from walk(node.body)


def blocks(tree: Sequence[Node]) -> Iterator[Block]:
    return (node for node in walk(tree) if isinstance(node, Block))
