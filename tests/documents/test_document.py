"""Checks that YAML means what stands there, and that every trap of YAML is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailshot import documents
from mailshot.documents import Mapping, Scalar, Sequence, plain
from mailshot.errors import InvalidInput, Problem

TEXTS = {
    "a: NO": "NO",
    "a: no": "no",
    "a: on": "on",
    "a: yes": "yes",
    "a: True": "True",
    "a: 01234": "01234",
    "a: 12:30:45": "12:30:45",
    "a: 0x1F": "0x1F",
    "a: 1_000": "1_000",
    "a: 1e3": "1e3",
    "a: .inf": ".inf",
    "a: 0o17": "0o17",
    "a: 2026-03-31": "2026-03-31",
    "a: 2026-03-31 09:00": "2026-03-31 09:00",
    "a: =": "=",
    "a: '~'": "~",
    'a: "null"': "null",
    "a: '01'": "01",
    "a: é😀": "é😀",
    'a: "\\u00e9"': "é",
    "a: 'it''s'": "it's",
    "a: x # said": "x",
    "a: |\n  two\n  lines\n": "two\nlines\n",
    "a: >\n  one\n  line\n": "one line\n",
    "a: http://x.example/#a": "http://x.example/#a",
}
EMPTY = ["a:", "a: ~", "a: null", "a: # said"]
REFUSED = {
    "a: 1\na: 2": (2, 1, "'a' is given twice (first in line 1)"),
    "a: {b: 1, b: 2}": (1, 11, "'b' is given twice (first in line 1)"),
    "'a': 1\na: 2": (2, 1, "'a' is given twice (first in line 1)"),
    "a: &x 1": (1, 4, "uses an anchor (&name)"),
    "a: *x": (1, 4, "uses an alias (*name)"),
    "a: &x [1]\nb: *x": (1, 4, "uses an anchor (&name)"),
    "<<: {b: 1}": (1, 1, "uses a merge (<<)"),
    "a: !!python/object:os.system x": (1, 4, "uses a tag (tag:yaml.org,2002:python/object:os.system)"),
    "a: !!str 1": (1, 4, "uses a tag (tag:yaml.org,2002:str)"),
    "a: !own 1": (1, 4, "uses a tag (!own)"),
    "a: !own {b: 1}": (1, 4, "uses a tag (!own)"),
    "? [1, 2]\n: 3": (1, 3, "uses a list or mapping as a key"),
    "a: 1\n---\nb: 2": (2, 1, "has a second document"),
    'a: "\\0"': (1, 4, "contains a control character (U+0000)"),
    'a: "\\ud83d"': (1, 4, "contains half a character (U+D83D)"),
    'a: "\\x1b[31m"': (1, 4, "contains a control character (U+001B)"),
    "a: 1\nb: x\x00y": (2, 5, "contains a character that YAML does not allow (U+0000)"),
    "a: 1\nb: \x1b[31m": (2, 4, "contains a character that YAML does not allow (U+001B)"),
}
BROKEN = {
    "a: [1": "is not valid YAML",
    "a: 'x": "is not valid YAML",
    "a: b: c": "is not valid YAML",
    "a:\n\tb: 1": "is not valid YAML",
    "a: @x": "is not valid YAML",
    "a: %x": "is not valid YAML",
    "a: `x`": "is not valid YAML",
    "{a: 1}}": "is not valid YAML",
    "a: 1\n b: 2": "is not valid YAML",
    "a: " + "[" * 3000: "is nested deeper than 20 levels",
    "a: " + "[" * 21 + "]" * 21: "is nested deeper than 20 levels",
    "a: " + "{b: " * 21: "is nested deeper than 20 levels",
    "a: " + "x" * 65_536: "at most 65,536 are allowed",
    "a: " + "é" * 32_768: "at most 65,536 are allowed",
}


def problem(text: str) -> Problem:
    with pytest.raises(InvalidInput) as caught:
        documents.parse_document(text, "f.yaml")
    return caught.value.problems[0]


@pytest.mark.parametrize("text", TEXTS)
def test_a_scalar_stays_the_text_that_was_written(text: str) -> None:
    root = documents.parse_document(text, "f.yaml").root
    assert plain(root) == {"a": TEXTS[text]}


@pytest.mark.parametrize("text", EMPTY)
def test_nothing_is_not_an_empty_text(text: str) -> None:
    assert plain(documents.parse_document(text, "f.yaml").root) == {"a": None}
    assert plain(documents.parse_document("a: ''", "f.yaml").root) == {"a": ""}


@pytest.mark.parametrize("text", REFUSED)
def test_a_trap_is_refused_at_its_place(text: str) -> None:
    reported = problem(text)
    assert (reported.line, reported.column, reported.message) == REFUSED[text]
    assert reported.file == "f.yaml"
    assert reported.remedy


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_yaml_is_refused(text: str) -> None:
    assert BROKEN[text] in problem(text).message


def test_tabs_are_named() -> None:
    reported = problem("a:\n\tb: 1")
    assert (reported.line, reported.remedy) == (2, "Indent with spaces, not tabs.")


def test_twenty_levels_are_allowed() -> None:
    node = documents.parse_document("[" * 20 + "]" * 20, "f.yaml").root
    for _ in range(19):
        assert isinstance(node, Sequence)
        (node,) = node.items
    assert plain(node) == []


@pytest.mark.parametrize(
    "raw",
    [b"\xef\xbb\xbfa: x\n", b"a: x\r\nb: y\r\n", b"%YAML 1.1\n---\na: x\n", b"---\na: x\n...\n", b"a: x"],
)
def test_other_ways_to_write_the_same(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "f.yaml").write_bytes(raw)
    root = documents.load_document(tmp_path / "f.yaml", tmp_path).root
    assert isinstance(root, Mapping)
    assert root.get("a") == Scalar(root.line, 4, "x")


UNREADABLE = {
    "latin-1": ("a: 1\nb: é".encode("latin-1"), 2, "is not UTF-8 text here"),
    "utf-16": ("a: x".encode("utf-16"), 0, "is UTF-16, not UTF-8 text"),
    "large": (b"# " + b"x" * 65_600, 0, "is 65,602 bytes; at most 65,536 are allowed"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, what: str) -> None:
    raw, line, message = UNREADABLE[what]
    (tmp_path / "f.yaml").write_bytes(raw)
    with pytest.raises(InvalidInput) as caught:
        documents.load_document(tmp_path / "f.yaml", tmp_path)
    (reported,) = caught.value.problems
    assert (reported.file, reported.line, reported.message) == ("f.yaml", line, message)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InvalidInput, match="cannot be read"):
            documents.load_document(path)


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 100)]
    assert problem("\n".join(lines)).message == "uses an anchor (&name)"


def test_every_node_knows_where_it_stands() -> None:
    document = documents.parse_document("a:\n  - b: x\n    c: [y, z]\n", "f.yaml")
    assert [(node.line, node.column) for node in (document.at("a", 0, "b"), document.at("a", 0, "c", 1))] == [
        (2, 8),
        (3, 12),
    ]
    assert document.at("a", 0, "none") == document.at("a", 0)


PIECES = st.sampled_from(
    [*list("{}[]:,-?&*!|>'\"%@`#~\n\t \\"), "a", "b: ", "- ", "<<: ", "\n  ", "---", '"\\x00"', "é", "\u2028", "\x85"]
)


@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        document = documents.parse_document(text, "f.yaml")
    except InvalidInput as error:
        assert str(error).startswith("f.yaml")  # noqa: PT017
    else:
        plain(document.root)
