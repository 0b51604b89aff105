"""Links lead where the author or the catalogue says, are exchanged only with consent, and never change otherwise."""

from __future__ import annotations

import html
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailshot.errors import InvalidInput
from mailshot.render import filters, links
from mailshot.render.template import RenderError
from tests.render.material import SHOP, TRACKING, compile_body, values

PAGE = "<html><body>{}</body></html>"


def hrefs(page: str) -> list[str]:
    """List the addresses of a page as a reader would follow them."""
    return [html.unescape(found[1]) for found in re.findall(r"""<a[^>]* href=(["'])(.*?)\1""", page)]


def test_without_consent_nothing_is_exchanged_and_no_pixel_is_there() -> None:
    mail = compile_body(PAGE.format('<a class="x" href="https://x.example/a?b=1&amp;c=%20#d">x</a>'))
    rendered = mail.render(values(), None)
    assert 'href="https://x.example/a?b=1&amp;c=%20#d"' in rendered.html
    assert (rendered.links, "<img" in rendered.html) == ((), False)


def test_with_consent_each_link_has_its_own_click_address() -> None:
    page = '<a href="https://x.example/a?b=1&amp;c=2">x</a>{% for o in offers %}<a href="{{ o.url }}">y</a>{% endfor %}'
    rendered = compile_body(PAGE.format(page)).render(values(), TRACKING)
    urls = ["https://x.example/a?b=1&c=2", *(f"https://{SHOP}/p/{n}?a=1&b=2#top" for n in range(3))]
    assert [link.url for link in rendered.links] == urls
    assert hrefs(rendered.html) == [f"https://go.example/c/{link.id}" for link in rendered.links]
    assert rendered.html.count("https://go.example/o/1.gif") == 1
    assert rendered.html.index("1.gif") < rendered.html.index("</body>")
    assert all(0 < link.id < 2**63 for link in rendered.links)


def test_links_in_comments_for_outlook_and_pictures_are_checked_too() -> None:
    page = '<!--[if mso]><v:rect href="{{ offers[0].url }}"><![endif]--><img alt="" src="{{ offers[1].url }}">'
    mail = compile_body(PAGE.format(page))
    rendered = mail.render(values(), TRACKING)
    assert f'<v:rect href="https://go.example/c/{rendered.links[0].id}">' in rendered.html
    assert f'src="https://{SHOP}/p/1?a=1&amp;b=2#top"' in rendered.html
    for urls in (("https://evil.example/", f"https://{SHOP}/"), (f"https://{SHOP}/", "javascript:x")):
        with pytest.raises(RenderError, match="not in link_hosts"):
            mail.render(values(offers=[{"url": url} for url in urls]), None)


@pytest.mark.parametrize(
    "link",
    [
        '<a href="mailto:a@b.example?subject=x">',
        '<a href="tel:+4912345">',
        '<a href="#top">',
        '<a href="{{ links.unsubscribe }}">',
        '<a href="{{ links.preferences }}">',
        '<a data-no-track href="https://x.example/">',
        '<a href="{{ offers[0].url }}" data-no-track="">',
    ],
)
def test_some_links_are_never_exchanged(link: str) -> None:
    mail = compile_body(PAGE.format(f"{link}x</a>"))
    assert hrefs(mail.render(values(), TRACKING).html) == hrefs(mail.render(values(), None).html)


WRITTEN = {
    "https://x.example/?a=1\n    &amp;b=2": "https://x.example/?a=1%20%20%20%20&b=2",
    "https://x.example/a\n\t/b&#10;": "https://x.example/a/b",
    "\n https://x.example/a \n": "https://x.example/a",
    "https://x.example\t": "https://x.example",
    "https://x.example/a\\b?c\\d": "https://x.example/a/b?c%5Cd",
    "https://x.example/a&nbsp;": "https://x.example/a%C2%A0",
    "https://x.example/a b|c{d}": "https://x.example/a%20b%7Cc%7Bd%7D",
    "https://x.example/?a=1&copy=2&lt=3&not": "https://x.example/?a=1&copy=2&lt=3%C2%AC",
    "https://x.example/?q=50%&r=%zz&s=%e2#a#b": "https://x.example/?q=50%&r=%zz&s=%e2#a#b",
    "HTTPS://B\u00fccher.example:8080/gulr\u00f8tter": "https://xn--bcher-kva.example:8080/gulr%C3%B8tter",
}
"""Attributes as an author writes them, and where their clicks lead."""


