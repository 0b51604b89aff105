"""Parses strict YAML into nodes, and explains syntax errors in plain words.

Tags, anchors, aliases, merges, duplicate keys and more than 20 levels are errors.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml import events as yaml_events
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from mailshot.documents import nodes
from mailshot.documents.nodes import Mapping, Node, Problems, Scalar, Sequence

MAX_LEVELS = 20
MAX_PIECES = 15_000
_BREAKS = "\x85\u2028\u2029"
_FOREIGN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
# Forbidden in escapes: databases reject NUL, surrogates are not text, terminals interpret ESC.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_HALVES = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_DIRECTIVE = re.compile(r"%(?!YAML +1\.[12] *(?:#|$))[^#]*")
INDENT = "Check the indentation: lines that belong together start in the same column."
_TIGHT = re.compile(r"\s*(?:- +)*(?P<word>[^\W\d][\w .-]*):(?P<rest>[^\s:/].*)")


def read_yaml(text: str, problems: Problems) -> Node:
    """Return the root of a document; problems are added to `problems`."""
    _refuse_foreign(text, problems)
    _refuse_directives(problems)
    if problems.found:
        return Scalar(1, 1, "")
    try:
        return _Builder(problems).build(text)
    except MarkedYAMLError as error:
        problems.add(*messages(error, problems.lines))
    except (YAMLError, ValueError) as error:
        problems.add(Node(0, 0), f"is not valid YAML: {str(error).splitlines()[0]}")
    return Scalar(1, 1, "")


def _refuse_foreign(text: str, problems: Problems) -> None:
    """Reject the first character that YAML does not allow, or that ends a line invisibly."""
    if not (match := _FOREIGN.search(text)):
        return
    sign, place = match[0], nodes.place(text, match.start())
    named = f"(U+{ord(sign):04X})"
    if sign in _BREAKS:
        escaped = f"\\u{ord(sign):04x}"
        problems.add(
            place,
            f"contains an invisible line break {named}",
            f"Begin a new line, or write {escaped} in double quotes.",
        )
    elif sign == "\ufeff":
        problems.add(place, f"contains an invisible byte order mark {named}", "Remove it.")
    else:
        problems.add(place, f"contains a character that YAML does not allow {named}", "Remove it.")


def _refuse_directives(problems: Problems) -> None:
    for number, line in enumerate(problems.lines, 1):
        if directive := _DIRECTIVE.match(line):
            message = f"uses a directive ({directive[0].strip()})"
            problems.add(Node(number, 1), message, "Remove the line; put a text that begins with % in quotes.")
        if line.strip() and not line.startswith(("#", "%")):
            return


class _Builder:
    """Builds nodes from the parser's events, with a stack instead of recursion, so depth is no problem."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.stack: list[tuple[Node, list[Node]]] = []
        self.root: Node | None = None
        self.end = (1, 1)
        self.pieces = 0

    def build(self, text: str) -> Node:
        for event in YAML(typ="safe", pure=True).parse(text):
            if isinstance(event, yaml_events.DocumentStartEvent) and self.root is not None:
                message = "Keep one document per file: remove what follows '---' or '...'."
                self.problems.add(_place(event), "has a second document", message)
            if isinstance(event, yaml_events.NodeEvent):
                self._refuse_magic(event)
                self._count(event)
            if self.problems.found:
                break
            self._take(event)
            self.end = event.end_mark.line + 1, event.end_mark.column + 1
        return self.root or Scalar(1, 1, "")

    def _count(self, event: Any) -> None:
        self.pieces += 1
        if self.pieces > MAX_PIECES:
            message = f"contains more than {MAX_PIECES:,} words and values"
            self.problems.add(_place(event), message, "Spread it over several files.")

    def _refuse_magic(self, event: Any) -> None:
        if isinstance(event, yaml_events.AliasEvent):
            remedy = "Write the value out again; put a text that begins with * in quotes."
            self.problems.add(_place(event), "uses an alias (*name)", remedy)
        elif event.anchor:
            remedy = "Remove it: aliases are not allowed; put a text that begins with & in quotes."
            self.problems.add(_place(event), "uses an anchor (&name)", remedy)
        elif getattr(event, "ctag", None) is not None:
            remedy = "Remove it; put a text that begins with ! in quotes."
            self.problems.add(_place(event), f"uses a tag ({event.tag or '!'})", remedy)

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml_events.ScalarEvent):
            self._add(self._scalar(event))
        elif isinstance(event, (yaml_events.MappingStartEvent, yaml_events.SequenceStartEvent)):
            if len(self.stack) >= MAX_LEVELS:
                message = f"is nested deeper than {MAX_LEVELS} levels"
                self.problems.add(_place(event), message, "Move a part of the rule to its own audience.")
                return
            kind = Mapping if isinstance(event, yaml_events.MappingStartEvent) else Sequence
            self.stack.append((kind(*_spot(event), ()), []))
        elif isinstance(event, (yaml_events.MappingEndEvent, yaml_events.SequenceEndEvent)) and self.stack:
            self._add(self._close(*self.stack.pop()))

    def _scalar(self, event: Any) -> Scalar:
        quoted = event.style is not None and event.style in "'\"|>"
        # JSON escapes characters beyond U+FFFF as two escapes.
        text = _HALVES.sub(lambda both: both[0].encode("utf-16", "surrogatepass").decode("utf-16"), event.value)
        if match := _UNFIT.search(text):
            half = "half a character" if match[0] >= "\ud800" else "a control character"
            self.problems.add(_place(event), f"contains {half} (U+{ord(match[0]):04X})", "Remove the escape.")
        elif not quoted and (odd := next(filter(_invisible, (text[:1], text[-1:])), "")):
            message = f"begins or ends with an invisible character (U+{ord(odd):04X})"
            self.problems.add(_place(event), message, "Write an ordinary space instead, or put the text in quotes.")
        place = _spot(event) if text or quoted else self._nowhere(event)
        return Scalar(*place, text, quoted)

    def _nowhere(self, event: Any) -> tuple[int, int]:
        """Return the place of a missing value: after its colon; the parser reports the place of what follows."""
        if not self.stack or not isinstance(self.stack[-1][0], Mapping) or len(self.stack[-1][1]) % 2 == 0:
            return within(self.problems.lines, *_spot(event))
        line, column = within(self.problems.lines, *self.end)
        behind = self.problems.lines[line - 1][column - 1 :]
        return line, column + len(behind) - len(behind.lstrip(" ").removeprefix(":"))

    def _sign(self, line: int, column: int) -> str:
        return self.problems.lines[line - 1][column - 1 : column]

    def _close(self, opened: Node, parts: list[Node]) -> Node:
        if isinstance(opened, Sequence):
            return Sequence(opened.line, opened.column, tuple(parts))
        entries: list[tuple[Scalar, Node]] = []
        seen: dict[str, Scalar] = {}
        for key, value in zip(parts[::2], parts[1::2], strict=True):
            if not isinstance(key, Scalar):
                self.problems.add(key, "uses a list or mapping as a key", "Use a word as the key.")
            elif key.text == "<<" and not key.quoted:
                self.problems.add(key, "uses a merge (<<)", "Write the entries out again.")
            elif not key.text:
                self.problems.add(key, "has an empty key", "Write a word before the colon.")
            elif key.text in seen:
                self.problems.add(
                    key, f"'{key.text}' is given twice (first in line {seen[key.text].line})", "Keep one."
                )
            else:
                seen[key.text] = key
                self._refuse_tight(key, value)
                entries.append((key, value))
        return Mapping(opened.line, opened.column, tuple(entries))

    def _refuse_tight(self, key: Scalar, value: Node) -> None:
        """Reject {country:NO}, which YAML reads as a key without a value."""
        word, colon, rest = key.text.partition(":")
        bare = isinstance(value, Scalar) and not value.quoted and not value.text
        if colon and rest and bare and not key.quoted and self._sign(value.line, value.column - 1) != ":":
            message = f"'{key.text}' has no space after the colon"
            self.problems.add(key, message, f"Write '{word.strip()}: {rest.strip()}'.")

    def _add(self, node: Node) -> None:
        if self.stack:
            self.stack[-1][1].append(node)
        else:
            self.root = node


