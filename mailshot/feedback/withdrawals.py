"""Withdraws the consent to the topic of a mail, by its link, by one click, by mail or by its provider.

It also stops every mail whose dot is not sent yet, because the last check of the ledger reads the same row. Start at
`withdraw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mailshot.profile import topics
from mailshot.states import FeedbackKind
from mailshot.store import consent, feedback, privacy
from mailshot.store.engine import Connection

UNSUBSCRIBE_LINK = "unsubscribe link"


def topic_of_mail(connection: Connection, run_id: int, customer_id: int) -> str | None:
    """Return the topic that a mail's unsubscribe link withdraws, None when the run or the customer is unknown."""
    return feedback.topic_of(connection, run_id) if privacy.person(connection, customer_id) else None


def has_withdrawn(connection: Connection, customer_id: int, topic: str) -> bool:
    """Return whether this customer, or another one with the same address, has withdrawn from a topic."""
    entry = consent.latest_entries(connection, customer_id).get(topic)
    withdrawn = entry is not None and not entry.given
    return withdrawn or any(other.topic == topic for other in consent.address_withdrawals(connection, customer_id))


@dataclass(frozen=True, slots=True)
class WithdrawalRequest:
    """A customer's request to get no more mail on the topic of a mail, which names the run."""

    run_id: int
    customer_id: int
    at: datetime
    #: The way by which it came.
    source: str = UNSUBSCRIBE_LINK
    #: What proves it, without personal data: the log of consent is not erased.
    proof: Mapping[str, Any] = field(default_factory=dict)


def withdraw(connection: Connection, request: WithdrawalRequest) -> str | None:
    """Withdraw the consent to a mail's topic and return the topic; None when the mail is unknown."""
    run_id, customer_id = request.run_id, request.customer_id
    topic = topic_of_mail(connection, run_id, customer_id)
    if topic is None:
        return None
    entry = consent.latest_entries(connection, customer_id).get(topic)
    moment, proof = topics.effective_at(entry, request.at), {**request.proof, "run": run_id}
    # Recorded even when it is withdrawn already: a consent dated in between that is imported later must not count.
    consent.record_consent(connection, customer_id, topic, False, moment, request.source, proof)
    if entry is None or entry.given:
        kind = FeedbackKind.unsubscribed
        key = f"{kind.value}:{run_id}:{moment.isoformat()}"
        event = feedback.FeedbackEvent(customer_id, kind, key, request.at, run_id, detail={"topic": topic})
        feedback.record_event(connection, event)
    return topic
