"""Checks the preference page of a mail and the owner's page."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from mailshot import documents
from mailshot.facts import catalogue
from mailshot.states import AnswerState
from mailshot.store import dialect, preferences
from mailshot.store.answers import ANSWER
from mailshot.store.tables import Customer, Trait
from mailshot.tokens import Purpose
from tests.support import customer_site
from tests.support.answers import say
from tests.support.customer_site import ADA, PREFERENCES, RUN
from tests.support.pages import OwnPage, form

SUFFIXES = (
    (Path(__file__).parents[1] / "inputs/W04-unsubscribe-suffixes.txt").read_text(encoding="utf-8").splitlines()[1:]
)


def stated(look: customer_site.Look) -> dict[tuple[str, str], bool]:
    with look.store.read() as connection:
        return preferences.stated_answers(connection, ADA)


def test_the_page_shows_conclusions_with_their_evidence(client: TestClient, look: customer_site.Look) -> None:
    page = OwnPage(client, look).text
    for phrase in (
        "Hello Ada",
        "Weekly offers",
        "About your orders",
        "Vegetarian household",
        "0 meat lines of 212 food lines",
        "We are almost certain",
        "That is wrong",
    ):
        assert phrase in page
    assert form(page).keys() >= {"topic.offers", "topic.service", "tracking", "shown"}
    assert "topic.recipes" not in form(page)


def known(page: str) -> dict[str, str]:
    """Return what the page tells the customer that we know, by its label."""
    return {
        html.unescape(label): html.unescape(value)
        for label, value in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page, re.DOTALL)
    }


FACTS_FILE = """
customer:
  age: {type: text, title: Age group, help: "Age group, as in '45-54'"}
  kids_count: {type: text, help: "0 to 3+"}
  birthday: {type: date, help: "As in 1990-02-01"}
  newsletter_on_paper: {type: boolean, title: "Paper <letter>", help: "true or false"}
  visits: {type: number, unit: times, help: "Count"}
  spent: {type: number, unit: NOK}
  margin: {type: number, hidden: yes, help: "Internal score"}