@pytest.mark.parametrize(("written", "url"), WRITTEN.items())
def test_a_click_leads_to_what_the_author_wrote(written: str, url: str) -> None:
    mail = compile_body(PAGE.format(f'<a href="{written}">x</a>'))
    assert [link.url for link in mail.render(values(), TRACKING).links] == [url]
    assert f'<a href="{written}">' in mail.render(values(), None).html


def test_a_blank_that_browsers_keep_is_reported_with_the_template() -> None:
    with pytest.raises(InvalidInput, match="must begin with"):
        compile_body(PAGE.format('<a href="https://x.example&nbsp;">x</a>'))


def test_blanks_do_not_end_a_link_in_the_plain_text() -> None:
    page = '<p>Go <a href=" https://x.example/a b?c=1\n&amp;d={{ customer.first_name }} e ">here</a></p>'
    assert (
        "Go here <https://x.example/a%20b?c=1&d=Rosa%20e>"
        in compile_body(PAGE.format(page)).render(values(), None).text
    )


def test_the_plain_text_shows_a_customers_address_without_the_subject() -> None:
    page = '<p><a href="mailto:{{ customer.email }}?subject=A b">write</a> {{ sender.postal_address }}</p>'
    assert "write <r@x.example> 1 Lane" in compile_body(PAGE.format(page)).render(values(), None).text


def test_the_same_address_has_the_same_id_in_another_process() -> None:
    url = "https://x.example/ü?a=1&b=2#c"
    code = f"from mailshot.render import links; print(links.link_target({url!r}).id)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert int(shown.stdout) == links.link_target(url).id


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        f"https://{SHOP}.evil.example/",
        f"https://{SHOP}@evil.example/",
        f"https://evil.example\\@{SHOP}/",
        f"https:{SHOP}/",
        f"//{SHOP}/",
        "/p/1",
        "",
        None,
        "javascript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        f"ftp://{SHOP}/",
        f"https://{SHOP}:x/",
        "https:///x",
        f"https://\t{SHOP}/",
        f"https://{SHOP}\uff0fevil.example",
    ],
)
@pytest.mark.parametrize("tracking", [None, TRACKING], ids=["plain", "tracked"])
def test_a_personal_link_to_no_allowed_host_stops_that_mail(url: str | None, tracking: links.Tracking | None) -> None:
    mail = compile_body(PAGE.format("\n<a href='{{ offers[0].url }}'>x</a>"))
    with pytest.raises(RenderError, match="not in link_hosts") as refusal:
        mail.render(values(offers=[{"url": url}]), tracking)
    assert refusal.value.place == ("m/body.html", 2, 4)


def test_a_personal_link_may_lead_to_an_allowed_host_however_it_is_spelled() -> None:
    mail = compile_body(PAGE.format("<a href='{{ offers[0].url }}'>x</a>"))
    for url in (f"https://{SHOP.upper()}/a?b=c d", f"http://{SHOP}:8080", f"https://{SHOP}?x#y"):
        assert hrefs(mail.render(values(offers=[{"url": url}]), None).html) == [url.replace(" ", "%20")]


@settings(deadline=None)
@given(st.text(max_size=40))
def test_no_value_in_a_links_query_leaves_its_attribute_or_host(value: str) -> None:
    mail = compile_body(PAGE.format('<a href="https://x.example/?q={{ customer.email }}">x</a>'))
    for tracking in (None, TRACKING):
        page = mail.render(values(customer={"email": value}), tracking).html
        assert len(hrefs(page)) == page.count("<a") == 1
        assert re.match(r"https://(x|go)\.example/", hrefs(page)[0])


@pytest.mark.parametrize(
    ("inside", "fault"),
    [("", True), (" <span>\n</span>", True), ("leave", False), ("<b>{{ customer.first_name }}</b>", False),
     ('<img src="https://shop.greenleaf.example/x.png" alt="leave">', False)],
)  # fmt: skip
def test_a_link_to_unsubscribe_needs_words(inside: str, fault: bool) -> None:
    link = f'<a href="{{{{ links.unsubscribe }}}}">{inside}</a>'
    found = compile_body(f'<html lang="en"><body>{{{{ sender.postal_address }}}} {link}</body></html>').findings
    assert any("has no text or image" in finding.message for finding in found) is fault


def test_only_short_texts_and_addresses_are_remembered() -> None:
    for kept, function, start in (
        (links._cached_link, links.link_target, "https://x/"),
        (filters._cached_titlecase, filters.titlecase, ""),
    ):
        kept.cache_clear()
        for length in (150, 10_000):
            function(start + "A" * length)
        assert kept.cache_info().currsize == 1
