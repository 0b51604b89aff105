"""Checks what customers may write for a fact, and what is stored of it."""

from __future__ import annotations

import pytest

from mailshot import documents
from mailshot.errors import InvalidInput
from mailshot.facts import catalogue
from mailshot.feedback.fact_corrections import changed_facts, fact_controls, read_fact

FACTS = catalogue.read(
    documents.parse_document(
        """customer:
  name: {type: text, editable: yes}
  kids: {type: text, choices: ["0", "1", "2+"], editable: yes}
  height: {type: number, unit: cm, editable: yes}
  member: {type: boolean, editable: yes}
  birthday: {type: date, editable: yes}
  score: {type: number}
""",
        "facts.yaml",
    )
).customer


@pytest.mark.parametrize(
    ("fact", "text", "value"),
    [
        ("name", "  Ada\u00a0 Lovelace\r\n", "Ada Lovelace"),
        ("name", "Żółć 🌱", "Żółć 🌱"),
        ("name", "a\x00b", "a b"),
        ("kids", "2+", "2+"),
        ("height", "12", 12),
        ("height", "12.50", 12.5),
        ("height", "12,5", 12.5),
        ("height", "\u22123", -3),
        ("member", "no", False),
        ("birthday", "1990-02-28", "1990-02-28"),
        ("name", "   ", None),
        ("height", "", None),
    ],
)
def test_what_a_fact_can_be_is_stored_as_its_type(fact: str, text: str, value: object) -> None:
    stored = read_fact(FACTS[fact], text)
    assert (stored, type(stored)) == (value, type(value))


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        ("name", "x" * 201),
        ("kids", "3"),
        ("height", "1.250"),
        ("height", "1,000,000"),
        ("height", "twelve"),
        ("height", "1e3"),
        ("height", "nan"),
        ("height", "9" * 13),
        ("member", "maybe"),
        ("birthday", "28.2.1990"),
        ("birthday", "1990-02-30"),
        ("birthday", "1812-01-01"),
        ("birthday", "2999-01-01"),
        ("birthday", "19900228"),
    ],
)
def test_what_a_fact_cannot_be_is_refused(fact: str, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (its text is for nobody)
        read_fact(FACTS[fact], text)


def test_only_what_was_changed_counts() -> None:
    stored = {"name": "Ada", "kids": "7", "height": 170.25, "member": True, "score": 3}
    shown_controls = fact_controls(FACTS, stored)
    assert shown_controls == {
        "fact.name": ("Ada",),
        "fact.kids": ("7",),
        "fact.height": ("170.25",),
        "fact.member": ("yes",),
    }
    as_shown = {**shown_controls, "fact.birthday": ("",)}
    # A value that is no choice any more may stay.
    assert changed_facts(as_shown, shown_controls, FACTS) == ({}, [])
    posted = {**as_shown, "fact.name": ("",), "fact.member": ("no",), "fact.score": ("9",)}
    assert changed_facts(posted, shown_controls, FACTS) == ({"name": None, "member": False}, [])
    # What the page of a mail does not show is not removed by it.
    assert changed_facts({}, shown_controls, FACTS) == ({}, [])
    wrong = changed_facts({"fact.height": ("tall",), "fact.kids": ("3",)}, shown_controls, FACTS)[1]
    assert [fact.name for fact in wrong] == ["kids", "height"]


def test_a_hidden_fact_cannot_be_corrected() -> None:
    text = "customer: {score: {type: number, hidden: yes, editable: yes}}"
    with pytest.raises(InvalidInput, match="cannot be both 'hidden' and 'editable'"):
        catalogue.read(documents.parse_document(text, "facts.yaml"))
