from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DatabaseError

from mailshot.profile import topics as decision
from mailshot.store import consent
from mailshot.store.engine import Store

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_any_order_of_arrival_and_any_repetition_end_the_same(store: Store) -> None:
    entries = [
        decision.ConsentEntry(True, NOON),
        decision.ConsentEntry(False, NOON + timedelta(hours=2)),
        decision.ConsentEntry(True, NOON + timedelta(hours=1)),
        decision.ConsentEntry(True, NOON + timedelta(hours=2)),
    ]
    for customer, order in enumerate(permutations(entries), start=1):
        with store.write() as connection:
            for entry in (*order, *order):
                consent.record_consent(connection, customer, "offers", entry.given, entry.at, "import")
            assert consent.latest_entries(connection, customer) == {"offers": decision.newest_entry(entries)}
            log = consent.LOG
            counted = connection.scalar(select(func.count()).where(log.c.customer_id == customer))
            assert counted == len(entries)


def test_record_returns_whether_the_entry_counts(store: Store) -> None:
    with store.write() as connection:
        assert consent.record_consent(connection, 1, "offers", True, NOON, "import")
        assert not consent.record_consent(connection, 1, "offers", True, NOON, "import")
        assert not consent.record_consent(connection, 1, "offers", False, NOON - timedelta(1), "import")
        assert consent.record_consent(connection, 1, "offers", False, NOON, "page", {"text": "Weekly offers"})


@pytest.mark.parametrize("change", ["UPDATE consent_log SET given = true", "DELETE FROM consent_log"])
def test_the_log_is_append_only(store: Store, change: str) -> None:
    with store.write() as connection:
        consent.record_consent(connection, 1, "offers", True, NOON, "import")
    with pytest.raises(DatabaseError, match="append-only"), store.write() as connection:
        connection.execute(text(change))
