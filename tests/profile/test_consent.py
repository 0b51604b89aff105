from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

from mailshot.profile import topics
from mailshot.profile.topics import ConsentEntry, Topic

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
OFFERS, SERVICE = Topic("offers", "Offers"), Topic("service", "Orders", requires_consent=False)


def test_the_newest_counts_in_any_order_and_of_two_at_once_the_withdrawal() -> None:
    entries = [
        ConsentEntry(True, NOON),
        ConsentEntry(True, NOON + timedelta(hours=1)),
        ConsentEntry(False, NOON + timedelta(hours=1)),
    ]
    assert {topics.newest_entry(order) for order in permutations(entries)} == {entries[2]}
    assert topics.newest_entry([]) is None


def test_who_said_nothing_gets_only_what_requires_no_consent() -> None:
    assert not topics.may_mail(OFFERS, None)
    assert topics.may_mail(SERVICE, None)


def test_a_withdrawal_counts_whatever_the_topic_requires() -> None:
    assert not topics.may_mail(SERVICE, ConsentEntry(False, NOON))
    assert topics.may_mail(OFFERS, ConsentEntry(True, NOON))


def test_a_new_word_counts_even_when_the_clock_was_set_back() -> None:
    before = ConsentEntry(True, NOON)
    assert topics.effective_at(before, NOON - timedelta(days=1)) > NOON
    assert topics.effective_at(before, NOON + timedelta(days=1)) == NOON + timedelta(days=1)
    assert topics.effective_at(None, NOON) == NOON
