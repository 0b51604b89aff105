"""A delivered mail looks in Chromium as its author wrote it: every element has the same computed style.

Each sample mail is compared with what plain Jinja renders: at the width of a phone and of a desktop, by day and in
dark mode, with its inputs switched, and with every element hovered, focused and active.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page, Route

from tests.render import mail_samples
from tests.render.material import TRACKING

WIDTHS = (1000, 375)
SCHEMES = ("light", "dark")
MAIL_URL = "http://mail.example/"
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
MAX_LINES = 12
MAX_PROPERTIES = 3
"""Differences that a failure shows, and those of one element."""
_STATES = re.compile(r":(?:hover|focus|active)", re.IGNORECASE)

SETTLE = """pixel => {
  for (const image of document.querySelectorAll(`img[src="${pixel}"]`))
    image.style.setProperty("display", "none", "important");
  for (let turn = 0; turn < 4; turn++)
    for (const animation of document.getAnimations())
      if (animation instanceof CSSTransition) animation.finish();
      else { animation.pause(); animation.currentTime = 0; }
}"""
"""Hide the open pixel, end transitions, and stop animations at their first frame."""
ELEMENTS = (
    """const elements = [...document.querySelectorAll(":not(head *)")].filter(e => e.getAttribute("src") !== pixel);"""
)
HASHES = f"""pixel => {{
  {ELEMENTS}
  const names = [...getComputedStyle(document.documentElement)];
  const hash = style => {{
    let value = 2166136261;
    for (const name of names) {{
      const text = style.getPropertyValue(name) + ";";
      for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 16777619);
    }}
    return value >>> 0;
  }};
  return elements.map(e => [e.localName, ...["", "::before", "::after"].map(part => {{
    const style = getComputedStyle(e, part || null);
    return part && style.content === "none" ? "" : hash(style);
  }})].join(" "));
}}"""
"""One line for each element: its name, and the hashes of its computed style and of its pseudo-elements'."""
DETAILS = f"""([pixel, number]) => {{
  {ELEMENTS}
  const e = elements[number];
  const all = {{}};
  for (const part of ["", "::before", "::after"]) {{
    const style = getComputedStyle(e, part || null);
    for (const name of style) all[part + name] = style.getPropertyValue(name);
  }}
  return [e.cloneNode(false).outerHTML.slice(0, 160), all];
}}"""
SWITCH = """() => {
  for (const input of document.querySelectorAll("input[type=checkbox]")) input.checked = !input.checked;
  const groups = new Map();
  for (const input of document.querySelectorAll("input[type=radio]"))
    groups.set(input.name, [...(groups.get(input.name) || []), input]);
  for (const group of groups.values())
    group[(group.findIndex(input => input.checked) + 1) % group.length].checked = true;
  for (const details of document.querySelectorAll("details")) details.open = !details.open;
}"""
"""Switch every checkbox, choose the next of each group of radio buttons, open what is closed."""


@dataclass
class Side:
    """A page that shows one version of a mail."""

    page: Page
    session: CDPSession
    html: str = ""

    def open(self, html: str) -> None:
        self.html = html
        self.page.goto(MAIL_URL)

    def emulate(self, width: int, scheme: Any) -> None:
        self.page.set_viewport_size({"width": width, "height": 800})
        self.page.emulate_media(color_scheme=scheme)

    def hashes(self) -> list[str]:
        self.page.evaluate(SETTLE, TRACKING.pixel)
        hashes: list[str] = self.page.evaluate(HASHES, TRACKING.pixel)
        return hashes

    def details(self, number: int) -> tuple[str, dict[str, str]]:
        element, properties = self.page.evaluate(DETAILS, [TRACKING.pixel, number])
        return element, properties

    def force_states(self) -> None:
        """Let every element be hovered, focused and active."""
        for command in ("DOM.enable", "CSS.enable"):
            self.session.send(command)
        for node in _element_ids(self.session.send("DOM.getDocument", {"depth": -1})["root"]):
            states = ["hover", "focus", "active"]
            self.session.send("CSS.forcePseudoState", {"nodeId": node, "forcedPseudoClasses": states})

    def show(self, route: Route) -> None:
        """Answer with the mail and the pixel; nothing else is fetched."""
        if route.request.url == MAIL_URL:
            route.fulfill(body=self.html, content_type="text/html; charset=utf-8")
        elif route.request.url == TRACKING.pixel:
            route.fulfill(body=GIF, content_type="image/gif")
        else:
            route.abort()


def _element_ids(node: dict[str, Any]) -> Iterator[int]:
    if node["nodeType"] == 1:
        yield node["nodeId"]
    for child in node.get("children", ()):
        yield from _element_ids(child)


@pytest.fixture(scope="module")
def sides(browser: Browser) -> Iterator[tuple[Side, Side]]:
    # Mail readers run no scripts, so what is in a `noscript` is shown.
    context = browser.new_context(java_script_enabled=False)
    both = []
    for page in (context.new_page(), context.new_page()):
        side = Side(page, context.new_cdp_session(page))
        page.route("**/*", side.show)
        both.append(side)
    yield both[0], both[1]
    context.close()


@pytest.mark.parametrize("name", mail_samples.NAMES)
def test_a_delivered_mail_looks_as_written(name: str, sides: tuple[Side, Side]) -> None:
    written, delivered = mail_samples.authored(name), mail_samples.delivered(name, tracked=True)
    media = itertools.product(WIDTHS, SCHEMES)
    differences = itertools.chain(compare(written, delivered, sides, media), compare_states(written, sides))
    lines = [*itertools.islice(differences, MAX_LINES)]
    assert not lines, "\n".join(lines)


