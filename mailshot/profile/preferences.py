"""What a customer may state, and what stating it means.

`rules/preferences.yaml` lists the questions of the preference page:

    diet:
      title: What do you eat?
      choice: single              # or several
      values:
        no_pork: No pork
        vegetarian: {label: Vegetarian, implies: no_pork}
        vegan: {label: Vegan, implies: vegetarian}
    frequency:
      title: How often may we write?
      values:
        every_mail: Whenever there is something for me
        weekly: {label: At most once a week, at_most: {mails: 1, per: 7 days}}

Titles, helps and labels can be written in several languages (see `facts.localized_text`); a value's label then stands
under `label`. Only the answer itself is stored. What follows from it is worked out when it is read (see implications).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel, WithJsonSchema, field_validator

from mailshot.documents import Document, Problems
from mailshot.errors import similar
from mailshot.facts import json_schema, yaml_values
from mailshot.facts.localized_text import ShopText
from mailshot.facts.periods import Span
from mailshot.profile.implications import Implications

FREQUENCY = "frequency"
ONE_OR_MORE: json_schema.Schema = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
}
WEEK, MONTH = Span(7, "day"), Span(30, "day")
#: A preference and its value, as in ('frequency', 'weekly').
Answer = tuple[str, str]


class Choice(StrEnum):
    single = "single"
    several = "several"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `mails` mails within any span `per`: what a customer asked for."""

    mails: int
    per: Span

    def words(self) -> str:
        return f"at most {self.mails} mail{'s' * (self.mails != 1)} within {self.per}"


# What these answers to the question 'frequency' mean where its file does not say so with 'at_most'.
COMMON_LIMITS = {
    "daily": Limit(1, Span(1, "day")),
    "weekly": Limit(1, WEEK),
    "fortnightly": Limit(1, Span(14, "day")),
    "biweekly": Limit(1, Span(14, "day")),
    "monthly": Limit(1, MONTH),
    "quarterly": Limit(1, Span(90, "day")),
    "yearly": Limit(1, Span(365, "day")),
    "never": Limit(0, Span(1, "day")),
}


@dataclass(frozen=True, slots=True)
class Question:
    """One thing a customer may state.

    `values` maps each answer to its label. `implications` says which values follow from which; it may name values that
    the page does not offer. `limits` holds the answers that say how often the customer may be mailed.
    """

    name: str
    title: str
    help: str
    choice: Choice
    values: Mapping[str, str]
    implications: Implications = field(default_factory=Implications)
    limits: Mapping[str, Limit] = field(default_factory=dict)

    @property
    def words(self) -> tuple[str, ...]:
        """Every value a rule may name: those of the page, then those that only follow from them."""
        implied = (value for values in self.implications.direct.values() for value in values)
        return tuple(dict.fromkeys([*self.values, *implied]))


@dataclass(frozen=True, slots=True)
class StatedPreference:
    """What a customer says: `name: value` holds, or does not."""

    name: str
    value: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Statements:
    """Every question by name, in the order in which the file lists them."""

    by_name: Mapping[str, Question]

    def __iter__(self) -> Iterator[Question]:
        return iter(self.by_name.values())

    def get(self, name: str) -> Question | None:
        return self.by_name.get(name)

    def implications(self, name: str) -> Implications:
        """Return what the values of a preference or trait imply: nothing, for a name that no question has."""
        question = self.by_name.get(name)
        return question.implications if question else Implications()

    def limits(self) -> tuple[tuple[Answer, Limit], ...]:
        """Return the answers that limit how often a customer may be mailed, each with every limit it has or implies."""
        return tuple(
            ((question.name, value), question.limits[implied])
            for question in self
            for value in question.words
            for implied in question.implications.implied(value)
            if implied in question.limits
        )

    def follows(self, statement: StatedPreference, before: Mapping[tuple[str, str], bool]) -> bool:
        """Say whether `statement` is a yes that follows from another answer anyway, so that nothing need be stored."""
        implying = self.implications(statement.name).closure(statement.value).implying
        return statement.holds and any(
            before.get((statement.name, word)) for word in implying if word != statement.value
        )

    def retracted(self, statement: StatedPreference, before: Mapping[tuple[str, str], bool]) -> list[str]:
        """Return the values of earlier statements that `statement` removes; none of them becomes a "no".

        Yes takes back every "no" to what it implies and, where one choice is allowed, each other answer from which it
        does not follow anyway. No takes back every "yes" from which the denied value follows.
        """
        answers = {
            value: holds
            for (name, value), holds in before.items()
            if name == statement.name and value != statement.value
        }
        implications = self.implications(statement.name)
        closure = implications.closure(statement.value)
        if not statement.holds:
            return [value for value, holds in answers.items() if holds and value in closure.implying]
        question = self.by_name.get(statement.name)
        single = question is not None and question.choice is Choice.single
        denied = [value for value, holds in answers.items() if not holds and value in closure.implied]
        replaced = [value for value, holds in answers.items() if holds and single and value not in closure.implying]
        return denied + replaced


