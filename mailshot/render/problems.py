"""Problems of a template, with their places, and the error of rendering one mail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mailshot import errors


class RenderError(errors.MailshotError):
    """One customer's mail cannot be made; the others can. `place` names the template's file, line and column."""

    def __init__(self, message: str, place: Place | None = None) -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place
        self.reason = message


class Place(NamedTuple):
    """Where something stands in a file as its author wrote it; line and column count from 1, 0 means the whole file."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{shown(self.file)}:{self.line}:{self.column}" if self.line else shown(self.file)


def shown(file: str) -> str:
    """Spell a file of a Source the way its author finds it in the project."""
    return f"templates/{file}"


MOST_TOLD = 50


class TemplateProblems:
    """Collect problems, each once, and raise them together."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._lines = {name: text.splitlines() for name, text in files.items()}
        self._problems: dict[tuple[Place, str], errors.Problem] = {}

    def add(self, place: Place, message: str, remedy: str = "") -> None:
        """Note one problem with the line it stands on."""
        lines = self._lines.get(place.file, [])
        excerpt = lines[place.line - 1] if 0 < place.line <= len(lines) else ""
        problem = errors.Problem(shown(place.file), place.line, place.column, message, excerpt, remedy)
        self._problems.setdefault((place, message), problem)

    def __bool__(self) -> bool:
        return bool(self._problems)

    def settle(self) -> None:
        """Raise InvalidInput when anything was noted, in the order of the files and lines; of very many, the first."""
        if self._problems:
            problems = [self._problems[key] for key in sorted(self._problems)]
            if len(problems) > MOST_TOLD:
                more = f"There are {len(problems) - MOST_TOLD} more problems. Fix the first ones, then check again."
                problems[MOST_TOLD:] = [errors.Problem(problems[MOST_TOLD].file, 0, 0, more)]
            raise errors.InvalidInput(problems)
