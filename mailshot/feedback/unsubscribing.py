"""Owns leaving the topic of a mail with one click (RFC 8058); refuses to ask for anything but the mail's own token."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mailshot.profile import consent as decision
from mailshot.states import FeedbackKind
from mailshot.store import consent, dossier, feedback
from mailshot.store.engine import Connection

LINK_SOURCE = "unsubscribe link"


def topic(connection: Connection, run_id: int, customer_id: int) -> str | None:
    """Return the topic that a mail's unsubscribe link leaves, None when the run or the customer is unknown."""
    return feedback.topic_of(connection, run_id) if dossier.person(connection, customer_id) else None


def is_left(connection: Connection, customer_id: int, topic: str) -> bool:
    """Say whether a customer withdrew from a topic, or somebody at the same address did, which binds them too."""
    entry = consent.entries(connection, customer_id).get(topic)
    withdrawn = entry is not None and not entry.given
    return withdrawn or any(other.topic == topic for other in consent.withdrawals(connection, customer_id))


def withdraw(
    connection: Connection, run_id: int, customer_id: int, at: datetime, proof: Mapping[str, Any]
) -> str | None:
    """Withdraw the consent to a mail's topic and return the topic; None when the mail is unknown.

    It binds every mail whose dot is not yet released, for the ledger's last step reads the same row.
    """
    left = topic(connection, run_id, customer_id)
    if left is None:
        return None
    entry = consent.entries(connection, customer_id).get(left)
    moment = decision.effective_at(entry, at)
    # Also of one who has left: a consent from between the two that comes in later must not count.
    consent.record(connection, customer_id, left, False, moment, LINK_SOURCE, {**proof, "run": run_id})
    if entry is None or entry.given:
        key = f"{FeedbackKind.unsubscribed.value}:{run_id}:{moment.isoformat()}"
        detail = {"topic": left}
        feedback.record(
            connection, feedback.FeedbackEvent(customer_id, FeedbackKind.unsubscribed, key, at, run_id, detail=detail)
        )
    return left