def _invisible(sign: str) -> bool:
    # Some emoji (the flag of Scotland) end with format characters, too.
    flag = "\U000e0020" <= sign <= "\U000e007f"
    return sign not in ("", " ") and not flag and unicodedata.category(sign) in ("Zs", "Cf")


def _spot(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _place(event: Any) -> Node:
    return Node(*_spot(event))


@dataclass(frozen=True, slots=True)
class _Saying:
    """The meaning of one parser error. `opened`: report it where the unclosed part starts."""

    pattern: str
    words: str
    remedy: str
    opened: bool = False


_SAYINGS = (
    _Saying(r"found character '\\t'", "a tab is not allowed here", "Put a text that contains a tab in quotes."),
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
        "Put a text that contains ': ' in quotes; otherwise check the indentation.",
    ),
    _Saying(r"sequence entries are not", "a list entry is not allowed here", "Start it on its own line."),
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
        "Put a comma between two entries, a bracket at the end, and a text that contains any of them in quotes.",
    ),
    _Saying(
        r"block end>, but found '<?(?:scalar|\{|\[|>|\|)",
        "this does not belong to what is before it",
        f"Put the whole value in quotes, or indent it. {INDENT}",
    ),
    _Saying(r"but found '([]},])'", "'{0}' is out of place", "Remove it, or write what is missing before it."),
    _Saying(r"block end>, but found '\?'", "a 'word: value' line is among list entries", INDENT),
    _Saying(r"block end>, but found '-'", "a list entry is among 'word: value' lines", INDENT),
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
        "Start the text in the next line, indented; put a text that begins with | or > in quotes.",
    ),
    _Saying(
        r"scanning an (anchor|alias)",
        "what begins with & or * is an {0} to YAML",
        "Put the text in quotes.",
        opened=True,
    ),
    _Saying(r"tag|URI", "what begins with ! is a tag to YAML", "Put the text in quotes.", opened=True),
    _Saying(r"incompatible|%YAML|duplicate YAML", "there is another %YAML directive here", "Remove the line."),
    _Saying(r"document start", "there is a directive without '---' below it", "Remove the line that begins with %."),
    _Saying(r"document end", "a second document begins here", "Keep one document per file."),
)


def messages(error: MarkedYAMLError, lines: list[str]) -> tuple[Node, str, str]:
    """Return the place, the message and the remedy of a parser error."""
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
    """Return a place within the file; beyond its end, the place after its last character."""
    return (line, column) if line <= len(lines) else (len(lines), len(lines[-1]) + 1)
