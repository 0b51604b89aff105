"""The controls of a preference page: their names and values, and what a customer changed in them.

A control is a name with the values it holds:

    topic.offers: (on)        tracking: (on)
    say.diet: (vegan)         judge.diet.vegetarian: (right) or (wrong)
    forget.diet: (on)         withdraws the answer, on a page that does not show it
    pause: (30)               no mail for so many days; (0) resumes it
    fact.kids: (2)            a fact that may be corrected (see `fact_corrections`)

Not every page shows every control (see `View`): a mail may be forwarded, and with it the link to its page. Only what
differs from what the page *showed* counts as a change, so that a page left open for a week undoes nothing that was
changed elsewhere in the meantime. Start at `controls` and `requested_changes`; `preferences` reads and
saves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from mailshot.facts.catalogue import Fact
from mailshot.feedback.fact_corrections import FACT, changed_facts, fact_controls
from mailshot.profile.preferences import Choice, Question, StatedPreference, Statements
from mailshot.profile.topics import TRACKING, ConsentEntry, Topics, may_mail
from mailshot.store.fact_corrections import FactValue
from mailshot.store.preferences import StoredTrait

Controls = dict[str, tuple[str, ...]]
ON = ("on",)
TOPIC, SAY, JUDGE, FORGET, PAUSE = "topic.", "say.", "judge.", "forget.", "pause"
#: How many days a customer can pause their mail; 0 resumes it.
PAUSE_DAYS, RESUME = (30, 60, 90), 0


class ProblemKind(StrEnum):
    """Why a posted page cannot be saved."""

    pause = "pause"
    unknown_answer = "unknown answer"
    contradiction = "contradiction"
    conclusions_changed = "conclusions changed"
    judgement = "judgement"
    fact = "fact"


@dataclass(frozen=True, slots=True)
class FormProblem:
    """One reason why a posted page cannot be saved; the page puts it into words of the customer's language."""

    kind: ProblemKind
    #: The control that it is about; empty when that is no longer on the page.
    control: str = ""
    #: The question that it is about, and the values that contradict each other, if any.
    question: Question | None = None
    values: tuple[str, ...] = ()
    #: The fact that it is about.
    fact: Fact | None = None


@dataclass(frozen=True, slots=True)
class View:
    """Which controls a page shows and which it accepts, by the prefixes of their names."""

    shows: tuple[str, ...]
    takes: tuple[str, ...]


#: For anyone who has only the headers of one of the customer's mails; for anyone who has the mail; for the owner.
TOPICS_ONLY = View((TOPIC,), (TOPIC,))
MAIL = View((TOPIC, TRACKING), (TOPIC, TRACKING, SAY, FORGET, PAUSE))
OWNER = View((TOPIC, TRACKING, SAY, JUDGE, FACT), (TOPIC, TRACKING, SAY, JUDGE, FACT, PAUSE))


@dataclass(frozen=True, slots=True)
class CurrentPreferences:
    """A customer's consents, stated preferences and inferred traits as stored now."""

    #: By topic; a topic without an entry was never given or withdrawn.
    consents: Mapping[str, ConsentEntry]
    #: By (name, value): True for "is so", False for "is not so".
    stated: Mapping[tuple[str, str], bool]
    inferred: tuple[StoredTrait, ...] = ()
    #: When the pause ends that the customer asked for; None without one. It may have ended already.
    paused_until: datetime | None = None
    #: Mails that the inbox got within `RECENT`, without those that no pause stops.
    recent_mails: int = 0
    #: Facts by name, built in and of the shop's own.
    facts: Mapping[str, Any] = field(default_factory=dict)

    def judged(self, statements: Statements) -> list[tuple[str, str]]:
        """Return the (name, value) pairs that the owner can call right or wrong: inferred now, then judged earlier."""
        pairs = dict.fromkeys((trait.name, trait.value) for trait in self.inferred)
        return list(pairs | dict.fromkeys(pair for pair in self.stated if statements.get(pair[0]) is None))


@dataclass(slots=True)
class RequestedChanges:
    """What a customer changed on a page, or why it cannot be saved."""

    #: Topic, or `tracking`, -> wanted or not.
    topics: dict[str, bool] = field(default_factory=dict)
    stated: list[StatedPreference] = field(default_factory=list)
    #: (name, value) of each answer that is withdrawn.
    withdrawn: list[tuple[str, str]] = field(default_factory=list)
    #: Days for which the mail is paused, 0 to resume it; None changes nothing.
    pause_days: int | None = None
    #: Corrected facts by name; None removes one.
    facts: dict[str, FactValue] = field(default_factory=dict)
    #: With any of them, nothing is saved.
    problems: list[FormProblem] = field(default_factory=list)


def with_prefixes(controls: Controls, prefixes: tuple[str, ...]) -> Controls:
    """Return the controls whose names begin with one of the prefixes."""
    return {name: values for name, values in controls.items() if name.startswith(prefixes)}


