"""The exception tree, and how a problem in a file is shown.

    MailshotError                something the user can fix; the CLI prints it without a traceback
    ├── WrongArgument    exit 2  a wrong argument or option of a command
    ├── InvalidInput     exit 3  problems in files the user wrote, each with its place
    ├── SettingsError    exit 3  a MAILSHOT_* variable is missing or wrong
    ├── NotFound         exit 4  a name that does not exist in the project
    ├── Refused          exit 5  a request that is not possible in the current state (launch of a changed plan)
    └── Unavailable      exit 6  a service is not reachable (database, SMTP server)
        └── Busy         exit 6  another process keeps the database locked

An example in a rule file that fails is such a problem, too: `rules test` then exits with 3.
Any other exception is a bug in Mailshot and exits with 1 and its traceback. Typer exits with 2 for unknown options.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDEST, LONGEST = 160, 400
_JOINS = "\t\u200d"  # a tab, and what joins several emoji into one


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong at one place. `line` and `column` count from 1; 0 means the file as a whole."""

    file: str
    line: int
    column: int
    message: str
    excerpt: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        lines = [f"{place}: {self.message}"]
        if self.excerpt:
            lines += self._pointed()
        if self.remedy:
            lines.append(f"    {self.remedy}")
        return "\n".join(lines)

    def _pointed(self) -> list[str]:
        """Return the line, as much of it as fits, with a caret below; what cannot be seen is shown as a box."""
        at = max(self.column - 1, 0)
        start = max(at - WIDEST // 2, 0) if len(self.excerpt) > WIDEST else 0
        part = self.excerpt.rstrip()[start : start + WIDEST]
        printable = "".join(sign if sign.isprintable() or sign in _JOINS else "\ufffd" for sign in part)
        padding = "".join("\t" if sign == "\t" else " " for sign in self.excerpt[start:at].ljust(at - start))
        left, right = "…" * (start > 0), "…" * (len(self.excerpt.rstrip()) > start + WIDEST)
        return [f"    {left}{printable}{right}", f"    {' ' * len(left)}{padding}^"]


class MailshotError(Exception):
    """Base of all errors that a user can fix. `remedy` says how."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n    {self.remedy}" if self.remedy else self.message


class WrongArgument(MailshotError):
    """An argument or option of a command is wrong."""

    exit_code = 2


class InvalidInput(MailshotError):
    """One or more problems in user input; `where` names the source if it is not obvious."""

    exit_code = 3

    def __init__(self, problems: Sequence[Problem], where: str = "") -> None:
        super().__init__("\n".join([where] * bool(where) + [str(problem) for problem in problems]))
        self.problems = tuple(problems)


class SettingsError(MailshotError):
    """A setting is missing or wrong."""

    exit_code = 3


class NotFound(MailshotError):
    """A name that nothing carries."""

    exit_code = 4


class Refused(MailshotError):
    """The present state forbids it."""

    exit_code = 5


class Unavailable(MailshotError):
    """A database or server we need does not answer."""

    exit_code = 6


class Busy(Unavailable):
    """Another process is writing to a database that has one writer at a time."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Suggest the known word closest to `word`, as a sentence, or list the known ones when none is close."""
    words = sorted(set(known))
    close = difflib.get_close_matches(word.lower(), [w.lower() for w in words], n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{next(w for w in words if w.lower() == close[0])}'?"
    if not words:
        return ""
    listed = ", ".join(words[:12]) + (", …" if len(words) > 12 else "")
    return f"Known: {listed}."


def similar(word: str, known: Iterable[str]) -> str | None:
    """Return the known word of which `word` looks like a misspelling, None when there is none."""
    return next(iter(difflib.get_close_matches(word.lower(), [*known], n=1, cutoff=0.8)), None)


def shortened(text: str) -> str:
    """Return a sentence without the middle when someone's long text has got into it."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"