"""
KEPT = {
    "age": "45-54",
    "kids_count": "<3+>",
    "birthday": "1990-02-01",
    "newsletter_on_paper": False,
    "visits": 1234,
    "spent": 12.5,
    "margin": 7,
    "forgotten": "x",
    "income": 7,
}


def test_the_page_shows_facts_formatted_for_the_customer(look: customer_site.Look) -> None:
    customer = dialect.table(Customer)
    row = {"facts": KEPT, "country": "NO", "language": "pt-BR", "joined_at": datetime(2026, 3, 31, 22, 30, tzinfo=UTC)}
    with look.store.write() as connection:
        connection.execute(customer.update().where(customer.c.id == ADA).values(**row))
    facts = catalogue.read(documents.parse_document(FACTS_FILE, "rules/facts.yaml"))
    with TestClient(
        customer_site.site(look.store, facts=facts, zone=ZoneInfo("Europe/Oslo")), "http://127.0.0.1"
    ) as client:
        page = OwnPage(client, look).text
    assert known(page) == {
        "Customer number": "K7",
        "E-mail address": "ada@example.com",
        "First name": "Ada",
        "Language": "Portuguese (Brazil)",
        "Country": "Norway",
        "With us since": "April 1, 2026",
        "Age group": "45-54",
        "Kids count": "<3+>",
        "Birthday": "February 1, 1990",
        "Paper <letter>": "no",
        "Visits": "1,234 times",
        "Spent": "12.50 NOK",
    }
    for internal in ("as in", "BCP 47", "ISO", "IANA", "true or false", "Internal", "margin", "forgotten"):
        assert internal not in page


def test_the_help_of_no_fact_of_the_example_shop_is_shown(client: TestClient, look: customer_site.Look) -> None:
    customer = dialect.table(Customer)
    facts = {name: "some" for name, fact in customer_site.CATALOGUE.customer.items() if fact.own}
    with look.store.write() as connection:
        connection.execute(customer.update().where(customer.c.id == ADA).values(facts=facts, country="Q7"))
    page = OwnPage(client, look).text
    assert {"Yearly income", "Home", "People at home", "Who lives there"} <= known(page).keys()
    assert known(page)["Country"] == "Q7"
    for fact in [fact for fact in customer_site.CATALOGUE.customer.values() if fact.help != fact.label]:
        assert html.escape(fact.help) not in page


def test_everything_is_saved_at_once_and_shown(client: TestClient, look: customer_site.Look) -> None:
    page = OwnPage(client, look)
    sent = page.form
    del sent["tracking"]
    more = {"topic.recipes": ["on"], "say.frequency": ["weekly"], "judge.diet.vegetarian": ["wrong"]}
    answer = client.post(f"{page.path}/save", data=sent | more)
    assert (answer.status_code, "Saved" in answer.text) == (200, True)
    assert look.given(ADA, "recipes") is True
    assert look.given(ADA, "tracking") is False
    assert stated(look) == {("frequency", "weekly"): True, ("diet", "vegetarian"): False}
    assert form(answer.text)["judge.diet.vegetarian"] == ["wrong"]
    (row,) = look.feedback()
    changes = {"recipes": True, "tracking": False, "frequency: weekly": True, "diet: vegetarian": False}
    assert (row["kind"], row["detail"]) == ("preference_changed", {"changes": changes})


def test_a_mails_page_saves_topics_and_answers_and_shows_no_answer(
    client: TestClient, look: customer_site.Look
) -> None:
    sent = form(client.get(PREFERENCES).text)
    assert not {name for name in sent if name.startswith("judge.")}
    sent |= {"topic.recipes": ["on"], "say.diet": ["vegan"], "judge.diet.vegetarian": ["wrong"]}
    answer = client.post(PREFERENCES, data=sent)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PREFERENCES}?saved=1")
    page = client.get(answer.headers["location"]).text
    assert "Saved" in page
    assert look.given(ADA, "recipes") is True
    assert stated(look) == {("diet", "vegan"): True}
    assert form(page)["say.diet"] == [""]


def test_an_answer_can_be_withdrawn_without_seeing_it(client: TestClient, look: customer_site.Look) -> None:
    client.post(PREFERENCES, data={"say.diet": "vegan", "say.frequency": "weekly"})
    client.post(PREFERENCES, data=form(client.get(PREFERENCES).text))
    assert stated(look) == {("diet", "vegan"): True, ("frequency", "weekly"): True}
    client.post(PREFERENCES, data=form(client.get(PREFERENCES).text) | {"forget.diet": ["on"]})
    assert stated(look) == {("frequency", "weekly"): True}
    more = {"forget.frequency": ["on"], "say.frequency": ["monthly"]}
    client.post(PREFERENCES, data=form(client.get(PREFERENCES).text) | more)
    assert stated(look) == {("frequency", "monthly"): True}
    with look.store.read() as connection:
        history = connection.execute(select(ANSWER).order_by(ANSWER.c.at, ANSWER.c.value.desc())).mappings().all()
    assert {(row["source"], row["by"], row["run_id"]) for row in history} == {("preference page", "customer", RUN)}
    assert sorted((row["question"], row["value"], row["state"]) for row in history) == [
        ("diet", "vegan", "unsaid"),
        ("diet", "vegan", "yes"),
        ("frequency", "monthly", "yes"),
        ("frequency", "weekly", "unsaid"),
        ("frequency", "weekly", "yes"),
    ]
    exported = OwnPage(client, look).post("export").json()["answer"]
    assert sorted(row["at"] for row in exported) == [row["at"].isoformat() for row in history]


def test_saving_the_same_again_changes_nothing(client: TestClient, look: customer_site.Look) -> None:
    sent = form(client.get(PREFERENCES).text) | {"topic.recipes": ["on"], "say.diet": ["vegan"]}
    client.post(PREFERENCES, data=sent)
    before = look.everything()
    for _ in range(3):
        assert client.post(PREFERENCES, data=sent).status_code == 303
    assert look.everything() == before


def test_one_choice_replaces_the_other(client: TestClient, look: customer_site.Look) -> None:
    page = OwnPage(client, look)
    page.post("save", {"judge.diet.vegetarian": ["right"]}, whole=True)
    assert stated(look) == {("diet", "vegetarian"): True}
    assert page.form["say.diet"] == ["vegetarian"]
    page.post("save", {"say.diet": ["no_pork"]}, whole=True)
    assert stated(look) == {("diet", "no_pork"): True}
    assert "You told us: No pork. That is what counts." in page.text


def test_a_vegan_is_a_vegetarian_and_nothing_but_the_answer_is_kept(
    client: TestClient, look: customer_site.Look
) -> None:
    page = OwnPage(client, look)
    for answer in ("vegetarian", "vegan"):
        page.post("save", {"say.diet": [answer]}, whole=True)
    assert stated(look) == {("diet", "vegan"): True}
    assert "You told us: Vegan. That includes this." in page.text
    page.post("save", {"judge.diet.vegetarian": ["right"]}, whole=True)
    assert stated(look) == {("diet", "vegan"): True}
    page.post("save", {"judge.diet.vegetarian": ["wrong"]}, whole=True)
    assert stated(look) == {("diet", "vegetarian"): False}


def test_a_vegan_becomes_a_vegetarian_on_the_page_that_hides_the_answers(
    client: TestClient, look: customer_site.Look
) -> None:
    for answer in ("vegan", "vegetarian", "vegan", "no_pork"):
        client.post(PREFERENCES, data=form(client.get(PREFERENCES).text) | {"say.diet": [answer]})
        assert stated(look) == {("diet", answer): True}


def test_an_old_page_does_not_subscribe_again(client: TestClient, look: customer_site.Look) -> None:
    old = form(client.get(PREFERENCES).text)
    client.post(customer_site.UNSUBSCRIBE, data={"List-Unsubscribe": "One-Click"})
    client.post(PREFERENCES, data=old | {"say.diet": ["vegan"]})
    assert look.given(ADA, "offers") is False
    assert stated(look) == {("diet", "vegan"): True}


def test_switching_a_topic_off_is_an_unsubscribe(client: TestClient, look: customer_site.Look) -> None:
    sent = form(client.get(PREFERENCES).text)
    del sent["topic.offers"]
    client.post(PREFERENCES, data=sent)
    assert [(row["kind"], row["run_id"]) for row in look.feedback()] == [
        ("preference_changed", customer_site.RUN),
        ("unsubscribed", customer_site.RUN),
    ]


def test_a_contradiction_is_explained_and_nothing_is_saved(client: TestClient, look: customer_site.Look) -> None:
    page = OwnPage(client, look)
    before, sent = look.everything(), page.form
    more = {"say.diet": ["everything"], "judge.diet.vegetarian": ["right"], "topic.recipes": ["on"]}
    answer = page.post("save", more, whole=True)
    assert answer.status_code == 422
    assert "contradict each other: “Everything”, “Vegetarian”" in html.unescape(answer.text)
    assert look.everything() == before
    again = form(answer.text)
    assert (again["say.diet"], again["topic.recipes"]) == (["everything"], ["on"])
    assert json.loads(again["shown"][0]) == json.loads(sent["shown"][0])


def test_two_answers_to_a_single_choice_are_rejected(client: TestClient, look: customer_site.Look) -> None:
    before = look.everything()
    answer = client.post(PREFERENCES, data={"shown": "{}", "say.diet": ["vegan", "everything"]})
    assert (answer.status_code, "Please choose one" in answer.text) == (422, True)
    assert look.everything() == before


@pytest.mark.parametrize("shown", ["", "{", "[]", "7", '{"topic.offers": 7}', '{"a": null}', "[" * 90000])
def test_a_page_without_its_shown_values_is_compared_with_the_database(
    client: TestClient, look: customer_site.Look, shown: str
) -> None:
    assert client.post(PREFERENCES, data={"shown": shown, "topic.recipes": "on"}).status_code == 303
    assert look.given(ADA, "recipes") is True
    assert look.given(ADA, "offers") is False


def test_an_unknown_customer_is_not_found(client: TestClient) -> None:
    assert client.get(customer_site.path(Purpose.preferences, customer_site.RUN, 99, 1)).status_code == 404


XSS = ["<script>alert(1)</script>", '"><img src=x onerror=a()>', "'-alert(1)-'", "{{7*7}}", "</title><svg onload=a()>"]


@pytest.mark.parametrize("payload", XSS)
def test_foreign_text_is_shown_and_never_run(client: TestClient, look: customer_site.Look, payload: str) -> None:
    customer, trait = dialect.table(Customer), dialect.table(Trait)
    with look.store.write() as connection:
        connection.execute(customer.update().where(customer.c.id == ADA).values(first_name=payload))
        evidence = {"label": payload, "words": payload}
        connection.execute(trait.update().values(evidence=evidence, value=payload))
        say(connection, ADA, payload, payload, datetime.now(UTC), AnswerState.no, "import")
    own = OwnPage(client, look)
    page = own.text
    assert html.escape(payload) == payload or payload not in page
    assert page.count(html.escape(payload).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")) >= 4
    assert "<script" not in page
    assert own.post("save", {f"judge.diet.{payload}": ["wrong"]}, whole=True).status_code == 200
    assert stated(look)[("diet", payload)] is False


@pytest.mark.parametrize("suffix", [*SUFFIXES, "//", "%3C/a%3E", "%22", "]", "/.", "-", ">%0D%0A"])
def test_a_link_with_something_appended_works(client: TestClient, look: customer_site.Look, suffix: str) -> None:
    answer = client.get(f"{PREFERENCES}{suffix}")
    assert answer.status_code == 200
    assert f'action="{PREFERENCES}"' in answer.text
    assert f'href="{PREFERENCES}/data"' in answer.text
    saved = client.post(f"{PREFERENCES}{suffix}", data={"shown": "{}", "topic.recipes": "on"})
    assert (saved.status_code, saved.headers["location"]) == (303, f"{PREFERENCES}?saved=1")
    assert look.given(ADA, "recipes") is True


@pytest.mark.parametrize("suffix", ["", "/", "%3E"])
def test_the_pages_below_the_link_stay_what_they_are(client: TestClient, look: customer_site.Look, suffix: str) -> None:
    assert "Send me the link" in client.get(f"{PREFERENCES}/data{suffix}").text
    before = look.everything()
    for old in ("export", "erase"):
        assert client.post(f"{PREFERENCES}/{old}{suffix}", data={"shown": "{}"}).status_code == 405
    assert look.everything() == before


@pytest.mark.parametrize("dead", ["/p/x", "/p/", PREFERENCES[:-1], f"{PREFERENCES[:-1]}/data", "/d/x"])
def test_a_broken_link_names_an_address_to_write_to(client: TestClient, dead: str) -> None:
    answer = client.get(dead)
    assert answer.status_code == 404
    assert "This link does not work" in answer.text
    assert "hello@greenleaf.example.com" in answer.text


def test_one_click_leaves_everything_and_nothing_else_changes(client: TestClient, look: customer_site.Look) -> None:
    before = stated(look)
    assert "Unsubscribe from everything" in client.get(PREFERENCES).text
    answer = client.post(PREFERENCES, data={"leave": "all", "say.diet": "everything"})
    assert answer.status_code == 303
    assert [look.given(ADA, topic) for topic in ("offers", "recipes", "service")] == [False, None, False]
    assert look.given(ADA, "tracking") is True
    assert stated(look) == before
    assert "Unsubscribe from everything" not in client.get(PREFERENCES).text


def test_the_owner_leaves_everything(client: TestClient, look: customer_site.Look) -> None:
    page = OwnPage(client, look)
    assert "Saved" in page.post("save", {"leave": "all"}).text
    assert [look.given(ADA, topic) for topic in ("offers", "service", "tracking")] == [False, False, True]
    assert "Unsubscribe from everything" not in page.text
