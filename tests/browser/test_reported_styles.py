"""Mails that once looked wrong, each with others of its kind: the styles they have in Chromium."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.render.material import TRACKING, compile_body, values

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
PHONE, DESKTOP, DARK = (375, "light"), (1000, "light"), (1000, "dark")
BLACK, WHITE, RED, BLUE = "rgb(0, 0, 0)", "rgb(255, 255, 255)", "rgb(255, 0, 0)", "rgb(0, 0, 255)"
C = '<div class="c">x</div>'
CELL = '<table class="g"><tr><td class="x y r">x</td></tr></table>'

RIGHT = [
    # !important in both the rule and the media rule
    (
        ".c{width:600px !important;background:#fff !important}@media (max-width:480px){.c{width:100% !important}}"
        "@media (prefers-color-scheme:dark){.c{background:#000 !important}}",
        C,
        ".c",
        {
            PHONE: {"width": "375px", "background-color": WHITE},
            DESKTOP: {"width": "600px"},
            DARK: {"background-color": BLACK},
        },
    ),
    (
        ".c{color:red !important}@media (max-width:480px){.c{color:blue !important}}",
        C.replace(">", ' style="color:green">', 1),
        ".c",
        {PHONE: {"color": BLUE}, DESKTOP: {"color": RED}},
    ),
    (".c{color:red !important}@media (max-width:480px){.c{color:blue}}", C, ".c", {PHONE: {"color": RED}}),
    # lists in selectors
    (
        "p:not(.x, .y){margin:0}@media (max-width:480px){.c{display:none !important}}",
        f"<p>x</p>{C}",
        ".c",
        {PHONE: {"display": "none"}, DESKTOP: {"display": "block"}},
    ),
    (":is(.a, .c){color:blue}.c:not(.d, .e){left:1px}", C, ".c", {DESKTOP: {"color": BLUE, "left": "1px"}}),
    # the order of shorthands and longhands
    ("td{padding:0}.x{padding-left:5px}.y{padding:20px}", CELL, "td", {DESKTOP: {"padding": "20px"}}),
    (".g td{background:#00f}.r{background-color:#f00}", CELL, "td", {DESKTOP: {"background-color": BLUE}}),
    ("td{background:#00f}.r{background-color:#f00}", CELL, "td", {DESKTOP: {"background-color": RED}}),
    (
        "td{border-left:5px solid red}.x{border:1px solid blue}.y{border-left-color:black}",
        CELL,
        "td",
        {DESKTOP: {"border-left-width": "1px", "border-left-color": BLACK, "border-top-color": BLUE}},
    ),
    ("td{margin:0;font:20px serif}.x{line-height:2}.y{font-size:10px}", CELL, "td", {DESKTOP: {"line-height": "20px"}}),
    # rules that apply at times
    (
        ".c{width:50%}@media (max-width:480px){.c{width:100%}}",
        C,
        ".c",
        {PHONE: {"width": "375px"}, DESKTOP: {"width": "500px"}},
    ),
    ("#d .c{color:red}@media (max-width:480px){.c{color:blue}}", f"<div id=d>{C}</div>", ".c", {PHONE: {"color": RED}}),
    (
        ".c{color:red}@media (prefers-color-scheme:dark){.c{color:white}}.c.c{color:blue}",
        C,
        ".c",
        {DARK: {"color": BLUE}},
    ),
    (
        ".c{background:red}@media (max-width:480px){.c{background-color:blue}}",
        C,
        ".c",
        {PHONE: {"background-color": BLUE}},
    ),
    # colours of CSS 4, and capitals
    (
        ".c{color:rgb(255 255 255 / 90%);background-color:#112233ff}",
        C,
        ".c",
        {DESKTOP: {"color": "rgba(255, 255, 255, 0.9)", "background-color": "rgb(17, 34, 51)"}},
    ),
    (
        "TD.Foo{color:#00f}td.foo{color:#f00}",
        '<table><tr><td class="Foo">x</td></tr></table>',
        "td",
        {DESKTOP: {"color": BLUE}},
    ),
    # identifiers after a brace
    (
        "@media (max-width:480px){#hero{width:100%!important}}#hero{width:600px}",
        "<div id=hero>x</div>",
        "#hero",
        {PHONE: {"width": "375px"}, DESKTOP: {"width": "600px"}},
    ),
    # sizes in attributes and in styles
    (
        "img{border:0}",
        '<img src="https://shop.example/hero.png" alt="Hero" width="600" style="width:100%;max-width:600px">',
        "img[width='600']",
        {PHONE: {"width": "375px"}, DESKTOP: {"width": "600px"}},
    ),
    # lists whose selectors differ in specificity, and selectors that browsers do not know
    (
        "body :is(.b,.c){color:blue}@media screen{u + #i p,.c{color:red}}",
        '{% for offer in offers %}<p class="c">x</p>{% endfor %}',
        "p >> nth=0",
        {DESKTOP: {"color": BLUE}},
    ),
    (".c,p::before span{color:red}.c{left:1px}", C, ".c", {DESKTOP: {"color": BLACK, "left": "1px"}}),
    ("div:not(a::after),.c{color:red}", C, ".c", {DESKTOP: {"color": BLACK}}),
    # style attributes without a declaration
    (
        ".c{left:1px;top:2px !important}",
        C.replace(">", ' style=" ">', 1),
        ".c",
        {DESKTOP: {"left": "1px", "top": "2px"}},
    ),
    # links around blocks
    (
        "a{color:red}td{color:inherit}",
        '<a href="https://shop.example/"><table><tr><td>x</td></tr></table></a>',
        "a td",
        {DESKTOP: {"color": RED}},
    ),
]


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=False)
    context.route("**/*", lambda route: route.fulfill(body=GIF, content_type="image/gif"))
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(("sheet", "body", "selector", "expected"), RIGHT)
def test_a_reported_mail_looks_right(
    sheet: str, body: str, selector: str, expected: dict[tuple[int, str], dict[str, str]], page: Page
) -> None:
    template = (
        f'<!doctype html><html lang="en"><head><style>body{{margin:0}}{sheet}</style></head><body>{body}</body></html>'
    )
    page.set_content(compile_body(template).render(values(), TRACKING).html)
    for (width, scheme), properties in expected.items():
        page.set_viewport_size({"width": width, "height": 600})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        actual = page.locator(selector).evaluate(
            "(e, names) => names.map(n => getComputedStyle(e)[n])", list(properties)
        )
        assert dict(zip(properties, actual, strict=True)) == properties


def test_a_hovered_link_has_the_color_of_its_rule(page: Page) -> None:
    sheet = "a{color:#00f}a:hover{color:#f00}"
    body = '<a href="https://shop.example/">a link</a>'
    page.set_content(
        compile_body(f"<html><head><style>{sheet}</style></head><body>{body}</body></html>").render(values(), None).html
    )
    link = page.locator("a")
    assert link.evaluate("e => getComputedStyle(e).color") == BLUE
    link.hover()
    assert link.evaluate("e => getComputedStyle(e).color") == RED
