"""Owns strict YAML: text to nodes that know their place; refuses to know what any file means.

Tags, anchors, aliases and merges are refused, as are duplicate keys, more than 64 KB or 20 levels. Every scalar stays
the text that was written (`NO` is a country, `01234` a postcode): whoever reads a field decides its type.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, RootModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml import events as yaml_events
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from mailshot.errors import InvalidInput, Problem, nearest

MOST_BYTES = 64 * 1024
MOST_LEVELS = 20
# Neither database takes a NUL, and half a character is no text.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
Model = TypeVar("Model", bound=BaseModel)
Step = str | int


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
        """Whether nothing was written (`key:`), which is not the same as an empty quoted text."""
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
    """Collects what is wrong in one file, so that all of it is told at once."""

    file: str
    lines: list[str]
    found: list[Problem] = field(default_factory=list)

    def add(self, node: Node, message: str, remedy: str = "") -> None:
        excerpt = self.lines[node.line - 1] if 0 < node.line <= len(self.lines) else ""
        self.found.append(Problem(self.file, node.line, node.column, message, excerpt, remedy))

    def raise_if_any(self) -> None:
        if self.found:
            raise InvalidInput(sorted(self.found, key=lambda problem: (problem.line, problem.column)))


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file. `name` is how errors call it."""

    name: str
    text: str
    root: Node

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def problems(self) -> Problems:
        return Problems(self.name, self.text.splitlines())

    def at(self, *path: Step) -> Node:
        """Return the node at `path`, or the deepest one that exists on the way."""
        node = self.root
        for step in path:
            below = _below(node, step)
            if below is None:
                return node
            node = below
        return node

    def model(self, kind: type[Model], problems: Problems | None = None) -> Model:
        """Read the whole document as a pydantic model; raise InvalidInput with the place of each error."""
        try:
            return kind.model_validate(plain(self.root))
        except ValidationError as error:
            found = problems or self.problems()
            for item in error.errors():
                _explain(self, kind, item, found)
            raise InvalidInput(found.found) from None


