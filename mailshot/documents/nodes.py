"""The nodes of a parsed file, each with its line and column, and the problems found in them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from mailshot.errors import InvalidInput, Problem, nearest, shortened

Step = str | int
MAX_PROBLEMS_SHOWN = 50
MAX_COMPARISONS = 10_000  # comparing words is slow, and hundreds of suggestions help no reader
_BREAK = re.compile("\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Node:
    """A piece of a document at `line`:`column` (from 1)."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar(Node):
    text: str
    quoted: bool = False

    @property
    def empty(self) -> bool:
        """Whether the value is missing (`key:`), unlike an empty quoted text."""
        return not self.quoted and self.text in ("", "~", "null")


@dataclass(frozen=True, slots=True)
class Sequence(Node):
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping(Node):
    entries: tuple[tuple[Scalar, Node], ...]

    def __iter__(self) -> Iterator[tuple[Scalar, Node]]:
        return iter(self.entries)

    def get(self, key: str) -> Node | None:
        return next((value for name, value in self.entries if name.text == key), None)


@dataclass(slots=True)
class Problems:
    """Collects the problems of one file, so that all are reported together; of very many, the first ones."""

    file: str
    lines: list[str]
    found: list[Problem] = field(default_factory=list)
    uncounted: int = 0

    def add(self, node: Node, message: str, remedy: str = "") -> None:
        excerpt = self.lines[node.line - 1] if 0 < node.line <= len(self.lines) else ""
        problem = Problem(self.file, node.line, node.column, shortened(message), excerpt, shortened(remedy))
        self.found.append(problem)

    def unknown(self, node: Node, message: str, word: str, known: Collection[str]) -> None:
        """Add a problem for an unknown word, with the nearest known one."""
        few = len(self.found) < MAX_PROBLEMS_SHOWN and len(self.found) * len(known) < MAX_COMPARISONS
        self.add(node, message, nearest(word, known) if few else "")

    def sorted_problems(self) -> list[Problem]:
        """Return the problems by line; of very many the first ones, and the number of others."""
        ordered = sorted(self.found, key=lambda problem: (problem.line, problem.column))
        more = len(ordered) - MAX_PROBLEMS_SHOWN + self.uncounted
        if more <= 0:
            return ordered
        message = f"and {more:,} more problem{'s' * (more > 1)}"
        rest = Problem(self.file, 0, 0, message, "", "Fix these first, then check again.")
        return [*ordered[:MAX_PROBLEMS_SHOWN], rest]

    def raise_if_any(self) -> None:
        if self.found:
            raise InvalidInput(self.sorted_problems())


def plain(node: Node) -> object:
    """Return the node as dicts, lists and texts; a value left empty becomes None."""
    if isinstance(node, Mapping):
        return {key.text: plain(value) for key, value in node}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Scalar)
    return None if node.empty else node.text


def below(node: Node, step: Step) -> Node | None:
    """Return the node under a key or at an index, None if there is none."""
    if isinstance(node, Mapping) and isinstance(step, str):
        return node.get(step)
    if isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None


def at(node: Node, *path: Step) -> Node:
    """Return the node at `path` below this one, or the deepest one that exists on the way."""
    for step in path:
        if (inner := below(node, step)) is None:
            return node
        node = inner
    return node


def lines(text: str) -> list[str]:
    """Return the lines of a text as editors number them; unusual separators do not end a line."""
    broken = _BREAK.split(text)
    return broken[:-1] if len(broken) > 1 and not broken[-1] else broken


def place(text: str, index: int) -> Node:
    """Return the place of a character in a text."""
    before = _BREAK.split(text[:index])
    return Node(len(before), len(before[-1]) + 1)
