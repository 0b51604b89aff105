from __future__ import annotations

from datetime import UTC, datetime

from mailshot.store import suppression
from mailshot.store.engine import Store

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


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
