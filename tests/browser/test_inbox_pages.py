"""Uses the inbox in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from mailshot import inbox
from tests.browser.conftest import Open, Watched
from tests.support import customer_site

HTML = """<!doctype html><html><head><title>x</title></head><body><h1>Hello Ada</h1>
<a href="{click}">To the shop</a> <img src="{pixel}" width="1" height="1" alt="">
<script>alert(1)</script><img src="https://evil.example/x.png" onerror="alert(2)"><iframe src="https://evil.example"></iframe>
<form action="https://evil.example"><button>Send</button></form><svg onload="alert(3)"></svg>
<a href="javascript:alert(4)">Bad</a><meta http-equiv="refresh" content="0;url=https://evil.example/"></body></html>"""


@pytest.fixture
def letter(open_site: Open, tmp_path: Path) -> Iterator[str]:
    """Give the address of one caught mail, full of what a mail must not do."""
    port = customer_site.free_port()
    running = inbox.Inbox(customer_site.free_port(), port, tmp_path / "inbox")
    running.start()
    body = HTML.format(click=open_site.url + customer_site.CLICK, pixel=open_site.url + customer_site.PIXEL)
    head = (
        "From: Greenleaf <offers@example.com>\r\nTo: ada@example.com\r\nSubject: <img src=x onerror=alert(5)> figs\r\n"
        f"List-Unsubscribe: <{open_site.url}{customer_site.UNSUBSCRIBE}>\r\n"
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    )
    running.box.add("offers@example.com", ["ada@example.com"], (head + body).encode())
    yield f"http://127.0.0.1:{port}"
    running.stop()


def test_a_mail_is_shown_and_nothing_in_it_runs(letter: str, open_site: Open, watched: Watched) -> None:
    page = watched.page
    page.goto(letter)
    page.get_by_role("link", name="figs").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Hello Ada")).to_be_visible()
    for view in ("Phone", "Links", "Source", "Desktop"):
        page.get_by_role("link", name=view, exact=True).click()
        expect(page.get_by_role("link", name=view, exact=True)).to_have_attribute("aria-current", "page")
    expect(frame.get_by_role("heading", name="Hello Ada")).to_be_visible()
    assert watched.dialogs == []
    assert watched.foreign == []
    # The policy was what stopped it: the browser says so.
    assert any("Content Security Policy" in complaint for complaint in watched.complaints)
    assert page.url.startswith(letter)
    assert [row["kind"] for row in open_site.look.feedback()][:1] == ["opened"]


def test_the_button_unsubscribes(letter: str, open_site: Open, watched: Watched) -> None:
    page = watched.page
    page.goto(letter)
    page.get_by_role("link", name="figs").click()
    page.get_by_role("button", name="One-click unsubscribe").click()
    expect(page.get_by_role("status")).to_contain_text("Unsubscribed")
    assert open_site.look.given(customer_site.ADA, "offers") is False
