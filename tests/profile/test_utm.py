"""Checks UTM parameters in rules: what may be written, which level takes precedence, and what placeholders become."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from mailshot import documents
from mailshot.errors import InvalidInput
from mailshot.profile import utm
from mailshot.profile.senders import SendersFile
from mailshot.profile.utm import UtmParameters
from mailshot.rulebook.campaign import CampaignDefinition
from mailshot.rulebook.company import Company

SENDER = "bay:\n  name: Bay\n  address: a@example.com\n  postal_address: 1 Quay, Oslo\n"
CAMPAIGN = "campaign: a\ntopic: t\nsender: s\naudience: b\ncontent: [{name: a, template: b}]\n"
# The kind of file, the text, the place of the problem, the message and the remedy.
WRONG: list[tuple[type[BaseModel], str, int, int, str, str]] = [
    (Company, "utm: {sorce: x}", 1, 7, "unknown word 'sorce'", "Did you mean 'source'?"),
    (Company, "utm:\n  Source: x", 2, 3, "unknown word 'Source'", "Did you mean 'source'?"),
    (SendersFile, SENDER + "  utm: {medum: x}", 5, 9, "unknown word 'medum'", "Did you mean 'medium'?"),
    (SendersFile, SENDER.replace("bay", "utm") + "  bran: x", 5, 3, "unknown word 'bran'", "Did you mean 'brand'?"),
    (CampaignDefinition, CAMPAIGN + "utm:\n  utm_term: x", 7, 3, "unknown word 'utm_term'", "Did you mean 'term'?"),
    (CampaignDefinition, CAMPAIGN + "utm:\n  id: x", 7, 3, "unknown word 'id'",
     "Known: campaign, content, medium, source, term."),
    (Company, "utm:\n  campaign: 'x-{campain}'", 2, 13, "unknown placeholder '{campain}' in 'campaign'",
     "Did you mean '{campaign}'?"),
    (SendersFile, SENDER + "  utm: {term: '{Topic}'}", 5, 15, "unknown placeholder '{Topic}' in 'term'",
     "Did you mean '{topic}'?"),
    (CampaignDefinition, CAMPAIGN + "utm: {term: '{topic} {customer}'}", 6, 13,
     "unknown placeholder '{customer}' in 'term'", "Known: {campaign}, {content}, {sender}, {topic}."),
    (Company, "utm: {term: '{topic'}", 1, 13, "unknown placeholder '{topic' in 'term'", "Did you mean '{topic}'?"),
    (Company, "utm: {term: 'topic}'}", 1, 13, "unknown placeholder '}' in 'term'",
     "Known: {campaign}, {content}, {sender}, {topic}."),
    (Company, "utm: {term: '{{topic}}'}", 1, 13, "unknown placeholder '{' in 'term'",
     "Known: {campaign}, {content}, {sender}, {topic}."),
    (Company, "utm: {term: [a]}", 1, 13, "'term' must be one text, not a list", "Put a text that begins with [ or {"),
    (Company, "utm: {term: {a: b}}", 1, 13, "'term' must be one text, not names with values", "Put a text that"),
    (Company, "utm: newsletter", 1, 6, "'utm' must contain names with values, not 'newsletter'",
     "Valid names: source, medium, campaign, term, content."),
    (Company, "utm:", 1, 5, "'utm' is empty", "Write a value, or remove the line."),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "line", "column", "message", "remedy"), WRONG, ids=range(len(WRONG)))
def test_a_mistake_is_reported_at_its_place(
    kind: type[BaseModel], text: str, line: int, column: int, message: str, remedy: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        documents.parse_document(text, "f.yaml").model(kind)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (line, column)
    assert message in problem.message
    assert problem.remedy.startswith(remedy)


def test_each_key_is_merged_and_an_empty_text_removes_it() -> None:
    company = UtmParameters(source="shop", medium="email", term="a", content="")
    sender = UtmParameters(source="{sender}", term="")
    campaign = UtmParameters(campaign="{campaign}", medium="", content="{content}")
    assert utm.merged(company, sender, campaign) == {
        "source": "{sender}",
        "campaign": "{campaign}",
        "content": "{content}",
    }
    assert utm.merged(company, UtmParameters(), UtmParameters()) == {
        "source": "shop",
        "medium": "email",
        "term": "a",
    }
    assert utm.merged(UtmParameters(), UtmParameters(term="")) == {}


def test_a_closer_level_restores_a_removed_key() -> None:
    assert utm.merged(UtmParameters(term="a"), UtmParameters(term=""), UtmParameters(term="b")) == {"term": "b"}


def test_a_key_left_empty_in_yaml_is_refused_unlike_an_empty_text() -> None:
    assert documents.parse_document("utm: {term: ''}", "f.yaml").model(Company).utm.term == ""
    with pytest.raises(InvalidInput, match="'term' is empty"):
        documents.parse_document("utm:\n  term:\n", "f.yaml").model(Company)


def test_every_placeholder_is_replaced_once() -> None:
    names = {"campaign": "week {topic}", "content": "a", "sender": "bay", "topic": "offers"}
    texts = {"campaign": "{campaign}/{content}", "term": "{topic}{sender}{topic}", "medium": "email"}
    assert utm.filled(texts, names) == {"campaign": "week {topic}/a", "term": "offersbayoffers", "medium": "email"}
    assert {f"{{{name}}}" for name in names} == set(utm.PLACEHOLDERS)
