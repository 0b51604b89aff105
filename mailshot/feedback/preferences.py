"""A customer's preferences: reading what is stored, and saving what was changed on a page (`preference_controls`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mailshot.feedback.preference_controls import PAUSE, RESUME, CurrentPreferences, RequestedChanges
from mailshot.profile import topics as consent_rules
from mailshot.profile.preferences import Statements
from mailshot.profile.topics import TRACKING, ConsentEntry, Topic, Topics
from mailshot.states import AnswerState, FeedbackKind
from mailshot.store import (
    answers,
    consent,
    fact_corrections,
    feedback,
    ledger,
    pauses,
    preferences,
    profiles,
    sent_mail,
)
from mailshot.store.answers import CUSTOMER, AnswerEntry
from mailshot.store.engine import Connection

#: The page tells how many mails came within this time.
RECENT = timedelta(days=30)
PREFERENCE_PAGE = "preference page"
TRACKING_TOPIC = Topic(TRACKING, TRACKING)


@dataclass(frozen=True, slots=True)
class PreferenceChange:
    """The changes of one customer to save."""

    customer_id: int
    #: The run whose mail led to the page, None without a mail.
    run_id: int | None
    requested: RequestedChanges
    at: datetime
    #: By topic, and `tracking`: what the customer read about it, stored as proof of a consent.
    wording: Mapping[str, str] = field(default_factory=dict)


def current_preferences(connection: Connection, customer_id: int, at: datetime) -> CurrentPreferences:
    """Return what is stored of a customer at a moment."""
    return CurrentPreferences(
        consent.binding_entries(connection, customer_id),
        preferences.stated_answers(connection, customer_id),
        tuple(preferences.inferred_traits(connection, customer_id)),
        pauses.paused_until(connection, [customer_id]),
        sent_mail.count_received(connection, customer_id, at - RECENT),
        profiles.facts_of(connection, [customer_id]).get(customer_id, {}),
    )


def save_changes(
    connection: Connection, change: PreferenceChange, topics: Topics, statements: Statements
) -> dict[str, Any]:
    """Save all changes and return those that had an effect; saving the same again has none.

    The result maps a topic or `tracking` to given or not, `name: value` to True, False, or None (withdrawn), `pause`
    to its end as text, "" when it was ended, and `fact: name` to its value as text, "" when it was removed.
    """
    before = current_preferences(connection, change.customer_id, change.at)
    effects: dict[str, Any] = {}
    for name, given in change.requested.topics.items():
        topic = TRACKING_TOPIC if name == TRACKING else topics.get(name)
        if _set_consent(connection, change, topic, given, before.consents.get(name)):
            effects[name] = given
    effects |= _save_answers(connection, change, statements, before)
    effects |= _save_pause(connection, change, before)
    facts = change.requested.facts
    corrected = fact_corrections.correct_facts(connection, change.customer_id, facts, PREFERENCE_PAGE, change.at)
    effects |= {f"fact: {name}": "" if value is None else str(value) for name, value in corrected.items()}
    if effects:
        # Mail that is being prepared may no longer be right.
        ledger.revise(connection, [change.customer_id])
        _record_feedback(connection, change, effects)
    return effects


def _set_consent(
    connection: Connection, change: PreferenceChange, topic: Topic, given: bool, entry: ConsentEntry | None
) -> bool:
    if consent_rules.may_mail(topic, entry) == given:
        return False
    proof = {"text": change.wording.get(topic.name) or f"{topic.title}. {topic.help}".strip()}
    at = consent_rules.effective_at(entry, change.at)
    if given:
        # The owner of the inbox subscribes again: that ends what other customers with this address had withdrawn.
        for withdrawal in consent.address_withdrawals(connection, change.customer_id):
            if withdrawal.topic == topic.name and withdrawal.customer_id is not None:
                consent.record_consent(connection, withdrawal.customer_id, topic.name, True, at, PREFERENCE_PAGE, proof)
    return consent.record_consent(connection, change.customer_id, topic.name, given, at, PREFERENCE_PAGE, proof)


def _save_answers(
    connection: Connection, change: PreferenceChange, statements: Statements, before: CurrentPreferences
) -> dict[str, bool | None]:
    effects: dict[str, bool | None] = {}
    stated: dict[tuple[str, str], bool | None] = dict(before.stated)

    def record_answer(name: str, value: str, holds: bool | None) -> None:
        if stated.get((name, value)) is not holds:
            stated[name, value] = holds
            if answers.record_present_answer(connection, _entry(change, name, value, holds)):
                effects[f"{name}: {value}"] = holds

    for name, value in change.requested.withdrawn:
        record_answer(name, value, None)
    for answer in change.requested.stated:
        known = {pair: holds for pair, holds in stated.items() if holds is not None}
        if statements.follows(answer, known):
            continue
        for value in statements.retracted(answer, known):
            record_answer(answer.name, value, None)
        record_answer(answer.name, answer.value, answer.holds)
    return effects


def _entry(change: PreferenceChange, name: str, value: str, holds: bool | None) -> AnswerEntry:
    """Return the entry of an answer for the history; `holds` None takes it back."""
    state = AnswerState.unsaid if holds is None else AnswerState.yes if holds else AnswerState.no
    return AnswerEntry(
        customer_id=change.customer_id,
        question=name,
        value=value,
        at=change.at,
        state=state,
        source=PREFERENCE_PAGE,
        by=CUSTOMER,
        run_id=change.run_id,
    )


def _save_pause(connection: Connection, change: PreferenceChange, before: CurrentPreferences) -> dict[str, str]:
    days, at = change.requested.pause_days, change.at
    lasting = before.paused_until is not None and before.paused_until > at
    if days is None or (days == RESUME and not lasting):
        return {}
    until = at + timedelta(days=days)
    new = pauses.record_pause(connection, change.customer_id, until, PREFERENCE_PAGE, at)
    return {PAUSE: until.isoformat() if days else ""} if new else {}


def _record_feedback(connection: Connection, change: PreferenceChange, effects: dict[str, Any]) -> None:
    def event(kind: FeedbackKind, name: str, detail: dict[str, Any]) -> feedback.FeedbackEvent:
        key = f"{kind.value}:{name}:{change.at.isoformat()}"
        return feedback.FeedbackEvent(change.customer_id, kind, key, change.at, change.run_id, detail=detail)

    feedback.record_event(connection, event(FeedbackKind.preference_changed, "", {"changes": effects}))
    for name, given in effects.items():
        if given is False and ":" not in name and name != TRACKING:
            feedback.record_event(connection, event(FeedbackKind.unsubscribed, name, {"topic": name}))