NO_QUESTIONS = Statements({})


def _span(text: Any) -> Span:
    span = text if isinstance(text, Span) else Span.parse(str(text))
    if span is None:
        raise ValueError("is not a length of time; write for example '7 days'")
    return span


def _words(value: Any) -> object:
    return [value] if isinstance(value, str) else value


class _Limit(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    mails: yaml_values.Whole = Field(ge=0)
    per: Annotated[Span, BeforeValidator(_span), WithJsonSchema(json_schema.SPAN)]


class _Value(BaseModel):
    """One answer; text alone is its label."""

    model_config = ConfigDict(extra="forbid")

    label: ShopText = ""
    implies: Annotated[list[str], BeforeValidator(_words), WithJsonSchema(ONE_OR_MORE)] = []
    at_most: _Limit | None = None


def _value(value: Any) -> object:
    return {"label": value} if isinstance(value, str) else value


Value = Annotated[_Value, BeforeValidator(_value, json_schema_input_type=str | _Value)]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: ShopText
    help: ShopText = ""
    choice: Choice = Choice.single
    values: dict[str, Value] = Field(min_length=1, max_length=20)


class PreferencesFile(RootModel[dict[str, _Declared]]):
    @field_validator("root")
    @classmethod
    def _names(cls, questions: dict[str, _Declared]) -> dict[str, _Declared]:
        for name in questions:
            if not name.isidentifier() or name != name.lower():
                raise ValueError(f"'{name}' is not a preference name; use lower case letters, digits and _")
        return questions


def read(document: Document) -> Statements:
    """Return the questions that `rules/preferences.yaml` lists. Raises InvalidInput."""
    declared = document.model(PreferencesFile).root
    problems = document.problems()
    questions = {name: _question(name, item) for name, item in declared.items()}
    for question in questions.values():
        _check(document, question, problems)
    problems.raise_if_any()
    return Statements(questions)


def _question(name: str, item: _Declared) -> Question:
    common = COMMON_LIMITS if name == FREQUENCY else {}
    stated = {value: answer.at_most for value, answer in item.values.items() if answer.at_most}
    limits = {**common, **{value: Limit(at_most.mails, at_most.per) for value, at_most in stated.items()}}
    return Question(
        name=name,
        title=item.title,
        help=item.help,
        choice=item.choice,
        values={value: answer.label or _label(value) for value, answer in item.values.items()},
        implications=Implications(
            {value: tuple(answer.implies) for value, answer in item.values.items() if answer.implies}
        ),
        limits=limits,
    )


def _label(value: str) -> str:
    return value.replace("_", " ").capitalize()


def _check(document: Document, question: Question, problems: Problems) -> None:
    """Refuse circles, and words that look like a misspelt answer."""
    direct = question.implications.direct
    if circle := question.implications.cycle():
        node = document.at(question.name, "values", circle[0], "implies")
        problems.add(node, f"these values imply each other in a circle: {' -> '.join(circle)}", "Take one step out.")
    for value, implied in direct.items():
        for word in implied:
            likely = similar(word, question.values)
            if word not in question.values and (likely or not word.isidentifier()):
                node = document.at(question.name, "values", value, "implies")
                remedy = f"Did you mean '{likely}'?" if likely else "Use lower case letters, digits and _."
                problems.add(node, f"'{word}' is no value of '{question.name}'", remedy)
