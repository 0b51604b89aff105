"""Checks every page for customers with axe-core, by keyboard alone and without script, in each language."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from mailshot.customer_texts import language
from mailshot.customer_texts.language import LANGUAGES
from mailshot.store import dialect, pauses, preferences
from mailshot.store.tables import Customer, Trait
from mailshot.tokens import Purpose
from tests.browser.conftest import Open, Watched
from tests.support import customer_site
from tests.support.customer_site import ADA, PREFERENCES, RUN, UNSUBSCRIBE, mailbox

VIEW = customer_site.path(Purpose.view, RUN, ADA, mailbox("ada@example.com"))
TEST_MAIL = customer_site.path(Purpose.preferences, 0, 0, 0)
FACTS = {"age": "45-54", "kids_count": "3+", "household_size": "5+"}
EVIDENCE = {"label": "Vegetarian household", "words": "0 of 212", "hits": 0, "lines": 212, "usual": 21.3}
#: Each language at one size and in one colour scheme: all four of each are seen.
LOOKS = [("en", 360, "light"), ("de", 360, "dark"), ("fr", 1280, "light"), ("es", 1280, "dark")]


def speak(open_site: Open, tag: str) -> None:
    customer, trait = dialect.table(Customer), dialect.table(Trait)
    with open_site.look.store.write() as connection:
        connection.execute(customer.update().values(language=tag, facts=FACTS, country="AT"))
        connection.execute(trait.update().values(evidence=EVIDENCE))


def text(tag: str, message: str, **values: object) -> str:
    """Return one of our texts in a language."""
    return language.choose(tag, None).gettext(message, **values)


def open_own_data(open_site: Open, page: Page) -> str:
    with open_site.look.store.write() as connection:
        path = customer_site.own_data(connection, ADA, "ada@example.com")
    page.goto(open_site.url + path)
    return path


def every_page(open_site: Open, page: Page, tag: str) -> Iterator[str]:
    """Show each page for customers in turn; after the last ones the customer has another address."""
    url = open_site.url

    def press(message: str) -> None:
        page.locator("main").get_by_role("button", name=text(tag, message), exact=True).click()

    for name, path in {"dead": "/p/nothing", "none": "/archive/1/x", "archive": "/archive", "test": TEST_MAIL}.items():
        page.goto(f"{url}{path}?lang={tag}")
        yield name
    page.goto(f"{url}{VIEW}")
    yield "mail ended"
    page.goto(url + PREFERENCES)
    yield "preferences"
    page.get_by_role("radio", name=text(tag, "Pause for %(days)s days", days=60)).check()
    press("Save my preferences")
    yield "preferences saved"
    page.goto(f"{url}{PREFERENCES}/data")
    yield "data"
    path = open_own_data(open_site, page)
    yield "link to the data"
    press("Open my data")
    yield "own data"
    press("Delete my data")
    yield "erase"
    page.locator("input[name=confirm]").evaluate("box => box.required = false")
    press("Delete my data")
    yield "erase unconfirmed"
    press("Go back")
    press("Save my preferences")
    yield "own data saved"
    press("Change my e-mail address")
    yield "address"
    page.locator("input[name=address]").fill("ada")
    page.locator("form[action*=address]").evaluate("form => form.noValidate = true")
    press("Send the link")
    yield "address with a problem"
    page.locator("input[name=address]").fill("ada@new.example")
    press("Send the link")
    yield "address asked"
    page.goto(url + path)
    yield "link used"
    page.goto(f"{url}{PREFERENCES}/data")
    press("Send me the link")
    yield "data later"
    page.goto(url + UNSUBSCRIBE)
    yield "unsubscribe"
    press("Unsubscribe")
    yield "unsubscribed"
    page.goto(f"{url}{UNSUBSCRIBE}/topics")
    yield "topics"
    link = open_site.look.address_link()
    page.goto(url + link)
    yield "new address"
    press("Use this address")
    yield "address changed"
    page.goto(url + link)
    yield "new address ended"


@pytest.mark.parametrize(("tag", "width", "scheme"), LOOKS)
def test_axe_finds_no_fault_on_any_page(open_site: Open, browser: Browser, tag: str, width: int, scheme: str) -> None:
    speak(open_site, tag)
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    faults: dict[str, list[str]] = {}
    for name in every_page(open_site, page, tag):
        expect(page.locator("html")).to_have_attribute("lang", tag)
        violations = Axe().run(page).response["violations"]
        faults[name] = [f"{v['id']}: {node['html'][:150]}" for v in violations for node in v["nodes"]]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
    assert len(faults) == 24
    assert {name: faults_of_page for name, faults_of_page in faults.items() if faults_of_page} == {}


def test_axe_looks_at_the_page_and_finds_a_fault(open_site: Open, watched: Watched) -> None:
    page = watched.page
    page.goto(open_site.url + PREFERENCES)
    page.locator("html").evaluate("element => element.removeAttribute('lang')")
    assert [violation["id"] for violation in Axe().run(page).response["violations"]] == ["html-has-lang"]


def tab_to(page: Page, control: Locator) -> None:
    """Press Tab until a control has the focus, and check that its focus can be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if control.evaluate("element => element === document.activeElement"):
            break
    expect(control).to_be_focused()
    outlined = "e => [e, e.nextElementSibling].some(x => x && getComputedStyle(x).outlineStyle === 'solid')"
    assert control.evaluate(outlined)


