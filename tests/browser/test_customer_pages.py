"""Uses the customer pages in a real browser."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser, Page, expect

from mailshot.store import dialect, preferences
from mailshot.store.tables import Customer, Trait
from tests.browser.conftest import Open, Watched
from tests.support.customer_site import ADA, PREFERENCES, UNSUBSCRIBE, own_data

XSS = '"><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)><svg onload=alert(3)>'


def data_page(open_site: Open, page: Page) -> None:
    """Open the page of Ada's own data, as the link in her mail does."""
    with open_site.look.store.write() as connection:
        path = own_data(connection, ADA, "ada@example.com")
    page.goto(open_site.url + path)
    page.get_by_role("button", name="Open my data").click()
    # A click does not wait for the page it opens, and between two pages there is no document to measure.
    expect(page.get_by_role("button", name="Download my data")).to_be_visible()


def test_a_customer_changes_topics_and_answers_from_a_mail(open_site: Open, watched: Watched) -> None:
    page = watched.page
    page.goto(open_site.url + PREFERENCES)
    expect(page.get_by_role("heading", name="Your preferences")).to_be_visible()
    page.get_by_role("switch", name="Recipes").check()
    page.get_by_role("switch", name="Weekly offers").uncheck()
    page.get_by_role("radio", name="Vegan").check()
    page.get_by_role("button", name="Save my preferences").click()
    expect(page.get_by_role("status")).to_contain_text("Saved")
    expect(page.get_by_role("switch", name="Recipes")).to_be_checked()
    expect(page.get_by_role("radio", name="Vegan")).not_to_be_checked()
    assert open_site.look.given(ADA, "recipes") is True
    assert open_site.look.given(ADA, "offers") is False
    with open_site.look.store.read() as connection:
        assert preferences.stated_answers(connection, ADA) == {("diet", "vegan"): True}
    assert watched.complaints == []
    assert watched.foreign == []


def test_a_customer_requests_a_link_to_their_data(open_site: Open, watched: Watched) -> None:
    page = watched.page
    page.goto(open_site.url + PREFERENCES)
    page.get_by_role("link", name="See, download or delete my data").click()
    page.get_by_role("button", name="Send me the link").click()
    expect(page.get_by_role("heading", name="Check your inbox")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="You can request another link later")).to_be_visible()
    assert watched.complaints == []


def test_the_owner_corrects_a_conclusion_and_downloads_everything(open_site: Open, watched: Watched) -> None:
    page = watched.page
    data_page(open_site, page)
    expect(page.get_by_role("heading", name="Hello Ada")).to_be_visible()
    card = page.get_by_role("group", name="Vegetarian household")
    expect(card).to_contain_text("0 meat lines of 212 food lines")
    card.get_by_role("radio", name="That is wrong").check()
    page.get_by_role("button", name="Save my preferences").click()
    expect(page.get_by_role("status")).to_contain_text("Saved")
    expect(page.get_by_role("radio", name="That is wrong")).to_be_checked()
    with open_site.look.store.read() as connection:
        assert preferences.stated_answers(connection, ADA) == {("diet", "vegetarian"): False}
    with page.expect_download() as download:
        page.get_by_role("button", name="Download for programs (JSON)").click()
    held = json.loads(download.value.path().read_text())
    assert held["customer"][0]["email"] == "ada@example.com"
    assert watched.complaints == []
    assert watched.foreign == []


def test_a_pause_can_be_ended(open_site: Open, watched: Watched) -> None:
    page = watched.page
    page.goto(open_site.url + PREFERENCES)
    page.get_by_role("radio", name="Pause for 30 days").check()
    page.get_by_role("button", name="Save my preferences").click()
    page.get_by_role("radio", name="End the pause").check()
    page.get_by_role("button", name="Save my preferences").click()
    expect(page.get_by_role("radio", name="No pause")).to_be_checked()


def test_unsubscribing_takes_one_button(open_site: Open, watched: Watched) -> None:
    page = watched.page
    page.goto(open_site.url + UNSUBSCRIBE)
    assert open_site.look.given(ADA, "offers") is True
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_role("heading", name="You are unsubscribed")).to_be_visible()
    assert open_site.look.given(ADA, "offers") is False
    page.get_by_role("link", name="See all topics").click()
    expect(page.get_by_role("switch", name="Weekly offers")).not_to_be_checked()
    assert watched.complaints == []


def test_erasing_asks_twice(open_site: Open, watched: Watched) -> None:
    page = watched.page
    data_page(open_site, page)
    page.get_by_role("button", name="Delete my data").click()
    page.get_by_role("button", name="Delete my data").click()
    assert "ada@example.com" in str(open_site.look.everything())
    page.get_by_role("checkbox", name="Yes, delete everything").check()
    page.get_by_role("button", name="Delete my data").click()
    expect(page.get_by_role("heading", name="Your data is deleted")).to_be_visible()
    assert "ada@example.com" not in str(open_site.look.everything())
    assert watched.complaints == []


def test_foreign_text_never_runs(open_site: Open, watched: Watched) -> None:
    customer, trait = dialect.table(Customer), dialect.table(Trait)
    with open_site.look.store.write() as connection:
        connection.execute(customer.update().values(first_name=XSS))
        connection.execute(trait.update().values(evidence={"label": XSS, "words": XSS}, value=XSS))
    page = watched.page
    data_page(open_site, page)
    expect(page.get_by_role("heading", level=1)).to_contain_text("alert(1)")
    page.get_by_role("radio", name="That is wrong").check()
    page.get_by_role("button", name="Save my preferences").click()
    expect(page.get_by_role("status")).to_contain_text("Saved")
    assert (watched.dialogs, watched.foreign, watched.complaints) == ([], [], [])


@pytest.mark.parametrize("width", [320, 360, 700, 1200])
def test_no_page_is_wider_than_its_window(open_site: Open, browser: Browser, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 700})
    page = context.new_page()
    for path in (PREFERENCES, UNSUBSCRIBE, f"{UNSUBSCRIBE}/topics", f"{PREFERENCES}/data", ""):
        if path:
            page.goto(open_site.url + path)
        else:
            data_page(open_site, page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        small = (
            "[...document.querySelectorAll('button, label')].filter(e => e.getBoundingClientRect().height < 30).length"
        )
        assert page.evaluate(small) == 0
    context.close()
