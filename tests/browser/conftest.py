"""Fixtures with a real Chromium; without one, tests are skipped with a warning, and fail on CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Dialog, Page, Request, sync_playwright

from mailshot.store.engine import Store
from mailshot.web import server
from tests.support import customer_site


def chromium() -> str:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    path = path or shutil.which("google-chrome")
    if path:
        return path
    if os.environ.get("CI"):
        pytest.fail("No Chromium found; CI must have one (set CHROMIUM).")
    pytest.skip("NO CHROMIUM FOUND: the pages were not looked at (set CHROMIUM)")


# Not for the whole session: an event loop runs in this thread as long as it is open.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass
class Watched:
    """A page, and everything its browser complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    seen = Watched(context.new_page())
    context.on("console", lambda message: seen.complaints.append(f"{message.type}: {message.text}"))
    context.on("weberror", lambda error: seen.complaints.append(str(error.error)))
    context.on("dialog", lambda dialog: _dismiss(seen, dialog))
    context.on("requestfinished", lambda request: _note_foreign(seen, request))
    context.on("requestfailed", lambda request: _note_foreign(seen, request))
    yield seen
    context.close()


def _dismiss(seen: Watched, dialog: Dialog) -> None:
    seen.dialogs.append(dialog.message)
    dialog.dismiss()


def _note_foreign(seen: Watched, request: Request) -> None:
    """Note what left for elsewhere; what the page's policy stopped in the browser never did."""
    if not request.url.startswith("http://127.0.0.1:") and request.failure != "csp":
        seen.foreign.append(f"{request.url} {request.failure}")


@dataclass(frozen=True)
class Open:
    """The customer site on a port, and its rows."""

    url: str
    look: customer_site.Look


@pytest.fixture
def open_site(store: Store) -> Iterator[Open]:
    customer_site.seed(store)
    port = customer_site.free_port()
    site = server.ThreadedServer(customer_site.site(store), "127.0.0.1", port)
    site.start()
    yield Open(f"http://127.0.0.1:{port}", customer_site.Look(store))
    site.stop()
