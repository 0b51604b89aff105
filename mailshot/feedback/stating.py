"""Owns saving what a customer wishes: consents, statements and corrections; refuses to read a form."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mailshot.feedback.wishes import CurrentPreferences, Wishes
from mailshot.profile import consent as decision
from mailshot.profile.statements import Statements
from mailshot.profile.topics import TRACKING, Topic, Topics
from mailshot.states import FeedbackKind
from mailshot.store import consent, feedback, ledger, preferences
from mailshot.store.engine import Connection

PAGE_SOURCE = "preference page"
TRACKING_TOPIC = Topic(
    TRACKING,
    "Learn from what I open and click",
    "Lets us see which of our mails you open and which links you follow, so that we send fewer and better ones.",
)


def standing(connection: Connection, customer_id: int) -> CurrentPreferences:
    """Return how a customer stands now."""
    return CurrentPreferences(
        consent.binding(connection, customer_id),
        preferences.stated(connection, customer_id),
        tuple(preferences.traits(connection, customer_id)),
    )


def save(
    connection: Connection,
    customer_id: int,
    run_id: int | None,
    wishes: Wishes,
    topics: Topics,
    statements: Statements,
    at: datetime,
) -> dict[str, Any]:
    """Save all wishes and return what they changed; saving the same again changes nothing."""
    now = standing(connection, customer_id)
    changes: dict[str, Any] = {}
    for name, given in wishes.topics.items():
        if _join_or_leave(connection, customer_id, name, given, topics, now, at):
            changes[name] = given
    changes |= _record_answers(connection, customer_id, wishes, statements, now, at)
    if changes:
        # Mail that is being prepared may no longer fit.
        ledger.revise(connection, [customer_id])
        _tell(connection, customer_id, run_id, changes, at)
    return changes


def _join_or_leave(
    connection: Connection,
    customer_id: int,
    name: str,
    given: bool,
    topics: Topics,
    now: CurrentPreferences,
    at: datetime,
) -> bool:
    topic = TRACKING_TOPIC if name == TRACKING else topics.get(name)
    entry = now.consents.get(name)
    if decision.allowed(topic, entry) == given:
        return False
    proof = {"text": f"{topic.title}. {topic.help}".strip()}
    moment = decision.effective_at(entry, at)
    if given:
        # The owner of the inbox joins again: that ends what others with the same address had withdrawn.
        for withdrawal in consent.withdrawals(connection, customer_id):
            if withdrawal.topic == name and withdrawal.customer_id is not None:
                consent.record(connection, withdrawal.customer_id, name, True, moment, PAGE_SOURCE, proof)
    return consent.record(connection, customer_id, name, given, moment, PAGE_SOURCE, proof)


def _record_answers(
    connection: Connection,
    customer_id: int,
    wishes: Wishes,
    statements: Statements,
    now: CurrentPreferences,
    at: datetime,
) -> dict[str, bool | None]:
    changes: dict[str, bool | None] = {}
    standing = dict(now.stated)

    def unsay(name: str, value: str) -> None:
        if preferences.unsay(connection, customer_id, name, value):
            changes[f"{name}: {value}"] = None
        standing.pop((name, value), None)

    for name, value in wishes.unsaid:
        unsay(name, value)
    for said in wishes.said:
        if statements.follows(said, standing):
            continue
        for value in statements.retracted(said, standing):
            unsay(said.name, value)
        known = standing.get((said.name, said.value))
        if known is not said.holds and preferences.state(connection, customer_id, said, PAGE_SOURCE, at):
            changes[f"{said.name}: {said.value}"] = standing[said.name, said.value] = said.holds
    return changes


def _tell(connection: Connection, customer_id: int, run_id: int | None, changes: dict[str, Any], at: datetime) -> None:
    def piece(kind: FeedbackKind, name: str, detail: dict[str, Any]) -> feedback.FeedbackEvent:
        return feedback.FeedbackEvent(
            customer_id, kind, f"{kind.value}:{name}:{at.isoformat()}", at, run_id, detail=detail
        )

    feedback.record(connection, piece(FeedbackKind.preference_changed, "", {"changes": changes}))
    for name, given in changes.items():
        if given is False and ":" not in name and name != TRACKING:
            feedback.record(connection, piece(FeedbackKind.unsubscribed, name, {"topic": name}))
