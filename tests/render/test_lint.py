"""What check says about pictures, and about rules that delivery changes, each with its place."""

from __future__ import annotations

import pytest

from mailshot.render.lint import Finding
from tests.render.material import compile_body

ADDRESS = "https://shop.example/a.png"


def findings(body: str, words: str) -> list[Finding]:
    """Return the findings about a body that contain these words."""
    found = compile_body(f'<!doctype html><html lang="en"><head></head><body>\n{body}</body></html>').findings
    return [finding for finding in found if words in finding.message]


@pytest.mark.parametrize(
    ("body", "words", "level", "column"),
    [
        ('<img alt="" src="a.png">', "cannot find", "error", 13),
        ('<img alt="" src="/a.png">', "cannot find", "error", 13),
        ('<img alt="" src="//shop.example/a.png">', "cannot find", "error", 13),
        ("<img alt='' src='C:\\a.png'>", "cannot find", "error", 13),
        ('<img alt="" src="file:///a.png">', "cannot find", "error", 13),
        ('<table background="a.png"></table>', "cannot find", "error", 8),
        ('<!--[if mso]><v:fill src="a.png"/><![endif]-->', "cannot find", "error", 22),
        ('<img alt="" src="data:image/png;base64,AA">', "data:", "warning", 13),
        ('<img alt="" src="http://shop.example/a.png">', "plain http", "warning", 13),
        ('<img alt="" src="">', "no address", "warning", 13),
    ],
)
def test_a_picture_that_readers_cannot_show_is_told_with_its_place(
    body: str, words: str, level: str, column: int
) -> None:
    [finding] = findings(body, words)
    assert (finding.level, finding.place.line, finding.place.column) == (level, 2, column)


@pytest.mark.parametrize(
    "body",
    [
        f'<img alt="" src="{ADDRESS}">',
        f'<img alt="" src=" {ADDRESS.upper()} ">',
        '<img alt="" src="cid:logo">',
        '<img alt="" src="{{ offers[0].url }}">',
        '<img alt="" src="https://shop.example/{{ offers[0].key }}.png">',
        f'<table background="{ADDRESS}"><tr><td>x</td></tr></table>',
        "<!-- an old picture: <img src=a.png> -->",
    ],
)
def test_a_picture_with_a_whole_address_is_fine(body: str) -> None:
    assert not findings(body, "icture")


@pytest.mark.parametrize(
    ("style", "words"),
    [
        ("p { color: red }\n[style] { top: 0 }", "asks for the 'style' attribute"),
        ("p { color: red }\n@media print { a[href$='/x'] { top: 0 } }", "asks for the address of a link"),
        ("p { color: red }\na[href*=x]:hover { top: 0 }", "asks for the address of a link"),
    ],
)
def test_a_rule_about_what_delivery_changes_is_told_with_its_line(style: str, words: str) -> None:
    [finding] = findings(f"<style>{style}</style><p>x</p>", words)
    assert (finding.level, finding.place.line) == ("warning", 3)


@pytest.mark.parametrize(
    "style",
    [
        "a[href^='tel:'] { top: 0 } @media print { a[href^='mailto:'] { top: 0 } }",
        "a[href$='/x'] { top: 0 }",
        "div[style*='margin: 16px 0'] { margin: 0 !important }",
    ],
)
def test_a_rule_about_what_stays_is_fine(style: str) -> None:
    assert not findings(f"<style>p {{ color: red }} {style}</style><p>x</p>", "This rule asks")


def test_a_rule_that_cannot_win_everywhere_is_told_and_nothing_looks_different() -> None:
    style = ".a { color: red } p.b { color: green } @media print { .a { color: black } }"
    [finding] = findings(f'<style>\n{style}</style><p class="a">x</p><p class="a b">y</p>', "must win")
    assert (finding.level, finding.place.line) == ("warning", 3)
