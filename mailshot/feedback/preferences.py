"""Owns the controls of the preference page: what they show and what a customer changed; refuses to touch a row.

A control is a name with the words it holds:

    topic.offers: (on)        tracking: (on)
    say.diet: (vegan)         judge.diet.vegetarian: (right) or (wrong)
    forget.diet: (on)         takes back the answer, on a page that does not show it

Not every page shows every control (see `View`): a mail may be forwarded, and with it the link to its page. Only what
differs from what the page *showed* is a wish, so that a page left open for a week takes nothing back that was said
elsewhere in the meantime.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mailshot.profile import topics as decision
from mailshot.profile.preferences import Choice, Question, StatedPreference, Statements
from mailshot.profile.topics import TRACKING, ConsentEntry, Topic, Topics, allowed
from mailshot.states import FeedbackKind
from mailshot.store import consent, feedback, ledger, preferences, privacy
from mailshot.store.engine import Connection
from mailshot.store.preferences import StoredTrait

Controls = dict[str, tuple[str, ...]]
ON = ("on",)
TOPIC, SAY, JUDGE, FORGET = "topic.", "say.", "judge.", "forget."


@dataclass(frozen=True, slots=True)
class View:
    """What a page shows of how a customer stands, and what it takes from them, by how the controls' names begin."""

    shows: tuple[str, ...]
    takes: tuple[str, ...]


#: What is open to everybody who has one of the customer's mails, in its headers alone or as a whole; then to the owner.
TOPICS_ONLY = View((TOPIC,), (TOPIC,))
MAIL = View((TOPIC, TRACKING), (TOPIC, TRACKING, SAY, FORGET))
OWNER = View((TOPIC, TRACKING, SAY, JUDGE), (TOPIC, TRACKING, SAY, JUDGE))


@dataclass(frozen=True, slots=True)
class CurrentPreferences:
    """How a customer stands now: consents by topic, statements by (name, value), and what we inferred."""

    consents: Mapping[str, ConsentEntry]
    stated: Mapping[tuple[str, str], bool]
    inferred: tuple[StoredTrait, ...] = ()

    def judged(self, statements: Statements) -> list[tuple[str, str]]:
        """Return the (name, value) pairs to call right or wrong: the inferred, then earlier answers about such."""
        pairs = dict.fromkeys((trait.name, trait.value) for trait in self.inferred)
        return list(pairs | dict.fromkeys(pair for pair in self.stated if statements.get(pair[0]) is None))


@dataclass(slots=True)
class Wishes:
    """What a customer changed, or why it cannot be done."""

    topics: dict[str, bool] = field(default_factory=dict)
    said: list[StatedPreference] = field(default_factory=list)
    unsaid: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def only(held: Controls, names: tuple[str, ...]) -> Controls:
    """Return the controls whose names begin with one of `names`."""
    return {name: words for name, words in held.items() if name.startswith(names)}


def controls(standing: CurrentPreferences, topics: Topics, statements: Statements) -> Controls:
    """Return every control of the owner's page with what it shows; one that shows nothing is left out."""
    found: Controls = {TOPIC + t.name: ON for t in topics if allowed(t, standing.consents.get(t.name))}
    tracking = standing.consents.get(TRACKING)
    found |= {TRACKING: ON} if tracking and tracking.given else {}
    for question in statements:
        holding = tuple(value for value in question.values if standing.stated.get((question.name, value)))
        found |= {SAY + question.name: holding} if holding else {}
    for name, value in standing.judged(statements):
        if (name, value) in standing.stated:
            found[f"{JUDGE}{name}.{value}"] = ("right" if standing.stated[name, value] else "wrong",)
    return found


def wishes(
    posted: Controls, shown: Controls, standing: CurrentPreferences, topics: Topics, statements: Statements
) -> Wishes:
    """Return what a posted page asks for beyond what it showed; a page that contradicts itself gets problems."""
    made = Wishes()
    changed = {name for name in posted.keys() | shown.keys() if _words(posted, name) != _words(shown, name)}
    for topic in (TRACKING, *(TOPIC + topic.name for topic in topics)):
        if topic in changed:
            made.topics[topic.removeprefix(TOPIC)] = _words(posted, topic) == ON
    for question in statements:
        words, before = (_words(held, SAY + question.name) for held in (posted, shown))
        if _words(posted, FORGET + question.name) == ON:
            before = tuple(value for value in question.values if standing.stated.get((question.name, value)))
        if words != before:
            _say(made, question, words, before)
    for name, value in _judged(changed, standing, statements, made):
        _judge(made, name, value, _words(posted, f"{JUDGE}{name}.{value}"))
    _contradictions(made, statements)
    return made


def _words(held: Controls, name: str) -> tuple[str, ...]:
    return tuple(sorted({word for word in held.get(name, ()) if word}))


def _say(made: Wishes, question: Question, words: tuple[str, ...], before: tuple[str, ...]) -> None:
    unknown = [word for word in words if word not in question.values]
    if unknown or (question.choice is Choice.single and len(words) > 1):
        made.problems.append(f"Please choose one of the answers to “{question.title}”.")
        return
    made.said += [StatedPreference(question.name, word, True) for word in words if word not in before]
    made.unsaid += [(question.name, word) for word in before if word in question.values and word not in words]


def _judged(
    changed: Iterable[str], standing: CurrentPreferences, statements: Statements, made: Wishes
) -> list[tuple[str, str]]:
    pairs = (*standing.judged(statements), *standing.stated)
    known = {f"{JUDGE}{name}.{value}": (name, value) for name, value in pairs}
    asked = sorted(name for name in changed if name.startswith(JUDGE))
    if any(name not in known for name in asked):
        made.problems.append("What we concluded has changed since this page was opened. Please look again.")
    return [known[name] for name in asked if name in known]


def _judge(made: Wishes, name: str, value: str, words: tuple[str, ...]) -> None:
    if words in (("right",), ("wrong",)):
        made.said.append(StatedPreference(name, value, words == ("right",)))
    elif not words:
        made.unsaid.append((name, value))
    else:
        made.problems.append("Please answer “That is right” or “That is wrong”.")


def _several(question: Question, values: set[str]) -> bool:
    """Say whether these are answers that do not follow from one of them."""
    return not any(values <= set(question.implications.implied(value)) for value in values) if values else False


def _contradictions(made: Wishes, statements: Statements) -> None:
    for question in statements:
        said = [one for one in made.said if one.name == question.name]
        hold, fail = {one.value for one in said if one.holds}, {one.value for one in said if not one.holds}
        follows = {word for value in hold for word in question.implications.implied(value)}
        if (question.choice is Choice.single and _several(question, hold)) or follows & fail:
            labels = ", ".join(f"“{question.values.get(value, value)}”" for value in sorted(hold | fail))
            made.problems.append(f"Your answers to “{question.title}” contradict each other: {labels}. Please check.")


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


LINK_SOURCE = "unsubscribe link"


def topic(connection: Connection, run_id: int, customer_id: int) -> str | None:
    """Return the topic that a mail's unsubscribe link leaves, None when the run or the customer is unknown."""
    return feedback.topic_of(connection, run_id) if privacy.person(connection, customer_id) else None


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
