"""Mails that once came out wrong, each with others of its kind: what is delivered of them, byte for byte.

How they look is tested in a browser: tests/browser/test_reported_styles.py.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from mailshot import errors
from mailshot.facts.locales import LocaleFormat
from mailshot.render import filters, template
from tests.render.material import TRACKING, VOCABULARY, compile_body, make, values

FOOT = '<p>{{ sender.postal_address }} <a href="{{ links.unsubscribe }}">leave</a></p>'


def rendered(body: str, head: str = "", tracked: bool = False) -> template.RenderedMail:
    """Render a body in a whole document."""
    page = f'<!doctype html><html lang="en"><head>{head}</head><body>{body}{FOOT}</body></html>'
    return compile_body(page).render(values(), TRACKING if tracked else None)


def without_styles(page: str) -> str:
    """Take out style attributes, and `!important` in sheets."""
    return re.sub(r' style="[^"]*"', "", page).replace(" !important", "")


ATTRIBUTES = [
    (
        "img{border:0}",
        '<img src="https://shop.example/hero.png" alt="" width="600" style="{}width:100%;max-width:600px">',
        "border:0;",
    ),
    ("td{padding:0}", '<table><tr><td width="570" style="{}width:100%">x</td></tr></table>', "padding:0;"),
    (
        "td{height:20px;text-align:left}",
        '<table><tr><td height="40%" align="center" valign="top" style="{}color:red">x</td></tr></table>',
        "height:20px;text-align:left;",
    ),
    (
        "table{width:100%;background-color:#fff}",
        '<table width="600" bgcolor="#EEEEEE" border=0 style="{}margin:0"><tr><td>x</td></tr></table>',
        "width:100%;background-color:#fff;",
    ),
]


@pytest.mark.parametrize(("sheet", "element", "added"), ATTRIBUTES)
def test_attributes_stay_as_written(sheet: str, element: str, added: str) -> None:
    assert element.format(added) in rendered(element.format(""), f"<style>{sheet}</style>").html


@pytest.mark.parametrize(
    "sheet",
    [
        "td{width:calc(50% - 10px);background-color:rgba(255,0,0,.5);text-align:start;vertical-align:-3px}",
        "table{width:20em}.i{width:inherit}",
        "td{width:300px !important;height:1in}table{background-color:hsl(0 50% 50%);text-align:-webkit-center}",
        "td{width:50%;background-color:#fff;vertical-align:middle;text-align:center}",
    ],
)
def test_no_attribute_but_style_is_added(sheet: str) -> None:
    body = '<table class="i" width="600"><tr><td>x</td></tr></table>'
    assert body in without_styles(rendered(body, f"<style>{sheet}</style>").html)


@pytest.mark.parametrize(
    "body",
    [
        '<a href="https://shop.example/buy"><table><tr><td>Buy now</td></tr></table></a>',
        '<a href="https://shop.example/buy"><h2>Buy</h2><p>now</p></a>',
        "<span><div>block in inline</div></span>",
        "<b><p>one</p><p>two</p></b>",
        "<font color=red><center>three</center></font>",
    ],
)
def test_blocks_in_inline_elements_stay_as_written(body: str) -> None:
    assert body in rendered(body).html
    assert body in without_styles(rendered(body, "<style>td,p,div,a,b{color:#333}</style>").html)


SHEETS = [
    "#outlook a{padding:0}.ExternalClass{width:100%}a[x-apple-data-detectors]{color:inherit !important}"
    "u + #body a{color:inherit}#MessageViewBody a{color:inherit}.apple a{color:#333}",
    "[data-ogsc] .c{color:#fff}.moz-text-html p{margin:0}.aBn{border:0}.gmail-fix{display:none}",
    "@media yahoo{.c{color:red}}@-ms-viewport{width:device-width}* html .c{color:red}",
    "@import url(https://fonts.example/css2?family=Inter:wght@400;700&display=swap);p{color:#333}",
    "@import 'https://fonts.example/a;b{c}.css' screen;@font-face{font-family:X;src:url(a;b{c}d)}p{color:#333}",
    '.c{background:url("https://img.example/a;b,c{d}.png")}.d::after{content:"/* ; } */"}',
    "p:not(.x, .y){margin:0}@media (max-width:480px){.d{display:none !important}}a:hover{color:red !important}",
    ":is(h1, .a, [title='x, y']) b{color:red}p:not(:first-child, .c):hover{color:red}",
    "@media (max-width:480px){#hero{width:100%!important}}",
    "@media print{#hero{color:red}#hero>p{color:blue}}@supports (display:grid){#body-x{display:grid}}",
    "TD.Foo{color:#00f}A:LINK{color:red}",
]


@pytest.mark.parametrize("sheet", SHEETS)
def test_a_sheet_stays_as_written(sheet: str) -> None:
    assert (
        f"<style>{sheet}</style>"
        in rendered('<p class="c">x</p><div class="d">y</div>', f"<style>{sheet}</style>").html
    )


@pytest.mark.parametrize(
    ("sheet", "element", "style"),
    [
        (".c{width:600px !important;color:red!important}", '<div class="c">', "width:600px;color:red"),
        (
            ".a{color:rgb(255 255 255 / 90%);background-color:#112233ff}",
            '<p class="a">',
            "color:rgb(255 255 255 / 90%);background-color:#112233ff",
        ),
        (".a{color:unset;*zoom:1}", '<p class="a">', "color:unset;*zoom:1"),
        (
            ".a{filter:progid:DXImageTransform.Microsoft.gradient(startColorstr=#80ffffff)}",
            '<p class="a">',
            "filter:progid:DXImageTransform.Microsoft.gradient(startColorstr=#80ffffff)",
        ),
        (
            ".a{width:clamp(1px, 2vw, 3px);color:oklch(40% .1 200)}",
            '<p class="a">',
            "width:clamp(1px, 2vw, 3px);color:oklch(40% .1 200)",
        ),
        ("P.Foo{color:#00f}", '<p class="Foo">', "color:#00f"),
        ("P.foo{color:#00f}p{top:0}", '<p class="Foo">', "top:0"),
        ("p:not(.x, .y){margin:0}", '<p class="z">', "margin:0"),
        (
            '.a{background:url("https://img.example/a;b.png")}',
            '<p class="a">',
            "background:url('https://img.example/a;b.png')",
        ),
    ],
)
def test_declarations_are_inlined_as_written(sheet: str, element: str, style: str) -> None:
    html = rendered(f"{element}x", f"<style>{sheet}</style>").html
    assert f'{element[:-1]} style="{style}">x' in html


@pytest.mark.parametrize("written", ['style=""', 'style=" "', "style", "style=''", 'style=";"'])
def test_declarations_stay_apart_in_a_style_without_any(written: str) -> None:
    html = rendered(f'<p class="a" {written}>x', "<style>.a{left:1px;top:2px !important}</style>").html
    tag = re.search(r'<p class="a"[^>]*>', html)
    assert tag
    assert re.search(r"left:1px\s*;[\s;]*top:2px", tag[0])


def test_own_declarations_that_no_library_knows_stay() -> None:
    element = '<p class="a" style="{}color:lab(50 40 20);*zoom:1;filter:progid:X.Y(a=\'b\')">x</p>'
    html = rendered(element.format(""), "<style>.a{margin:0}</style>").html
    assert element.format("margin:0;") in html


@pytest.mark.parametrize(
    ("sheet", "kept"),
    [
        ("a{color:#00f}a:hover{color:#f00}", "a{color:#00f}a:hover{color:#f00 !important}"),
        (
            ".c{width:50%}@media (max-width:480px){.c{width:100%}}",
            ".c{width:50%}@media (max-width:480px){.c{width:100% !important}}",
        ),
        (
            ".c{width:50%}@media (max-width:480px){.c{color:red;width:100% ; top:0}}",
            ".c{width:50%}@media (max-width:480px){.c{color:red;width:100% !important ; top:0}}",
        ),
        (".c{color:red}.c:hover{border:0}", ".c{color:red}.c:hover{border:0}"),
        (
            "@media (max-width:480px){.c{width:100%}}.c{width:50%}",
            "@media (max-width:480px){.c{width:100%}}.c{width:50%}",
        ),
    ],
)
def test_what_would_lose_against_an_inlined_value_gets_important(sheet: str, kept: str) -> None:
    html = rendered('<div class="c"><a href="https://shop.example/">x</a></div>', f"<style>{sheet}</style>").html
    assert f"<style>{kept}</style>" in html


def test_an_ignored_sheet_is_neither_inlined_nor_changed() -> None:
    sheet = '<style data-premailer="ignore">.c{top:1px}.c:hover{color:red}</style>'
    html = rendered('<p class="c">x</p>', f"<style>.c{{color:blue}}</style>{sheet}").html
    assert sheet in html
    assert "top:1px" not in html.replace(sheet, "")


def test_a_customers_tag_in_a_sheet_is_a_problem_and_an_id_is_none() -> None:
    rendered("<div id=hero>x</div>", "<style>@media print{#hero{color:red}}#a{top:0}@media all{#b .c{top:0}}</style>")
    with pytest.raises(errors.InvalidInput):
        rendered("<p>x</p>", "<style>p{color:{{ campaign.name }}}</style>")


LINKS = [
    (
        "https://shop.example/?a=1&copy=2&region=no&section=4&notify=1",
        "https://shop.example/?a=1&copy=2&region=no&section=4&notify=1",
    ),
    (
        "https://shop.example/?x=1&times2=3&deg=4&para=5&curren=6&lt=7&gt=8",
        "https://shop.example/?x=1&times2=3&deg=4&para=5&curren=6&lt=7&gt=8",
    ),
    ("https://shop.example/?a=1&amp;copy=2&amp;b=3", "https://shop.example/?a=1&copy=2&b=3"),
    ("https://shop.example/gulrøtter", "https://shop.example/gulr%C3%B8tter"),
    ("https://shop.example/日本", "https://shop.example/%E6%97%A5%E6%9C%AC"),
    ("https://shop.example/s?q=blå#ø", "https://shop.example/s?q=bl%C3%A5#%C3%B8"),
    ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
    ("https://例え.example/", "https://xn--r8jz45g.example/"),
    (" https://shop.example/a|b ", "https://shop.example/a%7Cb"),
    ("https://shop.example/a b", "https://shop.example/a%20b"),
]


@pytest.mark.parametrize(("written", "kept"), LINKS)
def test_the_row_of_a_link_leads_where_a_browser_would_go(written: str, kept: str) -> None:
    body = f'<p><a href="{written}">x</a></p>'
    mail = rendered(body, tracked=True)
    assert [link.url for link in mail.links] == [kept]
    assert body in rendered(body).html


def test_references_without_an_end_are_text_in_the_text_part_too() -> None:
    url = "https://shop.example/?a=1&copy=2&region=no&section=4&notify=1"
    assert url in rendered(f'<p><a href="{url}">Buy</a></p>').text


def test_a_product_may_have_a_link_with_other_letters() -> None:
    loop = '{% for offer in offers %}<a href="{{ offer.url }}">x</a>{% endfor %}'
    body = f'<html lang="en"><body>{loop}{FOOT}</body></html>'
    known = values()
    known["offers"] = [{"url": "https://shop.greenleaf.example/grønt/日?q=é"}]
    mail = compile_body(body).render(known, TRACKING)
    assert [link.url for link in mail.links] == ["https://shop.greenleaf.example/gr%C3%B8nt/%E6%97%A5?q=%C3%A9"]


@pytest.mark.parametrize(
    "link", ["sms:+4722334455", "tel:+4722334455", "mailto:help@shop.example", "whatsapp://send?text=x"]
)
def test_links_to_programs_stay(link: str) -> None:
    mail = rendered(f'<p><a href="{link}">x</a></p>', tracked=True)
    assert f'<a href="{link}">x</a>' in mail.html
    assert not mail.links


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "https:///x", "shop.example/x"]
)
def test_other_links_are_refused_with_a_remedy(link: str) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        rendered(f'<p><a href="{link}">x</a></p>')
    assert all(problem.remedy and problem.line for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            '<a href="https://shop.example/x"><img src="https://shop.example/b.png" alt="Buy now"></a>',
            "Buy now <https://shop.example/x>",
        ),
        ('<p>Write to <a href="mailto:help@shop.example">our desk</a></p>', "our desk <help@shop.example>"),
        ('<p><a href="https://shop.example/y"><table><tr><td>Look</td></tr></table></a></p>', "Look"),
        ('<p><a href="https://shop.example/z"><span>See <b>all</b></span></a></p>', "See all <https://shop.example/z>"),
        ('<p>Call <a href="tel:+4722334455">22 33 44 55</a></p>', "22 33 44 55"),
    ],
)
def test_the_text_part_names_links(body: str, text: str) -> None:
    assert text in rendered(body).text


@pytest.mark.parametrize(
    ("expression", "format_", "written"),
    [
        ("customer.joined_at", LocaleFormat("en", ZoneInfo("Europe/Oslo")), "April 1, 2026"),
        ("customer.joined_at", LocaleFormat("nb", ZoneInfo("UTC")), "31. mars 2026"),
        ("customer.joined_at|date('d MMMM')", LocaleFormat("de", ZoneInfo("America/New_York")), "31 März"),
        ("customer.born", LocaleFormat("en", ZoneInfo("Pacific/Auckland")), "February 3, 1980"),
        ("1234.5|money", LocaleFormat("de", None, "de", "EUR"), "1.234,50 €"),
    ],
)
def test_dates_and_money_are_written_for_people(expression: str, format_: LocaleFormat, written: str) -> None:
    body = f'<html lang="en"><body><p>{{{{ {expression} }}}}</p>{FOOT}</body></html>'
    vocabulary = {**VOCABULARY, "customer": {"first_name", "joined_at", "born"}}
    customer = {"joined_at": datetime(2026, 3, 31, 23, 30, tzinfo=UTC), "born": date(1980, 2, 3)}
    mail = template.compile_mail(make(body), vocabulary)
    html = mail.render({**values(customer=customer), filters.LOCALE_FORMAT: format_}, None).html
    assert f"<p>{written}</p>" in html.replace("\xa0", " ")
