"""A delivered mail is the author's text, byte for byte, apart from what Mailshot is documented to add.

The additions are taken out of the delivered HTML, and what is left must be the text that plain Jinja renders:

- declarations in front of or after those of a `style` attribute, or a `style` attribute where there was none
- click links in place of what an `href` said
- the open pixel before `</body>`
- ` !important` at the end of declarations in style sheets

Nothing of the package is used to find them. In a template with Jinja statements, blank lines do not count: Mailshot
leaves out a line that has only statements.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.render import mail_samples
from tests.render.material import TRACKING, compile_body, values

_RAW = ("style", "script", "title", "textarea", "noscript")
_TOKEN = re.compile(
    r"""(?P<comment><!--.*?-->) | (?P<declaration><[!?][^>]*>)
    | </(?P<end>[a-zA-Z][^\s/>]*)[^>]*>
    | <(?P<start>[a-zA-Z][^\s/>]*)(?P<attributes>(?:[\s/]+|[^\s=>/]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>]+))?)*)>""",
    re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE = re.compile(
    r"""(?P<space>[\s/]*)(?P<name>[^\s=>/]+)(?:(?P<equals>\s*=\s*)(?P<value>"[^"]*"|'[^']*'|[^\s>]+))?""", re.VERBOSE
)
_CLICK = re.compile(r"https://go\.example/c/\d+")
_HREF = re.compile(r"""(\shref\s*=\s*)("[^"]*"|'[^']*'|[^\s>]+)""", re.IGNORECASE)
_DECLARATIONS = re.compile(
    r"""(?:\s*[\w*-]+\s*:(?:[^;"'()]|"[^"]*"|'[^']*'|\((?:[^()"']|"[^"]*"|'[^']*'|\([^()]*\))*\))+(?:;|$))*"""
)
_IMPORTANT = " !important"
_PIXEL = re.compile(rf'<img src="{re.escape(TRACKING.pixel)}"[^>]*>(?=</body|</html|\Z|\s*\Z)', re.IGNORECASE)


_BLANK_LINES = re.compile(r"^[ \t]*(?:\n|\Z)", re.MULTILINE)


@dataclass(frozen=True)
class Token:
    """A run of text, a comment, a tag or the content of a style sheet."""

    kind: str
    text: str
    name: str = ""
    attributes: str = ""


def tokens(page: str) -> Iterator[Token]:
    """Split a page; the texts of all tokens together are the page."""
    position = 0
    while match := _TOKEN.search(page, position):
        if match.start() > position:
            yield Token("text", page[position : match.start()])
        position = match.end()
        kind = str(match.lastgroup) if match["start"] is None else "start"
        yield Token(kind, match[0], (match["start"] or "").lower(), match["attributes"] or "")
        name = (match["start"] or "").lower()
        if name in _RAW[:-1]:
            end = re.compile(rf"</{name}", re.IGNORECASE).search(page, position)
            assert end, f"no end of <{name}>"
            yield Token(name if name == "style" else "text", page[position : end.start()])
            position = end.start()
    if position < len(page):
        yield Token("text", page[position:])


def taken_out(delivered: str, written: str) -> str:
    """Return a delivered page without Mailshot's additions to the written one."""
    pages = [[token for token in tokens(page) if token.text] for page in (_PIXEL.sub("", delivered), written)]
    assert [(token.kind, token.name) for token in pages[0]] == [(token.kind, token.name) for token in pages[1]]
    return "".join(_token(*pair) for pair in zip(*pages, strict=True))


def _token(delivered: Token, written: Token) -> str:
    if delivered.kind == "start" and delivered.text != written.text:
        before = delivered.text[: -len(delivered.attributes) - 1] if delivered.attributes else delivered.text[:-1]
        return f"{before}{_attributes(delivered.attributes, written.attributes)}>"
    if delivered.kind == "style":
        return _sheet(delivered.text, written.text)
    if delivered.kind == "comment":
        return _comment(delivered.text, written.text)
    return delivered.text


def _attributes(delivered: str, written: str) -> str:
    theirs = {match["name"].lower(): match["value"] for match in reversed([*_ATTRIBUTE.finditer(written)])}
    is_new = "style" not in theirs
    kept: list[str] = []
    end = 0
    seen: set[str] = set()
    for match in _ATTRIBUTE.finditer(delivered):
        name, value = match["name"].lower(), match["value"]
        end = match.end()
        if name in seen:
            kept.append(match[0])
            continue
        seen.add(name)
        if name == "style" and is_new:
            _check_declarations(value)
        elif name == "style":
            kept.append(match["space"] + match["name"] + _style(match, theirs[name]))
        elif name == "href" and value and value.strip("\"'") and _CLICK.fullmatch(value.strip("\"'")):
            kept.append(match[0][: -len(value)] + (theirs.get(name) or ""))
        else:
            kept.append(match[0])
    return "".join(kept) + delivered[end:]