@pytest.mark.parametrize("tag", LANGUAGES)
def test_the_page_can_be_used_with_the_keyboard_alone(open_site: Open, watched: Watched, tag: str) -> None:
    page, shop_text = watched.page, language.choose(tag, None).shop_text
    diet, offers = customer_site.STATEMENTS.by_name["diet"], customer_site.TOPICS.get("offers")
    question = page.get_by_role("group", name=shop_text(diet.title))
    page.goto(open_site.url + PREFERENCES)
    tab_to(page, page.get_by_role("link", name=LANGUAGES[tag]))
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("lang", tag)
    tab_to(page, page.get_by_role("radio", name=text(tag, "No pause")))
    page.keyboard.press("ArrowDown")
    tab_to(page, page.get_by_role("switch", name=shop_text(offers.title)))
    page.keyboard.press("Space")
    tab_to(page, question.get_by_role("radio", name=text(tag, "Keep as it is")))
    page.keyboard.press("ArrowDown")
    expect(question.get_by_role("radio", name=shop_text(diet.values["everything"]), exact=True)).to_be_checked()
    tab_to(page, page.get_by_role("button", name=text(tag, "Save my preferences")))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text(text(tag, "Saved. Your choices apply from now on."))
    assert open_site.look.given(ADA, "offers") is False
    with open_site.look.store.read() as connection:
        assert pauses.paused_until(connection, [ADA]) is not None
        assert preferences.stated_answers(connection, ADA) == {("diet", "everything"): True}
    assert watched.complaints == []


@pytest.mark.parametrize("tag", LANGUAGES)
def test_nothing_needs_a_script(open_site: Open, browser: Browser, tag: str) -> None:
    speak(open_site, tag)
    context = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto(open_site.url + PREFERENCES)
    page.get_by_role("radio", name=text(tag, "Pause for %(days)s days", days=90)).check()
    page.get_by_role("button", name=text(tag, "Save my preferences")).click()
    expect(page.get_by_role("status")).to_contain_text(text(tag, "Saved. Your choices apply from now on."))
    open_own_data(open_site, page)
    page.get_by_role("button", name=text(tag, "Open my data")).click()
    other = next(known for known in LANGUAGES if known != tag)
    page.get_by_role("button", name=LANGUAGES[other], exact=True).click()
    expect(page.locator("html")).to_have_attribute("lang", other)
    page.get_by_role("radio", name=text(other, "That is wrong")).check()
    page.get_by_role("button", name=text(other, "Save my preferences")).click()
    expect(page.get_by_role("status")).to_contain_text(text(other, "Saved. These are your current choices."))
    with open_site.look.store.read() as connection:
        assert preferences.stated_answers(connection, ADA) == {("diet", "vegetarian"): False}
    page.get_by_role("button", name=text(other, "Unsubscribe from everything")).click()
    expect(page.get_by_role("status")).to_be_visible()
    assert open_site.look.given(ADA, "offers") is False
    context.close()
