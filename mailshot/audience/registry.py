"""Parses the audiences of a project and resolves references between them.

audience: vegetable lovers
description: Bought vegetables three times in 90 days, never meat.
who:
  bought: {department: PRODUCE, within: 90 days, times: {at_least: 3}}
  never_bought: {department: MEAT, within: 90 days}
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mailshot import documents
from mailshot.audience.nodes import Condition
from mailshot.audience.parse.conditions import Parser
from mailshot.audience.vocabulary import Vocabulary
from mailshot.documents import Document, Node, Problems
from mailshot.errors import InvalidInput, NotFound, Problem, nearest

KEYS = ("audience", "description", "who", "examples")
#: Maximum depth of references between audiences.
MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Audience:
    """A named rule."""

    name: str
    description: str
    condition: Condition
    #: File name, for example 'rules/audiences/regulars.yaml'.
    file: str


class AudienceRegistry:
    """Parses audiences on demand, so that they can refer to each other whatever the order of the files."""

    def __init__(self, files: Iterable[Document], vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        #: Errors of the audiences that have been parsed so far.
        self.problems: list[Problem] = []
        self._files: dict[str, Document] = {}
        self._parsed: dict[str, Audience | None] = {}
        self._in_progress: list[str] = []
        for document in files:
            self._register(document)

    @property
    def names(self) -> list[str]:
        return sorted(self._files)

    def audiences(self) -> list[Audience]:
        """Return every audience. Raises InvalidInput with all problems of all files."""
        audiences = self.valid_audiences()
        if self.problems:
            raise InvalidInput(self.problems)
        return audiences

    def valid_audiences(self) -> list[Audience]:
        """Return every valid audience; `problems` then contains the errors of the others."""
        return [audience for name in self.names if (audience := self._audience(name))]

    def audience(self, name: str) -> Audience:
        """Return one audience. Raises NotFound with the nearest name, or InvalidInput."""
        if name not in self._files:
            raise NotFound(f"There is no audience '{name}'.", nearest(name, self._files))
        audience = self._audience(name)
        if audience is None:
            raise InvalidInput(self.problems)
        return audience

    def document(self, name: str) -> Document:
        """Return the file of an audience."""
        return self._files[name]

    def condition(self, node: Node, problems: Problems, salt: str) -> Condition | None:
        """Parse a `when` or `customers` condition; None on error. `salt` makes its random shares independent."""
        return Parser(self.vocabulary, problems, salt, self._resolve).condition(node)

    def _register(self, document: Document) -> None:
        problems = document.problems()
        root = document.root
        name = root.get("audience") if isinstance(root, documents.Mapping) else None
        if not isinstance(name, documents.Scalar) or name.empty:
            problems.add(root, "is not an audience", "Start with 'audience: <name>' and 'who: <condition>'.")
        elif name.text in self._files:
            problems.add(name, f"the audience '{name.text}' is already in {self._files[name.text].name}", "Rename one.")
        else:
            self._files[name.text] = document
        self.problems += problems.sorted_problems()

    def _audience(self, name: str) -> Audience | None:
        if name not in self._parsed:
            self._in_progress.append(name)
            self._parsed[name] = self._parse(name, self._files[name])
            self._in_progress.pop()
        return self._parsed[name]

    def _parse(self, name: str, document: Document) -> Audience | None:
        problems = document.problems()
        assert isinstance(document.root, documents.Mapping)
        for key, _ in document.root:
            if key.text not in KEYS:
                problems.unknown(key, f"unknown key '{key.text}'", key.text, KEYS)
        who, description = document.root.get("who"), document.root.get("description")
        if who is None:
            problems.add(document.root, "'who' is missing", "Add a condition, for example 'who: {bought: …}'.")
        condition = Parser(self.vocabulary, problems, name, self._resolve).condition(who) if who else None
        self.problems += problems.sorted_problems()
        if problems.found or condition is None:
            return None
        text = description.text if isinstance(description, documents.Scalar) else ""
        return Audience(name, text, condition, document.name)

    def _resolve(self, name: str, node: Node, problems: Problems) -> Condition | None:
        if name in self._in_progress:
            circle = " -> ".join([*self._in_progress[self._in_progress.index(name) :], name])
            problems.add(node, f"the audiences refer to each other in a circle: {circle}")
            return None
        if name not in self._files:
            problems.unknown(node, f"unknown audience '{name}'", name, self._files)
            return None
        if len(self._in_progress) > MAX_DEPTH:
            problems.add(node, f"audiences refer to each other more than {MAX_DEPTH} levels deep")
            return None
        audience = self._audience(name)
        if audience is None:
            problems.add(node, f"the audience '{name}' has errors")
        return audience.condition if audience else None
