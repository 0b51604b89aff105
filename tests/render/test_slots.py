"""Whatever a customer's value is, the mail keeps its tags, and a link keeps its value."""

from __future__ import annotations

import os
import random
from html.parser import HTMLParser
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from mailshot.render.template import MailTemplate, RenderedMail
from tests.render.material import TRACKING, compile_body, values

EXAMPLES = int(os.environ.get("MAILSHOT_TEST_EXAMPLES", "400"))
BODY = """<!doctype html><html lang="en"><head><title>{{ customer.first_name }}</title>
<style>p { color: red } @media print { p { color: black } }</style></head><body>
<p title="{{ customer.first_name }}" data-x='{{ customer.first_name }}' lang={{ customer.first_name }}>
{{ customer.first_name }}</p>
<a href="https://shop.example/?q={{ customer.first_name }}&amp;r=1#top">query</a>
<a href="https://shop.example/a/{{ customer.first_name }}">path</a>
<a href="https://shop.example/#{{ customer.first_name }}">fragment</a>
<a href="mailto:help@shop.example?subject={{ customer.first_name }}">write</a>
<!--[if mso]><p title="{{ customer.first_name }}">{{ customer.first_name }}</p><![endif]-->
{% if customer.first_name %}<b>{{ customer.first_name|upper }}</b>{% endif %}
<textarea>{{ customer.first_name }}</textarea>
</body></html>"""
PIECES = [
    "<", ">", "&", "\"", "'", "`", "/", "=", " ", "\x09", "\x0a", "\x0d", "\x00", "\x0b", "\x85",
    "\u2028", "-->", "<!--", "]]>", "<![endif]-->", "</p>", "<b>", "</title>", "</style>", "</textarea>",
    "<script>", "{{", "}}", "{%", "%}", "{#", "#}", "{{ 1 }}", "%", "%41", "%zz", "?", "#", "+", ":",
    "//", "\\", "|", "^", "&amp;", "&copy", "&lt", "&#60;", "javascript:", "a", "\xdf", "\u0130",
    "\u0131", "\xe9", "日本", "שלום", "\u202e", "\u200f", "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\U0001f44b\U0001f3fd", "e\u0301", "\ufeff", "\ufdd0", "\ufdd1", "\ue000", "\U0010ffff", "zq",
    "zqxzj", "zqaaaaazj",
]  # fmt: skip


class Skeleton(HTMLParser):
    """The tags of a page with the names of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[object] = []
        self.links: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, [name for name, _ in attrs]))
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(tag)

    def handle_comment(self, data: str) -> None:
        self.tags.append("comment")


@pytest.fixture(scope="module")
def mail() -> MailTemplate:
    return compile_body(BODY, "Hello {{ customer.first_name }}", m__preheader_txt="Hi {{ customer.first_name }}")


def texts() -> list[str]:
    """Make up strings, always the same: single pieces, then pieces joined at random."""
    chance = random.Random(12)
    return PIECES + ["".join(chance.choices(PIECES, k=chance.randint(1, 6))) for _ in range(EXAMPLES)]


def render(mail: MailTemplate, value: str, tracked: bool = False) -> RenderedMail:
    known = values(customer={**values()["customer"], "first_name": value})  # type: ignore[dict-item]
    return mail.render(known, TRACKING if tracked else None)


@pytest.mark.parametrize("tracked", [False, True], ids=["plain", "tracked"])
def test_no_value_changes_the_tags_of_a_mail(mail: MailTemplate, tracked: bool) -> None:
    expected = Skeleton(render(mail, "x", tracked).html).tags
    for text in texts():
        rendered = render(mail, text, tracked)
        assert Skeleton(rendered.html).tags == expected, text
        assert "\n" not in rendered.subject


def test_a_value_in_a_link_of_the_plain_text_arrives_as_it_is() -> None:
    body = (
        "Hi {{ customer.first_name }},\nhttps://shop.example/{% if 1 %}x{% endif %}?q={{ customer.first_name }}&r=1 x\n"
    )
    mail = compile_body("<p>x</p>", m__body_txt=body)
    for text in texts():
        lines = render(mail, text).text.splitlines()
        link = next(line for line in lines if line.startswith("https://")).partition(" ")[0]
        assert parse_qs(urlsplit(link).query, keep_blank_values=True) == {"q": [text], "r": ["1"]}


def test_a_value_in_a_link_arrives_as_it_is(mail: MailTemplate) -> None:
    for text in texts():
        rendered = render(mail, text, tracked=True)
        query, path, fragment = (urlsplit(link.url) for link in rendered.links[:3])
        assert parse_qs(query.query, keep_blank_values=True)["q"] == [text], text
        assert (query.netloc, path.netloc, query.fragment) == ("shop.example", "shop.example", "top")
        assert unquote(fragment.fragment) == text
        assert unquote(path.path.removeprefix("/a/")) in (text, unquote(text))
        written = Skeleton(render(mail, text).html).links
        assert parse_qs(urlsplit(written[0]).query, keep_blank_values=True)["q"] == [text]
        assert unquote(written[3].partition("subject=")[2]) == text