def load(path: Path, root: Path | None = None) -> Document:
    """Read and parse one YAML file; errors name it relative to `root`. Raises InvalidInput."""
    name = str(path.relative_to(root)) if root and path.is_relative_to(root) else str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidInput([Problem(name, 0, 0, f"cannot be read: {error.strerror}")]) from None
    if len(raw) > MOST_BYTES:
        raise InvalidInput([Problem(name, 0, 0, f"is {len(raw):,} bytes; at most {MOST_BYTES:,} are allowed")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        remedy = "Save the file as UTF-8."
        raise InvalidInput([Problem(name, line, 1, "is not UTF-8 text here", remedy=remedy)]) from None
    return parse(text, name)


def parse(text: str, name: str) -> Document:
    """Parse YAML text into a Document. Raises InvalidInput with the place of the first breach."""
    if len(text.encode()) > MOST_BYTES:
        raise InvalidInput([Problem(name, 0, 0, f"is larger than {MOST_BYTES:,} bytes")])
    problems = Problems(name, text.splitlines())
    root: Node = Scalar(1, 1, "")
    try:
        root = _Builder(problems).build(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Node(mark.line + 1, mark.column + 1) if mark else Node(0, 0)
        problems.add(place, f"is not valid YAML: {error.problem or error.context}", _syntax_remedy(text, place))
    except ReaderError as error:
        place = Node(text.count("\n", 0, error.position) + 1, error.position - text.rfind("\n", 0, error.position))
        problems.add(
            place, f"holds a character that YAML does not allow (U+{ord(text[error.position]):04X})", "Remove it."
        )
    except (YAMLError, ValueError) as error:
        problems.add(Node(0, 0), f"is not valid YAML: {str(error).splitlines()[0]}")
    problems.raise_if_any()
    return Document(name, text, root)


def plain(node: Node) -> Any:
    """Return the node as dicts, lists and texts; a value left empty becomes None."""
    if isinstance(node, Mapping):
        return {key.text: plain(value) for key, value in node}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Scalar)
    return None if node.empty else node.text


def _below(node: Node, step: Step) -> Node | None:
    if isinstance(node, Mapping) and isinstance(step, str):
        return node.get(step)
    if isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None


class _Builder:
    """Turns the parser's events into nodes, with a stack instead of recursion so that depth cannot hurt."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.stack: list[tuple[Node, list[Node]]] = []
        self.root: Node | None = None

    def build(self, text: str) -> Node:
        for event in YAML(typ="safe", pure=True).parse(text):
            if isinstance(event, yaml_events.DocumentStartEvent) and self.root is not None:
                self.problems.add(_place(event), "has a second document", "Keep one document per file; remove '---'.")
            if isinstance(event, yaml_events.NodeEvent):
                self._refuse_magic(event)
            if self.problems.found:
                break
            self._take(event)
        return self.root or Scalar(1, 1, "")

    def _refuse_magic(self, event: Any) -> None:
        if isinstance(event, yaml_events.AliasEvent):
            self.problems.add(_place(event), "uses an alias (*name)", "Write the value out again.")
        elif event.anchor:
            self.problems.add(_place(event), "uses an anchor (&name)", "Remove it; aliases are not allowed.")
        elif getattr(event, "tag", None) and not _implied(event):
            self.problems.add(_place(event), f"uses a tag ({event.tag})", "Remove it.")

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml_events.ScalarEvent):
            if _UNFIT.search(event.value):
                self.problems.add(_place(event), "holds a control character", "Write it without escapes.")
            self._add(Scalar(*_spot(event), event.value, event.style is not None and event.style in "'\"|>"))
        elif isinstance(event, (yaml_events.MappingStartEvent, yaml_events.SequenceStartEvent)):
            if len(self.stack) >= MOST_LEVELS:
                self.problems.add(_place(event), f"is nested deeper than {MOST_LEVELS} levels")
                return
            kind = Mapping if isinstance(event, yaml_events.MappingStartEvent) else Sequence
            self.stack.append((kind(*_spot(event), ()), []))
        elif isinstance(event, (yaml_events.MappingEndEvent, yaml_events.SequenceEndEvent)) and self.stack:
            opened, parts = self.stack.pop()
            self._add(self._close(opened, parts))

    def _close(self, opened: Node, parts: list[Node]) -> Node:
        if isinstance(opened, Sequence):
            return Sequence(opened.line, opened.column, tuple(parts))
        entries: list[tuple[Scalar, Node]] = []
        seen: dict[str, Scalar] = {}
        for key, value in zip(parts[::2], parts[1::2], strict=True):
            if not isinstance(key, Scalar):
                self.problems.add(key, "uses a list or mapping as a key", "Use a word as the key.")
            elif key.text == "<<":
                self.problems.add(key, "uses a merge (<<)", "Write the entries out again.")
            elif key.text in seen:
                self.problems.add(key, f"'{key.text}' stands twice (first in line {seen[key.text].line})", "Keep one.")
            else:
                seen[key.text] = key
                entries.append((key, value))
        return Mapping(opened.line, opened.column, tuple(entries))

    def _add(self, node: Node) -> None:
        if self.stack:
            self.stack[-1][1].append(node)
        else:
            self.root = node


def _implied(event: Any) -> bool:
    """Whether the tag is the parser's own guess; scalars carry a pair of guesses, collections one."""
    return any(event.implicit) if isinstance(event.implicit, tuple) else bool(event.implicit)


def _spot(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _place(event: Any) -> Node:
    return Node(*_spot(event))


def _syntax_remedy(text: str, place: Node) -> str:
    lines = text.splitlines()
    if 0 < place.line <= len(lines) and "\t" in lines[place.line - 1]:
        return "Indent with spaces, not tabs."
    return "Check the indentation, and that every key is followed by ': '."


def _explain(document: Document, kind: type[BaseModel], item: Any, problems: Problems) -> None:
    path: tuple[Step, ...] = tuple(step for step in item["loc"])
    node, message, remedy = document.at(*path), str(item["msg"]), ""
    if item["type"] == "extra_forbidden":
        node = _key(document, path) or node
        message, remedy = f"unknown word '{path[-1]}'", nearest(str(path[-1]), _siblings(kind, path))
    elif item["type"] == "missing":
        message = f"'{path[-1]}' is missing" + (f" in '{path[-2]}'" if len(path) > 1 else "")
    elif item["type"] == "value_error":
        message = message.removeprefix("Value error, ")
    elif isinstance(node, Scalar):
        message = f"'{node.text}': {message[:1].lower()}{message[1:]}"
    problems.add(node, message, remedy)


def _key(document: Document, path: tuple[Step, ...]) -> Node | None:
    parent = document.at(*path[:-1])
    return next((key for key, _ in parent if key.text == path[-1]), None) if isinstance(parent, Mapping) else None


def _siblings(kind: type[BaseModel], path: tuple[Step, ...]) -> list[str]:
    """Return the field names known where the unknown key of `path` stands."""
    if issubclass(kind, RootModel):
        kind = _model_in(kind.model_fields["root"].annotation) or kind
    for step in path[:-1]:
        if not isinstance(step, str) or step not in kind.model_fields:
            continue
        below = _model_in(kind.model_fields[step].annotation)
        kind = below or kind
    return [info.alias or name for name, info in kind.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in getattr(annotation, "__args__", ()) if (found := _model_in(part))), None)
