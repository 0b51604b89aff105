"""Runs the examples in audience files as tests of the rules.

Each example is written as rows of an empty database and evaluated twice: by the compiled rule, and in plain Python.
Where "today" is not fixed, it is also evaluated on many days of the next year: its result must not depend on the day.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from mailshot.audience.counterfactual import Counterfactual
from mailshot.audience.evaluate import Evaluator, Verdict
from mailshot.audience.examples import example_reader
from mailshot.audience.examples.dates import Today
from mailshot.audience.examples.example_reader import Example
from mailshot.audience.registry import Audience
from mailshot.errors import InvalidInput, Problem
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import audiences, profiles
from mailshot.store import example_rows as rows
from mailshot.store.engine import Store

#: Steps to later days. Within a year of them no hour of the day, day of the week or day of the month repeats.
STEP, STEPS = timedelta(hours=179), 50
Reader = Callable[[Today, list[Problem]], list[Example]]


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """The result of one example."""

    audience: Audience
    example: Example
    verdict: Verdict
    #: Whether the compiled rule selects the customer.
    selected: bool
    #: What would have to change for the expected result.
    changes: tuple[str, ...] = ()
    #: A later day on which the result changes.
    otherwise: datetime | None = None

    @property
    def agreed(self) -> bool:
        """Whether both evaluations have the same result; if not, that is a bug in Mailshot."""
        return self.verdict.holds is self.selected

    @property
    def as_expected(self) -> bool:
        return self.agreed and self.verdict.holds is self.example.matches and self.otherwise is None

    def words(self) -> str:
        """Return what is wrong in a sentence."""
        if not self.agreed:
            words = ("does not match", "matches")
            return (
                f"This is a bug in Mailshot: the database says that it {words[self.selected]}, "
                f"the explanation that it {words[self.verdict.holds]}. Please report it with this rule."
            )
        failure = ("It should not match, but does.", "It should match, but does not.")[self.example.matches]
        if self.verdict.holds is self.example.matches and self.otherwise:
            later, now = f"{self.otherwise:%Y-%m-%d %H:%M}", f"{self.example.as_of:%Y-%m-%d}"
            return f"Its result changes when today is {later}. Say which day is meant: 'as_of: {now}'."
        return failure

    def as_dict(self) -> dict[str, Any]:
        return {
            "audience": self.audience.name,
            "example": self.example.name,
            "file": self.audience.file,
            "line": self.example.line,
            "as_of": self.example.as_of.isoformat(),
            "expected": self.example.matches,
            "matches": self.selected,
            "as_expected": self.as_expected,
            "says": "" if self.as_expected else self.words(),
            "changes": list(self.changes),
            "verdict": self.verdict.as_dict(),
        }


@dataclass(slots=True)
class RuleTestReport:
    """The results of all examples, and the audiences without any."""

    outcomes: list[ExampleResult] = field(default_factory=list)
    without: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[ExampleResult]:
        return [outcome for outcome in self.outcomes if not outcome.as_expected]

    def as_dict(self) -> dict[str, Any]:
        return {"examples": [outcome.as_dict() for outcome in self.outcomes], "without_examples": self.without}


def example_problems(rulebook: Rulebook, now: datetime, only: str | None = None) -> list[Problem]:
    """Return what is wrong in the examples of all audiences, or of one; none while other files have errors."""
    problems: list[Problem] = []
    try:
        clock = _clock(rulebook, now)
        known = {audience.name: audience for audience in rulebook.book.valid_audiences()}
        for name in [only] if only else rulebook.book.names:
            read = _reader(rulebook, name, known.get(name))
            read(clock, problems)
    except InvalidInput:
        return problems
    return problems


def run_examples(rulebook: Rulebook, now: datetime, chosen: Collection[Audience]) -> RuleTestReport:
    """Run every example of the audiences that can be read; `example_problems` reports the others."""
    report = RuleTestReport()
    clock = _clock(rulebook, now)
    with rows.scratch_store() as store:
        for audience in chosen:
            read = _reader(rulebook, audience.name, audience)
            wrong: list[Problem] = []
            examples = read(clock, wrong)
            if not examples and not wrong:
                report.without.append(audience.name)
            moving = _moving(read, clock, audience, examples)
            report.outcomes += [
                _judged(store, clock, audience, example, moving.get(example.name)) for example in examples
            ]
    return report


def _reader(rulebook: Rulebook, name: str, audience: Audience | None) -> Reader:
    """Return a function that reads the examples of a file as of a moment, and adds problems to a list."""
    document, condition = rulebook.book.document(name), audience.condition if audience else None

    def read(clock: Today, wrong: list[Problem]) -> list[Example]:
        problems = document.problems()
        examples = example_reader.read_examples(document, rulebook.vocabulary, clock, problems, condition)
        wrong += sorted(problems.found, key=lambda problem: (problem.line, problem.column))
        return examples

    return read


def _clock(rulebook: Rulebook, now: datetime) -> Today:
    company = rulebook.company
    return Today(company.today(None, now).astimezone(company.time_zone), company.as_of is not None)


def _judged(
    store: Store, clock: Today, audience: Audience, example: Example, otherwise: datetime | None
) -> ExampleResult:
    compiled = audiences.compiler(example.as_of, clock.zone)
    with rows.with_customer(store, example.profile, example.as_of) as (connection, who):
        selected = who in set(audiences.members(connection, compiled, audience.condition))
        profile = profiles.profile(connection, who)
    judge = Evaluator(profile, example.as_of, clock.zone)
    changes = Counterfactual(judge).changes(audience.condition, example.matches)
    words = tuple(change.words() for change in changes)
    return ExampleResult(audience, example, judge.verdict(audience.condition), selected, words, otherwise)


def _moving(read: Reader, clock: Today, audience: Audience, examples: list[Example]) -> dict[str, datetime]:
    """Return by example the first later day on which its result changes, for examples without a fixed day."""
    if clock.pinned or all(example.pinned for example in examples):
        return {}
    changed: dict[str, datetime] = {}
    judged = partial(_holds, zone=clock.zone, condition=audience.condition)
    now = {example.name: judged(example) for example in examples}
    for step in range(1, STEPS + 1):
        later = Today((clock.today + step * STEP).astimezone(clock.zone), False)
        for example in read(later, []):
            if not example.pinned and judged(example) is not now.get(example.name):
                changed.setdefault(example.name, later.today)
    return changed


def _holds(example: Example, zone: Any, condition: Any) -> bool:
    return Evaluator(example.profile, example.as_of, zone).verdict(condition).holds