def _style(match: re.Match[str], written: str | None) -> str:
    """Return a `style` attribute as written, from its equals sign on."""
    value = match["value"]
    if value == written or value is None:
        return (match["equals"] or "") + (value or "")
    if written is None:
        _check_declarations(value)
        return ""
    quote = written[0] if written[0] in "\"'" else ""
    own = written.strip(quote) if quote else written
    assert value[0] == (quote or '"'), f"other quotes: {value}"
    content = value[1:-1]
    start = content.rfind(own) if not content.startswith(own) else 0
    assert start >= 0, f"{own!r} is not in {content!r}"
    front, back = content[:start], content[start + len(own) :]
    assert not front or not own.strip() or front.endswith(";"), f"{front!r} runs into {own!r}"
    ended = html.unescape(own).rstrip()
    assert not back or back.startswith(";") or ended.endswith(";") or not ended, f"{back!r} runs on"
    _check_declarations(front)
    _check_declarations(back.lstrip(";"))
    return match["equals"] + written


def _check_declarations(value: str) -> None:
    if value[:1] in ("'", '"') and value[-1:] == value[:1]:
        value = value[1:-1]
    decoded = value.replace("&quot;", '"').replace("&#39;", "'").replace("&amp;", "&")
    assert "!important" not in decoded.lower(), f"!important in {value!r}"
    assert _DECLARATIONS.fullmatch(decoded), f"not declarations: {value!r}"


def _sheet(delivered: str, written: str) -> str:
    """Return a sheet without the ` !important` that the written one does not have."""
    kept: list[str] = []
    position = 0
    while position < len(delivered):
        done = sum(map(len, kept))
        is_added = delivered.startswith(_IMPORTANT, position) and not written.startswith(_IMPORTANT, done)
        if is_added:
            position += len(_IMPORTANT)
            assert re.match(r"\s*(?:/\*.*?\*/\s*)*(?:[;}]|-->|\Z)", delivered[position:], re.DOTALL)
            continue
        step = delivered.find(_IMPORTANT, position + 1)
        step = len(delivered) if step < 0 else step
        kept.append(delivered[position:step])
        position = step
    return "".join(kept)


def _comment(delivered: str, written: str) -> str:
    """Return a comment for Outlook with its links as written."""
    theirs = iter([match[2] for match in _HREF.finditer(written)])

    def as_written(match: re.Match[str]) -> str:
        link = next(theirs, match[2])
        return match[1] + (link if _CLICK.fullmatch(match[2].strip("\"'")) else match[2])

    return _HREF.sub(as_written, delivered)


def both(name: str, tracked: bool) -> tuple[str, str]:
    """Return a mail as it is delivered and as its author wrote it."""
    pages = mail_samples.delivered(name, tracked), mail_samples.authored(name)
    if not mail_samples.has_statements(name):
        return pages
    return _BLANK_LINES.sub("", pages[0]), _BLANK_LINES.sub("", pages[1])


@pytest.mark.parametrize("name", mail_samples.NAMES)
def test_without_tracking_only_styles_are_added(name: str) -> None:
    delivered, written = both(name, tracked=False)
    assert not _CLICK.search(delivered)
    assert TRACKING.pixel not in delivered
    assert taken_out(delivered, written) == written


@pytest.mark.parametrize("name", mail_samples.NAMES)
def test_with_tracking_links_and_the_pixel_too(name: str) -> None:
    delivered, written = both(name, tracked=True)
    assert delivered.count(TRACKING.pixel) == 1
    assert taken_out(delivered, written) == written


@pytest.mark.parametrize("name", mail_samples.NAMES)
def test_the_check_itself_keeps_every_byte(name: str) -> None:
    written = mail_samples.authored(name)
    assert "".join(token.text for token in tokens(written)) == written
    assert taken_out(written, written) == written


@pytest.mark.parametrize(("kind", "is_raised"), [("text/css", False), ("text/plain", True)])
def test_animated_properties_get_no_important_that_would_stop_the_animation(kind: str, is_raised: bool) -> None:
    style = "<style>p { color: red } @media (min-width: 1px) { p { color: blue } }</style>"
    frames = f'<style type="{kind}">@keyframes glow {{ from {{ color: green }} }}</style>'
    html = compile_body(f"<html><head>{style}{frames}</head><body><p>x</p></body></html>").render(values(), None).html
    assert ("blue !important" in html) is is_raised
