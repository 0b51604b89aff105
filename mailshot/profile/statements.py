"""Owns what a customer may state and what stating it means; refuses to know who stated anything.

`rules/preferences.yaml` lists the questions of the preference page:

    diet:
      title: What do you eat?
      choice: single              # or several
      values:
        vegetarian: Vegetarian
        vegan: Vegan
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

from mailshot import documents


class Choice(StrEnum):
    single = "single"
    several = "several"


@dataclass(frozen=True, slots=True)
class Question:
    """One thing a customer may state: `values` maps each word to its label."""

    name: str
    title: str
    help: str
    choice: Choice
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Statement:
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

    def consequences(self, said: Statement, before: Mapping[tuple[str, str], bool]) -> list[Statement]:
        """Return `said` and what it takes back: where one choice is allowed, no other stated value holds any more."""
        question = self.by_name.get(said.name)
        if question is None or question.choice is Choice.several or not said.holds:
            return [said]
        others = [value for (name, value), holds in before.items() if name == said.name and holds]
        return [said, *(Statement(said.name, value, False) for value in others if value != said.value)]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str
    help: str = ""
    choice: Choice = Choice.single
    values: dict[str, str] = Field(min_length=1, max_length=20)


class File(RootModel[dict[str, _Declared]]):
    @field_validator("root")
    @classmethod
    def _names(cls, questions: dict[str, _Declared]) -> dict[str, _Declared]:
        for name in questions:
            if not name.isidentifier() or name != name.lower():
                raise ValueError(f"'{name}' is not a preference name; use lower case letters, digits and _")
        return questions


def read(document: documents.Document) -> Statements:
    """Return the questions that `rules/preferences.yaml` lists. Raises InvalidInput."""
    declared = document.model(File).root
    return Statements(
        {name: Question(name, item.title, item.help, item.choice, dict(item.values)) for name, item in declared.items()}
    )