def controls(
    current: CurrentPreferences, topics: Topics, statements: Statements, facts: Mapping[str, Fact]
) -> Controls:
    """Return every control of the owner's page with its values; one without values is left out."""
    result: Controls = {TOPIC + t.name: ON for t in topics if may_mail(t, current.consents.get(t.name))}
    tracking = current.consents.get(TRACKING)
    result |= {TRACKING: ON} if tracking and tracking.given else {}
    for question in statements:
        answers = tuple(value for value in question.values if current.stated.get((question.name, value)))
        result |= {SAY + question.name: answers} if answers else {}
    for name, value in current.judged(statements):
        if (name, value) in current.stated:
            result[f"{JUDGE}{name}.{value}"] = ("right" if current.stated[name, value] else "wrong",)
    return result | fact_controls(facts, current.facts)


def requested_changes(
    posted: Controls, shown_controls: Controls, current: CurrentPreferences, topics: Topics, statements: Statements
) -> RequestedChanges:
    """Return how a posted page differs from what it showed; contradicting answers become problems."""
    changes = RequestedChanges()
    changed = {
        name for name in posted.keys() | shown_controls.keys() if _values(posted, name) != _values(shown_controls, name)
    }
    for topic in (TRACKING, *(TOPIC + topic.name for topic in topics)):
        if topic in changed:
            changes.topics[topic.removeprefix(TOPIC)] = _values(posted, topic) == ON
    for question in statements:
        answers, before = (_values(page_controls, SAY + question.name) for page_controls in (posted, shown_controls))
        # A page that hides the answers cannot show which of them a choice replaces, such as "vegan" by "vegetarian".
        replaces = question.choice is Choice.single and answers and answers != before
        if replaces or _values(posted, FORGET + question.name) == ON:
            before = tuple(value for value in question.values if current.stated.get((question.name, value)))
        if answers != before:
            _add_answers(changes, question, answers, before)
    for name, value in _changed_judgements(changes, changed, current, statements):
        _add_judgement(changes, name, value, _values(posted, f"{JUDGE}{name}.{value}"))
    _check_contradictions(changes, statements)
    _add_pause(changes, _values(posted, PAUSE))
    return changes


def add_facts(changes: RequestedChanges, posted: Controls, shown_controls: Controls, facts: Mapping[str, Fact]) -> None:
    """Add the facts that were corrected or removed on the page, and a problem for each invalid value."""
    changes.facts, wrong = changed_facts(posted, shown_controls, facts)
    changes.problems += [FormProblem(ProblemKind.fact, FACT + fact.name, fact=fact) for fact in wrong]


def _add_pause(changes: RequestedChanges, answers: tuple[str, ...]) -> None:
    """A pause is an action, not a state: only a posted one counts, whatever the page showed."""
    days = {str(number): number for number in (*PAUSE_DAYS, RESUME)}
    if len(answers) == 1 and answers[0] in days:
        changes.pause_days = days[answers[0]]
    elif answers:
        changes.problems.append(FormProblem(ProblemKind.pause, PAUSE))


def _values(controls: Controls, name: str) -> tuple[str, ...]:
    return tuple(sorted({value for value in controls.get(name, ()) if value}))


def _add_answers(
    changes: RequestedChanges, question: Question, answers: tuple[str, ...], before: tuple[str, ...]
) -> None:
    unknown = [answer for answer in answers if answer not in question.values]
    if unknown or (question.choice is Choice.single and len(answers) > 1):
        changes.problems.append(FormProblem(ProblemKind.unknown_answer, SAY + question.name, question))
        return
    changes.stated += [StatedPreference(question.name, answer, True) for answer in answers if answer not in before]
    removed = [answer for answer in before if answer in question.values and answer not in answers]
    changes.withdrawn += [(question.name, answer) for answer in removed]


def _changed_judgements(
    changes: RequestedChanges, changed: Iterable[str], current: CurrentPreferences, statements: Statements
) -> list[tuple[str, str]]:
    pairs = (*current.judged(statements), *current.stated)
    known = {f"{JUDGE}{name}.{value}": (name, value) for name, value in pairs}
    names = sorted(name for name in changed if name.startswith(JUDGE))
    if any(name not in known for name in names):
        changes.problems.append(FormProblem(ProblemKind.conclusions_changed))
    return [known[name] for name in names if name in known]


def _add_judgement(changes: RequestedChanges, name: str, value: str, answers: tuple[str, ...]) -> None:
    if answers in (("right",), ("wrong",)):
        changes.stated.append(StatedPreference(name, value, answers == ("right",)))
    elif not answers:
        changes.withdrawn.append((name, value))
    else:
        changes.problems.append(FormProblem(ProblemKind.judgement, f"{JUDGE}{name}.{value}"))


def _are_separate(question: Question, values: set[str]) -> bool:
    """Return whether no single one of these answers implies all the others."""
    return bool(values) and not any(values <= set(question.implications.implied(value)) for value in values)


def _check_contradictions(changes: RequestedChanges, statements: Statements) -> None:
    for question in statements:
        answers = [answer for answer in changes.stated if answer.name == question.name]
        right = {answer.value for answer in answers if answer.holds}
        wrong = {answer.value for answer in answers if not answer.holds}
        implied = {value for answer in right for value in question.implications.implied(answer)}
        if (question.choice is Choice.single and _are_separate(question, right)) or implied & wrong:
            values = tuple(sorted(right | wrong))
            changes.problems.append(FormProblem(ProblemKind.contradiction, SAY + question.name, question, values))
