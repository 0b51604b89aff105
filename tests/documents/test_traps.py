"""Checks every trap of YAML: what is read means what stands there, what is refused is told where it stands, and why."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from mailshot import documents
from mailshot.documents import MAX_BYTES, Document, plain
from mailshot.errors import InvalidInput, Problem

# What other readers of YAML take for something else, or trip over, and the value it must have here.
READ: dict[str, Any] = {
    "country: NO": {"country": "NO"},
    "a: [NO, no, No, yes, on, off, y, n, true, FALSE]": {
        "a": ["NO", "no", "No", "yes", "on", "off", "y", "n", "true", "FALSE"]
    },
    "a: [null, ~, Null, NULL]": {"a": [None, None, "Null", "NULL"]},
    "a: ['null', '~', '']": {"a": ["null", "~", ""]},
    "a: [017, 0o17, 0x1F, 0b11]": {"a": ["017", "0o17", "0x1F", "0b11"]},
    "a: [1_000, '1,000', 1e3, 1E400]": {"a": ["1_000", "1,000", "1e3", "1E400"]},
    "a: [1:30, 190:20:30, 12:30:45.5]": {"a": ["1:30", "190:20:30", "12:30:45.5"]},
    "a: [.inf, -.INF, .nan]": {"a": [".inf", "-.INF", ".nan"]},
    "a: [2026-01-01, 2026-01-01T10:00:00Z]": {"a": ["2026-01-01", "2026-01-01T10:00:00Z"]},
    "a: [1.10, 3.0, 1.]": {"a": ["1.10", "3.0", "1."]},
    "a: [+47 22 33 44 55, 0150, -0, +1]": {"a": ["+47 22 33 44 55", "0150", "-0", "+1"]},
    "a: =": {"a": "="},
    "'<<': x": {"<<": "x"},
    "1: a\n1.0: b\ntrue: c\n~: d": {"1": "a", "1.0": "b", "true": "c", "~": "d"},
    "a:\nb:  # nothing\nc: ''": {"a": None, "b": None, "c": ""},
    "a: x:y": {"a": "x:y"},
    '{"a":1,"b":[2]}': {"a": "1", "b": ["2"]},
    "[a: 1, b]": [{"a": "1"}, "b"],
    "? a\n: b": {"a": "b"},
    "12:30:\nb: 1": {"12:30": None, "b": "1"},
    "a: 1 # said\n# said\nb: x#y": {"a": "1", "b": "x#y"},
    "a:   # said\n  # and said\n- 1\n# again\n- 2": {"a": ["1", "2"]},
    "a: 'it''s \\n'": {"a": "it's \\n"},
    'a: "\\t\\u00e9\\x41\\U0001F600\\N"': {"a": "\té" + "A😀\x85"},
    'a: "\\ud83d\\ude00"': {"a": "😀"},
    "a: 👩\u200d👩\u200d👧 e\u0301 ❤\ufe0f": {"a": "👩\u200d👩\u200d👧 e\u0301 ❤\ufe0f"},
    "a: 'x\ty'": {"a": "x\ty"},
    "a: [\n\tb\n\t]": {"a": ["b"]},
    "a: '\u00a0x'": {"a": "\u00a0x"},
    "a: one\n  two\n\n  three": {"a": "one two\nthree"},
    "a: |\n  x  \n   y\n\nb: 1": {"a": "x  \n y\n", "b": "1"},
    "a: |-\n  x\n\n": {"a": "x"},
    "a: |+\n  x\n\n": {"a": "x\n\n"},
    "a: |2\n   x\n": {"a": " x\n"},
    "a: >\n  x\n  y\n\n  z\n": {"a": "x y\nz\n"},
    "a: >-2\n   x\n": {"a": " x"},
    "a: |  # said\n  # not said\n": {"a": "# not said\n"},
    "a: x\r\nb: |\r\n  y\r\n": {"a": "x", "b": "y\n"},
    "a: x\rb: y\r": {"a": "x", "b": "y"},
    "---\na: x\n...\n": {"a": "x"},
    "%YAML 1.1\n---\na: [no, 1:30, 017]": {"a": ["no", "1:30", "017"]},
    "%YAML 1.2 # said\n--- # said\na: x": {"a": "x"},
    "": None,
    "# said\n": None,
    "---\n": None,
    "\n\n \n": None,
    "\ufeffa: x": {"a": "x"},
    "- - - x": [[["x"]]],
    "a: " + "x" * 60_000: {"a": "x" * 60_000},
    "a: " + "[" * 19 + "]" * 19: {"a": eval("[" * 19 + "]" * 19)},
    "\n".join("  " * n + "a:" for n in range(19)): reduce(lambda inner, _: {"a": inner}, range(19), None),
}
# What is refused: the place, a part of the message, and a part of the remedy.
REFUSED: dict[str, tuple[int, int, str, str]] = {
    "b: 1\na: 1\n'a': 2": (3, 1, "'a' is given twice (first in line 2)", "Keep one."),
    'a: {b: 1, "b": 2}': (1, 11, "'b' is given twice", "Keep one."),
    "a: &x 1": (1, 4, "anchor", "put a text that begins with & in quotes"),
    "a:\n  - *x": (2, 5, "alias", "put a text that begins with * in quotes"),
    "a: *bold*": (1, 4, "alias", "in quotes"),
    "a: & b": (1, 4, "what begins with & or * is an anchor", "in quotes"),
    "a:\n  <<: {b: 1}": (2, 3, "uses a merge (<<)", "Write the entries out again."),
    "a: !!python/object:os.system x": (1, 4, "uses a tag (tag:yaml.org,2002:python/object:os.system)", "Remove it"),
    "a: !!binary aGk=": (1, 4, "uses a tag", "Remove it"),
    "a: !custom {b: 1}": (1, 4, "uses a tag (!custom)", "Remove it"),
    "a: !!str 1": (1, 4, "uses a tag", "Remove it"),
    "a: ! 1": (1, 4, "uses a tag (!)", "begins with ! in quotes"),
    "a: !x!y z": (1, 4, "what begins with ! is a tag", "in quotes"),
    "%TAG ! tag:x,2000:\n---\na: 1": (1, 1, "uses a directive (%TAG ! tag:x,2000:)", "Remove the line"),
    "# said\n%YAML 2.0\n---\na: 1": (2, 1, "uses a directive (%YAML 2.0)", "Remove the line"),
    "%YAML 1.1\na: 1": (2, 1, "there is a directive without '---' below it", "Remove the line"),
    "? [1, 2]\n: 3": (1, 3, "uses a list or mapping as a key", "Use a word as the key."),
    "x: 1\n{a: 1}: 2": (2, 1, "uses a list or mapping as a key", "Use a word as the key."),
    ": x": (1, 1, "has an empty key", "Write a word"),
    "a: 1\n? b: 2\n  c: 3\n": (2, 3, "uses a list or mapping as a key", "Use a word as the key."),
    "a: 1\n---\nb: 2": (2, 1, "has a second document", "one document per file"),
    "a: 1\n...\nb: 2": (3, 1, "has a second document", "one document per file"),
    "a:\n\tb: 1": (2, 1, "a tab is not allowed here", "Indent with spaces, not tabs."),
    "a:\n  b: 1\n\tc: 1": (3, 1, "a tab is not allowed here", "Indent with spaces, not tabs."),
    "a: x\ty": (1, 5, "a tab is not allowed here", "Put a text that contains a tab in quotes."),
    "a: 1\nb: \ufeffx": (2, 4, "contains an invisible byte order mark (U+FEFF)", "Remove it."),
    "a: 1\nb: x\u2028c: y": (2, 5, "contains an invisible line break (U+2028)", "write \\u2028 in double quotes"),
    "a: 'x\u2029y'": (1, 6, "contains an invisible line break (U+2029)", "write \\u2029 in double quotes"),
    "# x\x85a: 1": (1, 4, "contains an invisible line break (U+0085)", "write \\u0085 in double quotes"),
    "a: 1\rb: x\x00y": (2, 5, "(U+0000)", "Remove it."),
    "a: 1\r\nb: \x1b[31m": (2, 4, "(U+001B)", "Remove it."),
    "a: \x9b31m": (1, 4, "(U+009B)", "Remove it."),
    "a: \ud800": (1, 4, "(U+D800)", "Remove it."),
    'a: "\\0"': (1, 4, "contains a control character (U+0000)", "Remove the escape."),
    'a: "\\ud800"': (1, 4, "contains half a character (U+D800)", "Remove the escape."),
    "a:\n\u00a0\u00a0b: 1": (2, 1, "an invisible character (U+00A0)", "ordinary space"),
    "a: x\u200b": (1, 4, "an invisible character (U+200B)", "in quotes"),
    "audience:x\nwho: y": (1, 1, "no space after the colon", "Write 'audience: x'."),
    "a: 1\nb:2\nc: 3": (2, 1, "no space after the colon", "Write 'b: 2'."),
    "who: {country:NO}": (1, 7, "'country:NO' has no space after the colon", "Write 'country: NO'."),
    "a: 1\nb\nc: 2": (2, 1, "neither 'word: value' nor a list entry", "Write 'word: value'"),
    "a: b: c": (1, 5, "a colon with a space is not allowed here", "in quotes"),
    "a: b:": (1, 5, "a colon with a space is not allowed here", "in quotes"),
    "a: 1\n b: 2": (2, 3, "a colon with a space is not allowed here", "check the indentation"),
    "a:\n  b: 1\n c: 2": (3, 2, "is indented unlike the lines above it", "start in the same column"),
    "- a\nb: 1": (2, 1, "a 'word: value' line is among list entries", "Check the indentation"),
    "a: 1\n- b": (2, 1, "a list entry is among 'word: value' lines", "Check the indentation"),
    "a: - b": (1, 4, "a list entry is not allowed here", "on its own line"),
    "a: 'x": (1, 4, "a quote is never closed", "Write the same quote"),
    'a:\n  - "x\n  - y\n': (2, 5, "a quote is never closed", "Write the same quote"),
    "a: 'it's'": (1, 8, "does not belong to what is before it", "Put the whole value in quotes"),
    "a: [1,\n  2\n": (1, 4, "a bracket is never closed", "Write ] or }"),
    "a: [1,\n  2\nb: 3\n": (3, 2, "here, in the bracket opened in line 1", "a bracket at the end"),
    "a: {b: 1": (1, 4, "a bracket is never closed", "Write ] or }"),
    "a: {b: [1}": (1, 10, "expected ',' or ']' here, in the bracket opened in line 1", "Put a comma"),
    "a: {\n  b: 1\n  c: 2\n}": (3, 4, "expected ',' or '}' here, in the bracket opened in line 1", "a comma"),
    "a: [1,, 2]": (1, 7, "',' is out of place", "Remove it"),
    "a: [1]]": (1, 7, "']' is out of place", "Remove it"),
    "a: @x": (1, 4, "'@' cannot begin a text", "Put the text in quotes."),
    "a: %x": (1, 4, "'%' cannot begin a text", "Put the text in quotes."),
    "a: `x`": (1, 4, "'`' cannot begin a text", "Put the text in quotes."),
    "a: ? x": (1, 4, "'? ' is not allowed here", "Put the text in quotes."),
    'a: "C:\\games"': (1, 8, "'\\g' is not an escape", "single quotes"),
    'a: "\\x4"': (1, 7, "needs 2 hexadecimal digits", "Write \\\\ for a backslash."),
    "a: |0\n  x": (1, 5, "only a digit from 1 to 9, + or - may follow | or >", "in the next line"),
    "a: > x": (1, 6, "only a digit from 1 to 9, + or - may follow | or >", "in the next line"),
    "a: |\n   x\n  y": (3, 3, "does not belong to what is before it", "indent"),
    "a: " + "[" * 20: (1, 23, "is nested deeper than 20 levels", "to its own audience"),
    "a: " + "[" * 20 + "]" * 20: (1, 23, "is nested deeper than 20 levels", "to its own audience"),
    "a: " + "[" * 60_000: (1, 23, "is nested deeper than 20 levels", "to its own audience"),
    "\n".join("  " * n + "a:" for n in range(21)) + " 1": (21, 41, "is nested deeper than 20 levels", "audience"),
}
BYTES: dict[str, tuple[bytes, int, int, str, str]] = {
    "UTF-16 with a mark": ("a: x".encode("utf-16"), 0, 0, "is UTF-16, not UTF-8 text", "as UTF-8"),
    "UTF-16 little": ("a: x".encode("utf-16-le"), 0, 0, "is UTF-16, not UTF-8 text", "as UTF-8"),
    "UTF-16 big": ("a: x".encode("utf-16-be"), 0, 0, "is UTF-16, not UTF-8 text", "as UTF-8"),
    "UTF-32 with a mark": ("a: x".encode("utf-32"), 0, 0, "is UTF-32, not UTF-8 text", "as UTF-8"),
    "UTF-32 little": ("a: x".encode("utf-32-le"), 0, 0, "is UTF-32, not UTF-8 text", "as UTF-8"),
    "UTF-32 big": ("a: x".encode("utf-32-be"), 0, 0, "is UTF-32, not UTF-8 text", "as UTF-8"),
    "Latin-1": ("a: 1\nb: blåbær".encode("latin-1"), 2, 6, "is not UTF-8 text here", "as UTF-8"),
    "Latin-1 behind UTF-8": ("# å\r# 😀 ".encode() + b"\xe5", 2, 5, "is not UTF-8 text here", "as UTF-8"),
    "Latin-1 behind a mark": (b"\xef\xbb\xbfa: \xe5", 1, 4, "is not UTF-8 text here", "as UTF-8"),
    "a character cut off": ("a: 😀".encode()[:-1], 1, 4, "is not UTF-8 text here", "as UTF-8"),
    "a surrogate": (b"a: \xed\xa0\x80", 1, 4, "is not UTF-8 text here", "as UTF-8"),
    "one too many": (b"a: " + b"x" * 65_534, 0, 0, "is 65,537 bytes; at most 65,536 are allowed", "Shorten it"),
    "one too many, beyond ASCII": ("#" + "é" * 32_768, 0, 0, "is 65,537 bytes; at most 65,536", "Shorten it"),  # type: ignore[dict-item]
}


def problem(document: str | bytes) -> Problem:
    with pytest.raises(InvalidInput) as caught:
        _read(document)
    first = caught.value.problems[0]
    assert first.file == "rules/f.yaml"
    return first


def _read(text: str | bytes) -> Document:
    return (
        documents.parse_document(text, "rules/f.yaml")
        if isinstance(text, str)
        else documents.decode(text, "rules/f.yaml")
    )


@pytest.mark.parametrize("text", READ, ids=lambda text: repr(text)[:40])
def test_a_trap_is_read_as_what_stands_there(text: str) -> None:
    value = plain(_read(text).root)
    assert value == READ[text]
    assert plain(_read(text.encode()).root) == value


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text)[:40])
def test_a_trap_is_refused_at_its_place_with_a_remedy(text: str) -> None:
    reported = problem(text)
    line, column, message, remedy = REFUSED[text]
    assert (reported.line, reported.column) == (line, column)
    assert message in reported.message
    assert remedy in reported.remedy
    assert reported.excerpt in text


@pytest.mark.parametrize("what", BYTES)
def test_bytes_that_are_no_such_text_are_refused(what: str) -> None:
    raw, line, column, message, remedy = BYTES[what]
    reported = problem(raw)
    assert (reported.line, reported.column) == (line, column)
    assert message in reported.message
    assert remedy in reported.remedy


@pytest.mark.parametrize("raw", [b"a: " + b"x" * 65_533, ("#" + "é" * 32_767 + "\n").encode(), b"# " + b"\n" * 65_534])
def test_exactly_so_many_bytes_are_read(raw: bytes) -> None:
    assert len(raw) == MAX_BYTES
    assert _read(raw).problems().found == []


def test_ten_thousand_values_are_read() -> None:
    for text in ("[" + "a, " * 10_000 + "]", "- a\n" * 10_000):
        assert plain(_read(text).root) == ["a"] * 10_000


def test_laughs_are_refused_before_the_first() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 100)]
    assert (problem("\n".join(lines)).line, problem("\n".join(lines)).column) == (1, 5)


def test_of_very_many_problems_the_first_are_told() -> None:
    with pytest.raises(InvalidInput) as caught:
        _read("a: 1\n" * 7_000)
    *first, rest = caught.value.problems
    assert [(item.line, item.column) for item in first] == [(line, 1) for line in range(2, 52)]
    assert (rest.line, rest.message) == (0, "and 6,949 more problems")


def test_a_long_line_is_shown_around_the_place() -> None:
    lines = str(problem("a: [" + "x, " * 9000 + ",]")).splitlines()
    assert all(len(line) < 200 for line in lines)
    assert lines[1][lines[2].index("^")] == ","


def test_what_cannot_be_seen_is_shown_and_no_terminal_obeys() -> None:
    text = str(problem("a: \x1b[31m\tred"))
    assert "\x1b" not in text
    assert "a: \ufffd[31m\tred" in text


def test_an_empty_value_stands_behind_its_colon(tmp_path: Path) -> None:
    document = _read("a:   # said\n\nb :\n'c':\n  - d:\n    e: 1\n  -\n")
    places = [document.at(*path) for path in (("a",), ("b",), ("c", 0, "d"), ("c", 1))]
    assert [(node.line, node.column) for node in places] == [(1, 3), (3, 4), (5, 7), (7, 4)]
