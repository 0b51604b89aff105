"""Signs up in a real browser: by keyboard, without scripts, in every language, on a phone and on a desktop."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from mailshot.customer_texts.language import LANGUAGES
from mailshot.store import sign_ups
from mailshot.store.engine import Store
from mailshot.store.sign_ups import SIGN_UP
from mailshot.tokens import Purpose
from mailshot.web import server
from mailshot.web.site import SignUpSettings
from tests.browser.conftest import Open
from tests.support import customer_site
from tests.support.customer_site import KEYS

SENDER = {"name": "Greenleaf Market", "address": "hello@greenleaf.example.com", "reply_to": None, "brand": "",
          "postal_address": "12 Orchard Lane"}  # fmt: skip
FORM = """<!doctype html><title>Shop</title><form method="post" action="{url}/signup">
<input type="hidden" name="lang" value="fr"><input type="hidden" name="topic" value="offers">
<label>E-mail <input name="email" type="email"></label><button>Go</button></form>"""


@pytest.fixture
def signup_site(store: Store) -> Iterator[Open]:
    customer_site.seed(store)
    port = customer_site.free_port()
    settings = SignUpSettings(SENDER, least_age=timedelta())
    site = server.ThreadedServer(customer_site.site(store, sign_up=settings), "127.0.0.1", port)
    site.start()
    yield Open(f"http://127.0.0.1:{port}", customer_site.Look(store))
    site.stop()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_visitor_signs_up_by_keyboard_and_without_scripts(
    signup_site: Open, browser: Browser, tag: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 740}, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{signup_site.url}/signup?lang={tag}")
    focus(page, page.locator("#email"))
    page.keyboard.type("nina@example.com")
    focus(page, page.get_by_role("switch").first)
    page.keyboard.press("Space")
    focus(page, page.locator("form button"))
    fits(page, width)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).not_to_be_empty()
    expect(page.locator("form")).to_have_count(0)
    assert page.locator("html").get_attribute("lang") == tag
    page.goto(signup_site.url + link(signup_site))
    fits(page, width)
    focus(page, page.locator("form button"))
    page.keyboard.press("Enter")
    expect(page.locator(".seal.done")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == tag
    context.close()
    with signup_site.look.store.read() as connection:
        (customer,) = sign_ups.customers_at(connection, newest(signup_site).address_hash)
    assert signup_site.look.given(customer, "offers") is True


@pytest.mark.parametrize(("tag", "width", "scheme"), [("de", 360, "dark"), ("en", 1280, "light")])
def test_axe_finds_no_fault_on_any_page(
    signup_site: Open, browser: Browser, tag: str, width: int, scheme: Literal["dark", "light"]
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 740}, color_scheme=scheme)
    page, faults = context.new_page(), {}

    def examine(name: str) -> None:
        expect(page.locator("html")).to_have_attribute("lang", tag)
        violations = Axe().run(page).response["violations"]
        faults[name] = [f"{v['id']}: {node['html'][:150]}" for v in violations for node in v["nodes"]]

    page.goto(f"{signup_site.url}/signup?lang={tag}")
    examine("form")
    page.locator("#email").fill("nina@example.com")
    page.locator("form button").click()
    examine("form with a problem")
    page.get_by_role("switch").first.check()
    page.locator("form button").click()
    examine("asked")
    page.goto(signup_site.url + link(signup_site))
    examine("confirmation")
    page.locator("form button").click()
    examine("confirmed")
    page.goto(f"{signup_site.url}/signup/confirm/nothing?lang={tag}")
    examine("no such link")
    context.close()
    assert len(faults) == 6
    assert {name: violations for name, violations in faults.items() if violations} == {}


def test_a_wrong_entry_is_named_and_led_to(signup_site: Open, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(f"{signup_site.url}/signup")
    page.get_by_label("Your e-mail address").fill("nina@example.com")
    page.get_by_role("button", name="Send me the link").click()
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("Please choose at least one topic.")
    expect(page.get_by_label("Your e-mail address")).to_have_value("nina@example.com")
    problem.get_by_role("link").click()
    assert page.url.endswith("#topic")
    page.close()


def test_the_form_works_on_another_site(signup_site: Open, browser: Browser) -> None:
    page = browser.new_page()
    page.route("http://shop.example/**", lambda route: route.fulfill(content_type="text/html", body=FORM.format(url=signup_site.url)))  # fmt: skip  # noqa: E501
    page.goto("http://shop.example/about")
    page.get_by_label("E-mail").fill("nina@example.com")
    page.get_by_role("button", name="Go").click()
    expect(page.locator("h1")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "fr"
    assert newest(signup_site).email == "nina@example.com"
    page.close()


def focus(page: Page, target: object) -> None:
    """Press Tab until the target has the focus; the hidden field never gets it."""
    for _ in range(20):
        page.keyboard.press("Tab")
        assert page.locator("input[name=website]:focus").count() == 0
        if target.and_(page.locator(":focus")).count():  # type: ignore[attr-defined]
            return
    raise AssertionError("the keyboard does not reach it")


def fits(page: Page, width: int) -> None:
    """Nothing is wider than the screen, and what can be touched is large enough."""
    box = page.locator("main").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= width
    for target in page.locator("form button, form input:not([type=hidden]):not([name=website])").all():
        size = target.bounding_box()
        assert size is not None
        assert size["height"] >= 24, target


def newest(site: Open) -> sign_ups.SignUp:
    with site.look.store.read() as connection:
        row = connection.execute(select(SIGN_UP).order_by(SIGN_UP.c.id.desc())).first()
    assert row is not None
    return sign_ups.SignUp(**row._mapping)


def link(site: Open) -> str:
    row = newest(site)
    assert row.id is not None
    return f"/signup/confirm/{KEYS.sign(Purpose.signup, row.id, sign_ups.mailbox_number(row.address_hash))}"
