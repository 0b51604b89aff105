"""Checks texts that a shop writes in several languages."""

from __future__ import annotations

import copy
import pickle

import pytest

from mailshot import documents
from mailshot.errors import InvalidInput
from mailshot.facts import catalogue
from mailshot.facts.localized_text import LocalizedText, in_language, languages_of
from mailshot.profile import preferences, topics


def title(text: str) -> str:
    return topics.read(documents.parse_document(f"offers: {{title: {text}}}", "topics.yaml")).get("offers").title


def test_a_customer_gets_the_nearest_language_or_the_first() -> None:
    text = title("{en-GB: Colours, de: Farben, pt-BR: Cores}")
    assert text == "Colours"
    assert languages_of(text) == ("en-GB", "de", "pt-BR")
    texts = {tag: in_language(text, tag) for tag in ("en", "de-CH", "pt", "fr", "")}
    assert texts == {"en": "Colours", "de-CH": "Farben", "pt": "Cores", "fr": "Colours", "": "Colours"}


def test_a_text_written_once_is_for_everybody() -> None:
    assert (in_language(title("Offers"), "de"), languages_of(title("Offers"))) == ("Offers", ())
    assert title("{no: Tilbud}") == "Tilbud"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[Offers]", "'title' must be a text, or a text for each language"),
        ("{}", "'title' must be a text, or a text for each language"),
        ("{german: Angebote}", "'german' is not a language"),
        ("{en: Offers, xx: Angebote}", "'xx' is not a language"),
        ("{no: Tilbud, nb: Tilbud}", "are the same language"),
        ("{en: Offers, de: ' '}", "'title' must have a text for 'de'"),
        ("{en: [Offers]}", "'title' must have a text for 'en'"),
    ],
)
def test_what_is_no_text_is_reported_at_its_place(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        title(text)
    (problem,) = raised.value.problems
    assert message in problem.message
    assert problem.line == 1


def test_copies_keep_their_translations() -> None:
    text = LocalizedText({"en": "Offers", "de": "Angebote"})
    for copied in (copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert (copied, in_language(copied, "de")) == ("Offers", "Angebote")


def test_questions_answers_and_facts_can_be_translated() -> None:
    question = "diet: {title: {en: Diet, de: Kost}, help: {en: H, de: I}, values: {vegan: {label: {en: Vegan, de: V}}}}"
    (read,) = preferences.read(documents.parse_document(question, "preferences.yaml"))
    assert [in_language(text, "de") for text in (read.title, read.help, read.values["vegan"])] == ["Kost", "I", "V"]
    declared = "customer: {age: {type: text, title: {en: Age, de: Alter}}}"
    fact = catalogue.read(documents.parse_document(declared, "facts.yaml")).customer["age"]
    assert (fact.label, in_language(fact.label, "de-AT")) == ("Age", "Alter")
