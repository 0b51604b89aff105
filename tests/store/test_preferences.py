from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mailshot.profile.preferences import StatedPreference
from mailshot.store import preferences, suppression
from mailshot.store.engine import Store

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_the_latest_statement_counts(store: Store) -> None:
    stated, denied = StatedPreference("diet", "vegan", True), StatedPreference("diet", "vegan", False)
    with store.write() as connection:
        assert preferences.state(connection, 1, stated, "page", NOON)
        assert not preferences.state(connection, 1, denied, "import", NOON - timedelta(days=1))
        assert preferences.stated_answers(connection, 1) == {("diet", "vegan"): True}
        assert preferences.state(connection, 1, denied, "page", NOON + timedelta(days=1))
        assert preferences.stated_answers(connection, 1) == {("diet", "vegan"): False}
        assert preferences.unsay(connection, 1, "diet", "vegan")
        assert not preferences.unsay(connection, 1, "diet", "vegan")
        assert preferences.stated_answers(connection, 1) == {}


def test_any_reason_replaces_a_bounce_and_an_erasure_replaces_any(store: Store) -> None:
    with store.write() as connection:
        assert suppression.add(connection, "aa", "bounced", "dsn", NOON)
        assert not suppression.add(connection, "aa", "bounced", "another dsn", NOON)
        assert suppression.add(connection, "aa", "complained", "arf", NOON)
        assert not suppression.add(connection, "aa", "asked by phone", "operator", NOON)
        assert not suppression.add(connection, "aa", "bounced", "dsn", NOON)
        assert suppression.find_suppression(connection, "aa")["reason"] == "complained"
        suppression.add_erased(connection, "aa", "page", NOON)
        assert suppression.find_suppression(connection, "aa")["reason"] == suppression.ERASED
        assert suppression.find_suppression(connection, "bb") is None
