"""What check says about sizes, style sheets, and features that great mail programs do not know."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from mailshot.render.lint import Finding
from tests.render.material import compile_body

HEAD = '<!doctype html><html lang="en"><head>{}</head><body>\n{}</body></html>'


def findings(words: str, body: str = "<p>x</p>", head: str = "") -> list[Finding]:
    """Return the findings about a mail that contain these words."""
    return [finding for finding in compile_body(HEAD.format(head, body)).findings if words in finding.message]


def styled(style: str, body: str = '<p class="a">x</p>') -> list[Finding]:
    return findings("caniemail.com", body, f"<style>\n{style}</style>")


@pytest.mark.parametrize(
    ("letters", "words"),
    [
        ("a" * 91_000, ""),
        ("a" * 93_000, "may take it over 102 KB"),
        ("a" * 103_000, "Gmail cuts a mail after 102 KB"),
        ("å" * 45_000, ""),
        ("å" * 52_000, "Gmail cuts a mail after 102 KB"),
    ],
)
def test_the_size_is_counted_in_bytes(letters: str, words: str) -> None:
    found = findings("102 KB", f"<p>{letters}</p>")
    assert [finding.level for finding in found] == (["warning"] if words else [])
    assert all(words in finding.message for finding in found)


def test_what_is_inlined_counts() -> None:
    style = "<style>p { padding: 11px 12px 13px 14px; font-size: 17px; line-height: 21px }</style>"
    assert findings("102 KB", "<p>x</p>" * 1500, style)
    assert not findings("102 KB", "<p>x</p>" * 1500)


def test_gmail_keeps_16_kb_of_styles() -> None:
    rules = "".join(f".c{number} {{ color: #123456 }}\n" for number in range(800))
    [finding] = findings("16 KB", head=f"<style>p {{ top: 0 }}</style>\n<style>{rules}</style>")
    assert (finding.level, finding.place.line) == ("warning", 2)
    assert not findings("16 KB", head=f"<style>{rules[:16_000]}</style>")
    assert not findings("16 KB", head=f"<!--[if mso]><style>{rules}</style><![endif]-->")


@pytest.mark.parametrize(
    ("head", "body", "words", "line"),
    [
        ("", "<style>p { top: 0 }</style><p>x</p>", "outside of <head>", 2),
        ('\n<link rel="stylesheet" href="https://shop.example/a.css">', "x", "do not load style sheets", 2),
        ("<style>\n@import url(https://shop.example/a.css);</style>", "x", "do not load style sheets", 2),
        ("<style>\n@media print { @media (width) { p { top: 0 } } }</style>", "x", "stands inside of another", 2),
        ("<style>@media print {\np { top: 0 } @font-face { src: x } }</style>", "x", "stands inside of another", 2),
    ],
)
def test_style_that_is_dropped_is_told_with_its_line(head: str, body: str, words: str, line: int) -> None:
    [finding] = findings(words, body, head)
    assert (finding.level, finding.place.line) == ("warning", line)


@pytest.mark.parametrize(
    "head",
    [
        '<link rel="icon" href="https://shop.example/a.ico">',
        '<link rel="stylesheet" href="https://fonts.example/css?family=Lato">',
        "<style>@import url(https://fonts.example/css?family=Lato);</style>",
        "<style>@media print { p { top: 0 } } @media screen { p { top: 1px } } @font-face { src: x }</style>",
        "<style>/* @media print { @media screen { } } */ p::after { content: '@media { @media {' }</style>",
        "<style>@goodbye { @gmail }</style>",
        "<style></style><style>@media print { }</style>",
    ],
)
def test_style_that_may_be_missing_is_fine(head: str) -> None:
    assert not findings("Gmail", head=head)


@pytest.mark.parametrize(
    ("style", "clients", "line"),
    [
        (".a { display: flex }", "Outlook for Windows ignores 'display: flex'", 2),
        (".a { top: 0;\nmargin-inline: 4px }", "Samsung Email ignore 'margin-inline'", 3),
        (
            ".a { --x: red; color: var(--x) }",
            "Gmail, Outlook for Windows, Outlook.com and Yahoo Mail ignore 'var",
            2,
        ),
        (".a { width: calc(100% - 8px) }", "ignore 'calc()'", 2),
        (".a { margin: 0 2rem }", "ignore the unit 'rem'", 2),
        (".a { background: url(https://shop.example/a.png) }", "Outlook for Windows ignores 'background: url(…)'", 2),
        (".a { background-image: linear-gradient(red, blue) }", "ignore 'linear-gradient()'", 2),
        (".a { color: rgba(0, 0, 0, .8) }", "Outlook for Windows ignores 'rgba()'", 2),
        (".a { position: absolute }", "Gmail and Outlook for Windows ignore 'position: absolute'", 2),
    ],
)
def test_css_that_clients_ignore_is_told_with_its_line(style: str, clients: str, line: int) -> None:
    [finding] = styled(style)
    assert clients in finding.message
    assert (finding.level, finding.place.line) == ("warning", line)


@pytest.mark.parametrize(
    "style",
    [
        ".none { display: flex }",
        "@media screen { .a { display: flex } }",
        "@supports (display: grid) { .a { display: grid } }",
        ".a:hover { transform: scale(2) }",
        ".a { display: block; display: flex }",
        ".a { color: #222; color: rgba(0, 0, 0, .8) }",
        ".a { background-color: #fff; background-image: linear-gradient(red, blue) }",
        ".a { background: #fff url(https://shop.example/a.png) }",
        ".a { box-shadow: 0 0 2px rgba(0, 0, 0, .2); border-radius: 4px; overflow: hidden }",
        ".a { filter: alpha(opacity=50); transform: none; float: none }",
        ".a { display: flex; display: none }",
        ".a { display: flex; mso-hide: all }",
    ],
)
def test_css_as_an_extra_or_with_a_fallback_is_fine(style: str) -> None:
    assert not styled(style)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<video src='https://shop.example/a.mp4'></video>", "ignore <video>"),
        ("<svg></svg>", "ignore <svg>"),
        ("<form></form>", "ignores <form>"),
        ("<p hidden>x</p>", "ignore the attribute 'hidden'"),
        ('<img alt="" src="https://shop.example/a.svg?1">', "Gmail on the web ignores pictures of the kind .svg"),
        ('<p style="display: grid">x</p>', "ignores 'display: grid'"),
    ],
)
def test_html_that_clients_ignore_is_told(body: str, words: str) -> None:
    if "hidden" in body:  # it is not shown where it is known; in a mail styled for each customer nothing is known
        mail = compile_body(HEAD.format("", body), m__settings_yaml="inline: each\n")
        found = [finding for finding in mail.findings if "caniemail" in finding.message]
    else:
        found = findings("caniemail", body)
    [finding] = found
    assert words in finding.message
    assert finding.place.line == 2


@pytest.mark.parametrize(
    "body",
    [
        '<video src="https://shop.example/a.mp4"><a href="https://shop.example/">Watch</a></video>',
        '<!--[if !mso]><!--><p style="display: flex">x</p><!--<![endif]-->',
        '<!--[if mso]><table><tr><td><![endif]--><p style="float: left">x</p><!--[if mso]></table><![endif]-->',
        '<img align="left" style="float: left" alt="" src="https://shop.example/a.png">',
        '<div style="display: none"><p style="display: grid">x</p></div>',
    ],
)
def test_html_with_an_alternative_is_fine(body: str) -> None:
    assert not findings("caniemail", body)


def test_only_outlook_is_left_out_of_what_is_not_for_outlook() -> None:
    body = '<!--[if !mso]><!--><p style="position: absolute">x</p><!--<![endif]--><p style="display: flex">y</p>'
    messages = [finding.message.partition(":")[0] for finding in findings("caniemail", body)]
    assert messages == ["Gmail ignores 'position", "Outlook for Windows ignores 'display"]


def test_a_feature_is_told_once_and_of_many_features_ten() -> None:
    [finding] = styled(".a { display: flex }", '<p class="a">x</p><p class="a">y</p><p style="display: flex">z</p>')
    assert "(1 more below)" in finding.message
    many = (
        "columns: 2; float: left; gap: 1px; transform: rotate(1deg); aspect-ratio: 1; clip-path: circle(1px); "
        "object-fit: fill; writing-mode: vertical-lr; mix-blend-mode: multiply; inline-size: 1px; margin-inline: 1px; "
        "padding-inline: 1px"
    )
    assert len(styled(f".a {{ {many} }}")) == 10
    [rest] = findings("also ignore", '<p class="a">x</p>', f"<style>.a {{ {many} }}</style>")
    assert "'float'" in rest.message


def test_the_table_of_clients_names_great_clients_alone() -> None:
    table = json.loads(files("mailshot.render").joinpath("client_support.json").read_text())
    names = {client for entry in table.values() for client in entry["clients"]}
    assert names <= {
        "Gmail", "Gmail on the web", "the Gmail app", "Outlook for Windows", "Outlook.com", "Apple Mail", "Yahoo Mail",
        "Yahoo Mail on the web", "the Yahoo Mail app", "Samsung Email",
    }  # fmt: skip
    assert table["value display:flex"] == {"page": "css-display-flex", "clients": ["Outlook for Windows"]}
