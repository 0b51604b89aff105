"""Owns the YAML parser's complaints in plain words, at the place to mend; refuses to parse."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ruamel.yaml.error import MarkedYAMLError

from mailshot.documents.nodes import Node

INDENT = "Check the indentation: what belongs together begins in the same column."
_TIGHT = re.compile(r"\s*(?:- +)*(?P<word>[^\W\d][\w .-]*):(?P<rest>[^\s:/].*)")


@dataclass(frozen=True, slots=True)
class _Saying:
    """What one complaint means. `opened`: it is told where the unclosed piece begins, not where it was missed."""

    pattern: str
    words: str
    remedy: str
    opened: bool = False


_SAYINGS = (
    _Saying(r"found character '\\t'", "a tab stands where only spaces may", "Put a text that holds a tab in quotes."),
    _Saying(r"found character '(.+)' that cannot", "'{0}' cannot begin a text", "Put the text in quotes."),
    _Saying(
        r"could not find expected ':'",
        "neither 'word: value' nor a list entry",
        "Write 'word: value'; indent a text of several lines below its word.",
        opened=True,
    ),
    _Saying(
        r"mapping values are not allowed|found unexpected ':'",
        "a colon with a space is not allowed here",
        "Put a text that holds ': ' in quotes; else check the indentation.",
    ),
    _Saying(r"sequence entries are not", "a list entry is not allowed here", "Begin it on a line of its own."),
    _Saying(r"mapping keys are not", "'? ' is not allowed here", "Put the text in quotes."),
    _Saying(
        r"quoted scalar: found unexp",
        "a quote is never closed",
        "Write the same quote at the end of the text.",
        opened=True,
    ),
    _Saying(r"flow \w+: .*'<stream end>'", "a bracket is never closed", "Write ] or } at its end.", opened=True),
    _Saying(
        r"expected ',' or '(.)', but got",
        "expected ',' or '{0}' here, in the bracket opened in line {line}",
        "Put a comma between two entries, a bracket at the end, and a text that holds any of them in quotes.",
    ),
    _Saying(
        r"block end>, but found '<?(?:scalar|\{|\[|>|\|)",
        "this does not belong to what stands before it",
        f"Put the whole value in quotes, or indent it. {INDENT}",
    ),
    _Saying(r"but found '([]},])'", "'{0}' is out of place", "Remove it, or write what is missing before it."),
    _Saying(r"block end>, but found '\?'", "a 'word: value' line stands among list entries", INDENT),
    _Saying(r"block end>, but found '-'", "a list entry stands among 'word: value' lines", INDENT),
    _Saying(r"block end>", "is indented unlike the lines above it", INDENT),
    _Saying(r"expected the node content", "a value is missing here", "Write the value."),
    _Saying(
        r"unknown escape character '(.+)'",
        "'\\{0}' is not an escape",
        "Write \\\\ for a backslash, or put the text in single quotes.",
    ),
    _Saying(
        r"escape sequence of (\d) hex", "an escape needs {0} hexadecimal digits here", "Write \\\\ for a backslash."
    ),
    _Saying(
        r"block scalar",
        "only a digit from 1 to 9, + or - may follow | or >",
        "Begin the text in the next line, indented; put a text that begins with | or > in quotes.",
    ),
    _Saying(
        r"scanning an (anchor|alias)",
        "what begins with & or * is an {0} to YAML",
        "Put the text in quotes.",
        opened=True,
    ),
    _Saying(r"tag|URI", "what begins with ! is a tag to YAML", "Put the text in quotes.", opened=True),
    _Saying(r"incompatible|%YAML|duplicate YAML", "another %YAML directive stands here", "Remove the line."),
    _Saying(r"document start", "a directive stands without '---' below it", "Remove the line that begins with %."),
    _Saying(r"document end", "a second document begins here", "Keep one document per file."),
)


def messages(error: MarkedYAMLError, lines: list[str]) -> tuple[Node, str, str]:
    """Return the place, the message and the remedy of a complaint."""
    complaint = f"{error.context or ''}: {error.problem or ''}"
    saying, match = next(
        ((one, match) for one in _SAYINGS if (match := re.search(one.pattern, complaint))),
        (_Saying("", str(error.problem or error.context).partition("\n")[0], INDENT), None),
    )
    began = error.context_mark or error.problem_mark
    mark = began if saying.opened else error.problem_mark or began
    place = Node(*within(lines, mark.line + 1, mark.column + 1)) if mark else Node(0, 0)
    if "':'" in complaint or "mapping values" in complaint:
        for number in (place.line, place.line - 1):
            if tight := _TIGHT.fullmatch(lines[number - 1]) if number > 0 else None:
                remedy = f"Write '{tight['word'].strip()}: {tight['rest'].strip()}'."
                return Node(number, tight.start("word") + 1), "is not valid YAML: no space after the colon", remedy
    groups = match.groups() if match else ()
    words = saying.words.format(*groups, line=began.line + 1 if began else 0) if match else saying.words
    return place, f"is not valid YAML: {words}", _indent(lines, place) or saying.remedy


def _indent(lines: list[str], place: Node) -> str:
    line = lines[place.line - 1] if place.line else ""
    before = line[: place.column]
    return "Indent with spaces, not tabs." if "\t" in before and not before.strip() else ""


def within(lines: list[str], line: int, column: int) -> tuple[int, int]:
    """Return a place within the file: what is missed at its end is missed behind its last character."""
    return (line, column) if line <= len(lines) else (len(lines), len(lines[-1]) + 1)
