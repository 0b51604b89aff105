"""Topics that customers can subscribe to, and the decision which consent entry counts.

`rules/topics.yaml` lists them:

    offers:
      title: Weekly offers
      help: What is reduced this week, chosen by what you like
      public: true                # visitors may sign up for it
    service:
      title: About your orders
      requires_consent: false     # may be sent until the customer says no

Titles and helps can be written in several languages (see `facts.localized_text`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, RootModel, field_validator

from mailshot import documents
from mailshot.errors import NotFound, nearest
from mailshot.facts.localized_text import ShopText

TRACKING = "tracking"


@dataclass(frozen=True, slots=True)
class Topic:
    """One subscription subject. `requires_consent` is false where mail may be sent until the customer says no.

    Title and help may have translations (`facts.localized_text.in_language`).
    """

    name: str
    title: str
    help: str = ""
    requires_consent: bool = True
    #: Visitors may sign up for it (`web.sign_up`).
    public: bool = False


@dataclass(frozen=True, slots=True)
class Topics:
    """Every topic by name, in the order in which the file lists them."""

    by_name: Mapping[str, Topic]

    def __iter__(self) -> Iterator[Topic]:
        return iter(self.by_name.values())

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def get(self, name: str) -> Topic:
        """Return the topic called `name`. Raises NotFound with the nearest known word."""
        if name not in self.by_name:
            raise NotFound(f"There is no topic '{name}'.", nearest(name, self.by_name))
        return self.by_name[name]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: ShopText
    help: ShopText = ""
    requires_consent: bool = True
    public: bool = False


class TopicsFile(RootModel[dict[str, _Declared]]):
    @field_validator("root")
    @classmethod
    def _names(cls, topics: dict[str, _Declared]) -> dict[str, _Declared]:
        for name in topics:
            if not name.isidentifier() or name != name.lower():
                raise ValueError(f"'{name}' is not a topic name; use lower case letters, digits and _")
        if TRACKING in topics:
            raise ValueError(f"'{TRACKING}' is reserved for the consent to count opens and clicks")
        return topics


def read(document: documents.Document) -> Topics:
    """Return the topics that `rules/topics.yaml` lists. Raises InvalidInput."""
    declared = document.model(TopicsFile).root
    return Topics(
        {
            name: Topic(name, item.title, item.help, item.requires_consent, item.public)
            for name, item in declared.items()
        }
    )


@dataclass(frozen=True, slots=True)
class ConsentEntry:
    """One consent given or withdrawn."""

    given: bool
    at: datetime


def newest_entry(entries: Iterable[ConsentEntry]) -> ConsentEntry | None:
    """Return the latest entry, in any input order; of two at the same time, the withdrawal."""
    return max(entries, key=lambda entry: (entry.at, not entry.given), default=None)


def may_mail(topic: Topic, entry: ConsentEntry | None) -> bool:
    """Return whether mail on `topic` may be sent; without an answer, only if it requires no consent."""
    return entry.given if entry else not topic.requires_consent


def effective_at(entry: ConsentEntry | None, at: datetime) -> datetime:
    """Return when a new word counts from: after the last one, even when a clock was set back in between."""
    return max(at, entry.at + timedelta(microseconds=1)) if entry else at
