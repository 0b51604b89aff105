from __future__ import annotations

import pytest

from mailshot import documents
from mailshot.errors import InvalidInput, NotFound
from mailshot.profile import topics


def read(text: str) -> topics.Topics:
    return topics.read(documents.parse_document(text, "rules/topics.yaml"))


def test_topics_keep_their_order_and_need_consent_unless_said_otherwise() -> None:
    listed = read("offers: {title: Offers}\nservice: {title: Orders, requires_consent: false}\n")
    assert [(topic.name, topic.requires_consent) for topic in listed] == [("offers", True), ("service", False)]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("offers: {titel: Offers}", "rules/topics.yaml:1:10", "Did you mean 'title'?"),
        ("tracking: {title: Opens}", "rules/topics.yaml:1:1", "reserved"),
        ("Weekly Offers: {title: Offers}", "rules/topics.yaml:1:1", "not a topic name"),
        ("offers: {title: O, requires_consent: maybe}", "rules/topics.yaml:1:38", "must be yes or no, not 'maybe'"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(text: str, place: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read(text)
    assert place in str(refusal.value)
    assert message in str(refusal.value)


def test_an_unknown_topic_is_refused_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="Did you mean 'offers'"):
        read("offers: {title: Offers}").get("offer")
