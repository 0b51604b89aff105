"""A click leads to where Chromium goes from the link that the author wrote."""

from __future__ import annotations

import re

from playwright.sync_api import Browser

from tests.render.material import TRACKING, compile_body, values
from tests.render.test_links import PAGE, WRITTEN

ADDRESSES = "[...document.querySelectorAll('a')].map(link => link.href)"
PARSED = "urls => urls.map(url => new URL(url).href)"
ENCODED = re.compile("%(5B|5C|5D|5E|7B|7C|7D)")


def test_clicks_lead_to_where_the_browser_goes(browser: Browser) -> None:
    elements = [f'<a href="{written}">x</a>' for written in WRITTEN]
    clicked = [compile_body(PAGE.format(element)).render(values(), TRACKING).links[0].url for element in elements]
    page = browser.new_page()
    page.set_content(PAGE.format("".join(elements)))
    authored, parsed = page.evaluate(ADDRESSES), page.evaluate(PARSED, clicked)
    page.close()
    assert [_decoded(url) for url in parsed] == [_decoded(url) for url in authored]


def _decoded(url: str) -> str:
    """Decode what Chromium leaves as it is and RFC 3986 wants encoded."""
    return ENCODED.sub(lambda match: chr(int(match[1], 16)), url)
