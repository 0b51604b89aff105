"""Owns a campaign whose conditions, products and names are read in the light of the rulebook; refuses customers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mailshot.audience.book import Audience
from mailshot.audience.nodes import Condition
from mailshot.campaign.definition import Campaign
from mailshot.documents import Document, Step
from mailshot.profile import selections
from mailshot.profile.products import Selection
from mailshot.profile.senders import Sender

if TYPE_CHECKING:
    from mailshot.campaign.rulebook import Rulebook

REPEAT = (
    "Add 'repeat: no' (each customer once), 'repeat: yes' (in every run), "
    "or for example 'repeat: after 300 days' (again when the last mail is that long ago)."
)


@dataclass(frozen=True)
class ReadCampaign:
    """A campaign whose conditions and selections are read: by content name and by offers name."""

    campaign: Campaign
    audience: Audience
    sender: Sender
    when: Mapping[str, Condition]
    about: Mapping[str, Selection]
    offered: Mapping[str, Selection]
    goal: Selection
    file: str

    @classmethod
    def read(cls, rulebook: Rulebook, document: Document) -> ReadCampaign:
        """Read a campaign's file in the light of the rulebook. Raises InvalidInput with every problem."""
        campaign = document.model(Campaign)
        reader = _Reader(rulebook, document)
        reader.names(campaign)
        reader.repeat(campaign)
        contents, offers = campaign.content, campaign.offers
        when = {item.name: reader.when(n, item.name) for n, item in enumerate(contents) if item.when is not None}
        about = {
            item.name: reader.products("content", n, "about")
            for n, item in enumerate(contents)
            if item.about is not None
        }
        offered = {name: reader.products("offers", name, "products") for name in offers}
        goal = (
            reader.products("goal", "products") if campaign.goal and campaign.goal.products is not None else Selection()
        )
        audience = reader.audience(campaign)
        reader.problems.raise_if_any()
        assert audience is not None
        sound = {name: condition for name, condition in when.items() if condition}
        sender = rulebook.senders[campaign.sender]
        return cls(campaign, audience, sender, sound, about, offered, goal, document.name)


class _Reader:
    """Reads the rules inside one campaign file, collecting what is wrong."""

    def __init__(self, rulebook: Rulebook, document: Document) -> None:
        self.rulebook = rulebook
        self.document = document
        self.problems = document.problems()

    def names(self, campaign: Campaign) -> None:
        known = {"topic": self.rulebook.topics.by_name, "sender": self.rulebook.senders}
        for field, words in known.items():
            self._known(getattr(campaign, field), words, field, field)
        seen: set[str] = set()
        for number, content in enumerate(campaign.content):
            if content.offers is not None:
                self._known(content.offers, campaign.offers, "offers", "content", number, "offers")
            if content.name in seen:
                self._add(f"the content '{content.name}' stands twice", "Rename one.", "content", number, "name")
            seen.add(content.name)
        if campaign.goal and campaign.goal.event is not None:
            self._known(campaign.goal.event, self.rulebook.catalogue.events, "event", "goal", "event")

    def repeat(self, campaign: Campaign) -> None:
        """Ask how often one customer gets a recurring campaign. Rules of the past were launched without saying it."""
        if campaign.schedule.cron is not None and campaign.repeat is None and not self.rulebook.past:
            self._add("the campaign recurs, but does not say whether a customer gets it again", REPEAT, "schedule")

    def audience(self, campaign: Campaign) -> Audience | None:
        if campaign.audience not in self.rulebook.book.names:
            self._known(campaign.audience, self.rulebook.book.names, "audience", "audience")
            return None
        return self.rulebook.book.audience(campaign.audience)

    def when(self, number: int, salt: str) -> Condition | None:
        node = self.document.at("content", number, "when")
        return self.rulebook.book.condition(node, self.problems, f"{self.document.name}:{salt}")

    def products(self, *path: Step) -> Selection:
        found = selections.read(self.document.at(*path), self.rulebook.vocabulary.products, self.problems)
        return found or Selection()

    def _known(self, word: str, known: Any, what: str, *path: Step) -> None:
        if word not in known:
            self.problems.unknown(self.document.at(*path), f"unknown {what} '{word}'", word, known)

    def _add(self, message: str, remedy: str, *path: Step) -> None:
        self.problems.add(self.document.at(*path), message, remedy)
