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

from mailshot.profile.consent import Entry, allowed
from mailshot.profile.statements import Choice, Question, StatedPreference, Statements
from mailshot.profile.topics import TRACKING, Topics
from mailshot.store.preferences import Inferred

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

    consents: Mapping[str, Entry]
    stated: Mapping[tuple[str, str], bool]
    inferred: tuple[Inferred, ...] = ()

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
