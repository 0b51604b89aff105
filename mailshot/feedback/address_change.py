"""Gives a customer the address that they asked for and confirmed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mailshot.feedback.preferences import PREFERENCE_PAGE
from mailshot.states import FeedbackKind
from mailshot.store import address_changes, feedback
from mailshot.store.engine import Connection


def change_address(connection: Connection, change: Mapping[str, Any], at: datetime) -> bool:
    """Confirm a request (a row of `address_changes`), and return whether that changed the customer's address."""
    if not address_changes.confirm(connection, change, PREFERENCE_PAGE, at):
        return False
    kind, customer_id = FeedbackKind.preference_changed, int(change["customer_id"])
    # Not the addresses: feedback is kept after an erasure.
    event = feedback.FeedbackEvent(
        customer_id,
        kind,
        f"{kind.value}:address:{change['id']}",
        at,
        int(change["run_id"]),
        detail={"changes": {"address": "another one"}},
    )
    feedback.record_event(connection, event)
    return True