@pytest.mark.torture  # its bytes are compared by tests/render/test_authored.py
@pytest.mark.parametrize("name", mail_samples.NAMES)
def test_a_mail_without_tracking_looks_as_written(name: str, sides: tuple[Side, Side]) -> None:
    written, delivered = mail_samples.authored(name), mail_samples.delivered(name, tracked=False)
    differences = compare(written, delivered, sides, zip(WIDTHS, SCHEMES, strict=True))
    lines = [*itertools.islice(differences, MAX_LINES)]
    assert not lines, "\n".join(lines)


def compare(written: str, delivered: str, sides: tuple[Side, Side], media: Iterable[tuple[int, str]]) -> Iterator[str]:
    """Yield where the styles of two versions of a mail differ, at some widths and colour schemes."""
    for side, html in zip(sides, (written, delivered), strict=True):
        side.open(html)
    for width, scheme in media:
        if scheme != SCHEMES[0] and "color-scheme" not in (written + delivered).lower():
            continue  # nothing in them asks for it
        for side in sides:
            side.emulate(width, scheme)
        yield from _differences(f"{width} px, {scheme}", sides)


def compare_states(written: str, sides: tuple[Side, Side]) -> Iterator[str]:
    """Yield where the styles of two opened mails differ when their inputs are switched, and when they are hovered."""
    if "<input" in written.lower() or "<details" in written.lower():
        for side in sides:
            side.page.evaluate(SWITCH)
        yield from _differences("switched", sides)
    if _STATES.search(written):
        for side in sides:
            side.force_states()
        yield from _differences("hovered", sides)


def _differences(state: str, sides: tuple[Side, Side]) -> Iterator[str]:
    written, delivered = (side.hashes() for side in sides)
    if [line.split()[0] for line in written] != [line.split()[0] for line in delivered]:
        yield f"{state}: the elements are not the same ones"
        return
    for number, lines in enumerate(zip(written, delivered, strict=True)):
        if lines[0] != lines[1]:
            (element, expected), (_, actual) = (side.details(number) for side in sides)
            names = [name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name)]
            for name in sorted(names, key=_plainness)[:MAX_PROPERTIES]:
                yield f"{state}: {element}: {name} is {actual.get(name)}, not {expected.get(name)}"


def _plainness(name: str) -> tuple[bool, bool, int]:
    """Sort the properties that authors write in front of those that follow from them."""
    return name.startswith("::"), name.startswith("-") or "-inline" in name or "-block" in name, len(name)


@pytest.mark.parametrize("name", mail_samples.NAMES)
def test_the_open_pixel_takes_no_room(name: str, sides: tuple[Side, Side]) -> None:
    page = sides[1].page
    sides[1].open(mail_samples.delivered(name, tracked=True))
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        box = page.locator(f'img[src="{TRACKING.pixel}"]').bounding_box()
        assert box is None or (box["width"] <= 1 and box["height"] <= 1), box


SEEN = [
    ("<p>x</p>", '<p style="color: red">x</p>'),
    ("<style>p{color:red}</style><p>x</p>", "<style>p{color:blue}</style><p>x</p>"),
    ("<style>@media(max-width:480px){p{margin:0}}</style><p>x</p>", "<style></style><p>x</p>"),
    ("<style>@media(min-width:900px){p{margin:0}}</style><p>x</p>", "<style></style><p>x</p>"),
    ("<style>@media(prefers-color-scheme:dark){p{color:red}}</style><p>x</p>", "<style></style><p>x</p>"),
    ("<style>a:hover{color:lime}</style><a href='#'>x</a>", "<style>a:hover{}</style><a href='#'>x</a>"),
    (
        "<style>a:hover{color:lime}</style><a href='#'>x</a>",
        "<style>a:hover{color:red}</style><a style='color:blue' href='#'>x</a>",
    ),
    (
        "<style>:checked+p{color:red}</style><input type=checkbox><p>x</p>",
        "<style></style><input type=checkbox><p>x</p>",
    ),
    (
        "<style>#b:checked~p{color:red}</style><input type=radio name=a checked><input type=radio name=a id=b><p>x</p>",
        "<style></style><input type=radio name=a checked><input type=radio name=a id=b><p>x</p>",
    ),
    ("<style>p::before{content:'x'}</style><p>x</p>", "<style>p::before{content:'y'}</style><p>x</p>"),
    (
        "<style>p{opacity:1;animation:k 1s}@keyframes k{from{opacity:0}}</style><p>x</p>",
        "<style>p{opacity:1}</style><p>x</p>",
    ),
    ("<noscript><p>x</p></noscript>", "<noscript><p style='color:red'>x</p></noscript>"),
    ("<p>x</p>", "<p>x</p><p>y</p>"),
]


@pytest.mark.parametrize(("written", "delivered"), SEEN)
def test_the_comparison_sees_a_difference(written: str, delivered: str, sides: tuple[Side, Side]) -> None:
    media = tuple(itertools.product(WIDTHS, SCHEMES))
    assert [*compare(written, delivered, sides, media), *compare_states(written, sides)]
    assert not [*compare(written, written, sides, media), *compare_states(written, sides)]
