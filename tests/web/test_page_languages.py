"""Checks that every page for customers is in their language, and keeps it from page to page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from mailshot.customer_texts.language import LANGUAGES
from mailshot.store import dialect, pauses
from mailshot.store.engine import Store
from mailshot.store.tables import ConsentLog, Customer
from mailshot.tokens import Purpose
from mailshot.web.rate_limits import RequestLimits
from tests.customer_texts.test_catalogues import messages
from tests.support import customer_site
from tests.support.customer_site import ADA, PREFERENCES, RUN, UNSUBSCRIBE, mailbox, path
from tests.support.pages import OwnPage, form

TRANSLATED = [tag for tag in LANGUAGES if tag != "en"]
VIEW = path(Purpose.view, RUN, ADA, mailbox("ada@example.com"))
TEST_MAIL = path(Purpose.preferences, 0, 0, 0)
BROWSER = {"Accept": "text/html,application/xhtml+xml", "Accept-Language": "en-GB,en;q=0.9"}
#: Addresses of pages by what they show, with their status.
PAGES = {
    "preferences": (PREFERENCES, 200),
    "unsubscribe": (UNSUBSCRIBE, 200),
    "topics": (f"{UNSUBSCRIBE}/topics", 200),
    "data": (f"{PREFERENCES}/data", 200),
    "dead": ("/p/nothing", 404),
    "dead click": ("/c/nothing", 404),
    "no page": ("/archive/1/nothing", 404),
    "archive": ("/archive", 200),
    "mail ended": (VIEW, 410),
    "test mail": (TEST_MAIL, 200),
}
SHOP_TEXTS = {
    "de": ("Angebote der Woche", "Was essen Sie?", "Höchstens einmal in der Woche"),
    "fr": ("Offres de la semaine", "Que mangez-vous\u202f?", "Au plus une fois par semaine"),
    "es": ("Ofertas de la semana", "¿Qué come usted?", "Como mucho una vez a la semana"),
}


RECIPES = {
    "de": "Rezepte. Jeden zweiten Donnerstag ein Rezept der Saison, mit allem, was Sie dafür brauchen.",
    "fr": "Recettes. Une recette de saison un jeudi sur deux, avec ce qu’il vous faut pour la préparer.",  # noqa: RUF001
    "es": "Recetas. Una receta de temporada un jueves de cada dos, con lo que necesita para prepararla.",
}


def speaks(store: Store, tag: str | None) -> None:
    customer = dialect.table(Customer)
    with store.write() as connection:
        connection.execute(customer.update().values(language=tag))


def english_texts(page: str) -> list[str]:
    """Return our own English texts of two words or more that a page shows."""
    page_text = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
    sentences = [text for _, english, _ in messages("de") for text in english if " " in text and "%(" not in text]
    return [text for text in sentences if text in page_text]


def language_of(page: str) -> str:
    match = re.search(r'<html lang="([\w-]+)">', page)
    assert match
    return match[1]


@pytest.mark.parametrize("tag", TRANSLATED)
@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_in_the_language_that_was_asked_for(client: TestClient, name: str, tag: str) -> None:
    address, status = PAGES[name]
    answer = client.get(address, params={"lang": tag}, headers=BROWSER)
    assert answer.status_code == status
    assert (language_of(answer.text), answer.headers["content-language"]) == (tag, tag)
    assert answer.headers["vary"] == "Accept-Language"
    assert english_texts(answer.text) == []


def test_english_texts_are_found(client: TestClient) -> None:
    assert "Tell us what you would like. Your choices apply as soon as you save." in english_texts(
        client.get(PREFERENCES).text
    )


@pytest.mark.parametrize("tag", TRANSLATED)
def test_a_customers_own_language_comes_before_the_browsers(
    client: TestClient, look: customer_site.Look, tag: str
) -> None:
    speaks(look.store, tag)
    page = client.get(PREFERENCES, headers=BROWSER).text
    assert language_of(page) == tag
    for text in SHOP_TEXTS[tag]:
        assert text in page
    assert language_of(client.get(f"{PREFERENCES}?lang=en", headers=BROWSER).text) == "en"
    # An address of nobody: the browser decides, then the company.
    assert language_of(client.get("/p/nothing", headers=BROWSER).text) == "en"
    assert language_of(client.get("/p/nothing", headers={"Accept-Language": tag}).text) == tag


def test_the_companys_language_comes_last(look: customer_site.Look) -> None:
    site = customer_site.site(look.store, language="fr-CH")
    with TestClient(site, "http://127.0.0.1") as client:
        assert language_of(client.get(PREFERENCES, headers={"Accept-Language": "nb"}).text) == "fr"
        assert language_of(client.get(PREFERENCES, headers={"Accept-Language": "es"}).text) == "es"


def links(page: str) -> Iterator[str]:
    yield from (html.unescape(address) for address in re.findall(r'(?:href|action)="([^"#]+)"', page))


@pytest.mark.parametrize("name", ["preferences", "unsubscribe", "topics", "data"])
def test_every_link_and_form_keeps_the_language_that_was_asked_for(client: TestClient, name: str) -> None:
    address, _ = PAGES[name]
    page = client.get(f"{address}?lang=es").text
    own = [link for link in links(page) if not link.startswith(("/static/", "?lang=", "mailto:"))]
    assert all("lang=es" in link for link in own), own
    assert [link for link in links(page) if link.startswith("?lang=")] == [f"?lang={tag}" for tag in LANGUAGES]
    # Who asked for no language has none in the addresses.
    assert [link for link in links(client.get(address).text) if "lang=" in link.removeprefix("?lang=")] == []


@pytest.mark.parametrize("tag", TRANSLATED)
def test_saving_keeps_the_language(client: TestClient, look: customer_site.Look, tag: str) -> None:
    page = client.get(f"{PREFERENCES}?lang={tag}").text
    saved = client.post(f"{PREFERENCES}?lang={tag}", data=form(page) | {"topic.recipes": ["on"], "pause": ["30"]})
    assert saved.headers["location"] == f"{PREFERENCES}?saved=1&lang={tag}"
    saved = client.get(saved.headers["location"])
    assert language_of(saved.text) == tag
    assert english_texts(saved.text) == []
    with look.store.read() as connection:
        assert pauses.paused_until(connection, [ADA]) is not None
        log = dialect.table(ConsentLog)
        proof = connection.execute(log.select().where(log.c.topic == "recipes")).mappings().one()["proof"]
    # What the customer agreed to is what they read.
    assert proof["text"] == RECIPES[tag]


@pytest.mark.parametrize("tag", TRANSLATED)
def test_problems_are_explained_in_the_language_and_lead_to_the_answer(client: TestClient, tag: str) -> None:
    posted = {"say.diet": ["vegan", "everything"], "pause": ["30", "60"], "shown": ["{}"]}
    answer = client.post(f"{PREFERENCES}?lang={tag}", data=posted)
    assert answer.status_code == 422
    assert (language_of(answer.text), english_texts(answer.text)) == (tag, [])
    problems = answer.text.partition('role="alert"')[2].partition("</div>")[0]
    for control in re.findall(r'href="#([\w.]+)"', problems):
        assert f'id="{control}"' in answer.text
    assert sorted(re.findall(r'href="#([\w.]+)"', problems)) == ["pause", "say.diet"]
    assert SHOP_TEXTS[tag][1] in html.unescape(problems)


@pytest.mark.parametrize("tag", TRANSLATED)
def test_the_owners_page_is_in_the_language_and_can_change_it(
    client: TestClient, look: customer_site.Look, tag: str
) -> None:
    trait = {"label": "Vegetarian household", "words": "0 of 212", "hits": 0, "lines": 212, "usual": 21.3}
    with look.store.write() as connection:
        connection.execute(dialect.table(customer_site.Trait).update().values(evidence=trait))
    speaks(look.store, tag)
    page = OwnPage(client, look)
    assert (language_of(page.text), english_texts(page.text)) == (tag, [])
    assert {"de": "Vegetarisch", "fr": "Végétarien", "es": "Vegetariano"}[tag] in page.text
    assert {"de": "Vorname", "fr": "Prénom", "es": "Nombre"}[tag] in page.text
    assert re.search(r"212.*\b21\b", page.text)
    english = page.post("show?lang=en")
    assert language_of(english.text) == "en"
    assert f'action="{page.path}/save?lang=en"' in english.text
    saved = page.post("save?lang=en", whole=True)
    assert (language_of(saved.text), "Saved. These are your current choices." in saved.text) == ("en", True)
    erase = page.post("erase").text
    assert (language_of(erase), english_texts(erase)) == (tag, [])
    erased = page.post("erase", {"confirm": "erase"}).text
    assert "check" not in erased
    gone = client.get(PREFERENCES, headers={"Accept-Language": tag})
    assert (gone.status_code, language_of(gone.text), english_texts(gone.text)) == (410, tag, [])


@pytest.mark.parametrize("tag", TRANSLATED)
def test_unsubscribing_is_confirmed_in_the_language(client: TestClient, look: customer_site.Look, tag: str) -> None:
    speaks(look.store, tag)
    one_click = client.post(UNSUBSCRIBE, data={"List-Unsubscribe": "One-Click"})
    assert (language_of(one_click.text), english_texts(one_click.text)) == (tag, [])
    assert SHOP_TEXTS[tag][0] in one_click.text
    assert look.given(ADA, "offers") is False
    again = client.get(UNSUBSCRIBE)
    assert (language_of(again.text), english_texts(again.text)) == (tag, [])


@pytest.mark.parametrize("tag", TRANSLATED)
@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (403, {"Sec-Fetch-Site": "cross-site"}, b""),
        (413, {"Content-Length": "2000000"}, b""),
        (400, {"Content-Type": "application/x-www-form-urlencoded; charset=utf-7"}, b"a=b"),
    ],
)
def test_errors_are_pages_in_the_language_for_browsers(
    client: TestClient, status: int, headers: dict[str, str], body: bytes, tag: str
) -> None:
    answer = client.post(PREFERENCES, content=body, headers={**BROWSER, **headers, "Accept-Language": tag})
    assert answer.status_code == status
    assert (language_of(answer.text), english_texts(answer.text)) == (tag, [])
    plain = client.post(PREFERENCES, content=body, headers=headers)
    assert plain.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("tag", TRANSLATED)
def test_too_many_requests_are_refused_in_the_language(look: customer_site.Look, tag: str) -> None:
    site = customer_site.site(look.store, limits=RequestLimits(tokens="1/hour"))
    with TestClient(site, "http://127.0.0.1") as client:
        client.get(f"{PREFERENCES}?lang={tag}", headers=BROWSER)
        refused = client.get(f"{PREFERENCES}?lang={tag}", headers=BROWSER)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3600")
    assert (language_of(refused.text), english_texts(refused.text)) == (tag, [])


def test_the_language_of_an_address_cannot_break_out_of_it(client: TestClient) -> None:
    page = client.get(f'{PREFERENCES}?lang="><script>alert(1)</script>').text
    assert "alert(1)" not in page
    assert language_of(page) == "en"
