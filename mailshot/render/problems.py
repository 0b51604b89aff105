"""Problems of a template, with their places, and the error of rendering one mail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mailshot import errors

MAX_PROBLEMS = 50


class RenderError(errors.MailshotError):
    """One customer's mail cannot be rendered; others can. `place` names the template's file, line and column."""

    def __init__(self, message: str, place: Place | None = None) -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place
        self.reason = message


class Place(NamedTuple):
    """A place in a file as its author wrote it. Line and column count from 1; 0 means the whole file."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{project_path(self.file)}:{self.line}:{self.column}" if self.line else project_path(self.file)


def project_path(file: str) -> str:
    """Return the path of a template file as its author sees it in the project."""
    return f"templates/{file}"


class SourceLines:
    """The lines of a template's files, to show the one where something is wrong."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._lines = {name: text.split("\n") for name, text in files.items()}

    def at(self, place: Place) -> str:
        """Return the line of a place; "" for a whole file."""
        lines = self._lines.get(place.file, [])
        return lines[place.line - 1] if 0 < place.line <= len(lines) else ""


class TemplateProblems:
    """Collect problems, each once, and raise them together."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._lines = SourceLines(files)
        self._problems: dict[tuple[Place, str], errors.Problem] = {}

    def add(self, place: Place, message: str, remedy: str = "") -> None:
        """Add a problem with the text of its line."""
        path, excerpt = project_path(place.file), self._lines.at(place)
        problem = errors.Problem(path, place.line, place.column, message, excerpt, remedy)
        self._problems.setdefault((place, message), problem)

    def __bool__(self) -> bool:
        return bool(self._problems)

    def raise_if_any(self) -> None:
        """Raise InvalidInput with all problems, ordered by file and line; of very many, the first."""
        if self._problems:
            problems = [self._problems[key] for key in sorted(self._problems)]
            if len(problems) > MAX_PROBLEMS:
                more = f"There are {len(problems) - MAX_PROBLEMS} more problems. Fix the first ones, then check again."
                problems[MAX_PROBLEMS:] = [errors.Problem(problems[MAX_PROBLEMS].file, 0, 0, more)]
            raise errors.InvalidInput(problems)
