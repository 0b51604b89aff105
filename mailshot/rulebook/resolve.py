"""A campaign whose conditions, products and names are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailshot.audience.nodes import Condition
from mailshot.audience.registry import Audience, AudienceRegistry
from mailshot.documents import Document, Step
from mailshot.facts import product_filters
from mailshot.facts.catalogue import Catalogue
from mailshot.facts.product_filters import ProductFilter
from mailshot.profile.senders import Sender
from mailshot.profile.topics import Topics
from mailshot.rulebook.campaign import CampaignDefinition

REPEAT = (
    "Add 'repeat: no' (each customer once), 'repeat: yes' (in every run), "
    "or for example 'repeat: after 300 days' (again when the last mail is that long ago)."
)


@dataclass(frozen=True, slots=True)
class Context:
    """What a campaign's file may name. `past`: True for rules written before `repeat` was required."""

    catalogue: Catalogue
    topics: Topics
    senders: Mapping[str, Sender]
    book: AudienceRegistry
    past: bool


@dataclass(frozen=True)
class ResolvedCampaign:
    """A campaign whose conditions and selections are read: by content name and by offers name."""

    campaign: CampaignDefinition
    audience: Audience
    sender: Sender
    when: Mapping[str, Condition]
    about: Mapping[str, ProductFilter]
    offered: Mapping[str, ProductFilter]
    goal: ProductFilter
    file: str

    @classmethod
    def read(cls, context: Context, document: Document) -> ResolvedCampaign:
        """Read a campaign's file. Raises InvalidInput with every problem."""
        campaign = document.model(CampaignDefinition)
        reader = _Reader(context, document)
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
            reader.products("goal", "products")
            if campaign.goal and campaign.goal.products is not None
            else ProductFilter()
        )
        audience = reader.audience(campaign)
        reader.problems.raise_if_any()
        assert audience is not None
        sound = {name: condition for name, condition in when.items() if condition}
        sender = context.senders[campaign.sender]
        return cls(campaign, audience, sender, sound, about, offered, goal, document.name)


class _Reader:
    """Reads the rules inside one campaign file, collecting what is wrong."""

    def __init__(self, context: Context, document: Document) -> None:
        self.context = context
        self.document = document
        self.problems = document.problems()

    def names(self, campaign: CampaignDefinition) -> None:
        known = {"topic": self.context.topics.by_name, "sender": self.context.senders}
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
            self._known(campaign.goal.event, self.context.catalogue.events, "event", "goal", "event")

    def repeat(self, campaign: CampaignDefinition) -> None:
        """Ask how often one customer gets a recurring campaign. Rules of the past were launched without saying it."""
        if campaign.schedule.cron is not None and campaign.repeat is None and not self.context.past:
            self._add("the campaign recurs, but does not say whether a customer gets it again", REPEAT, "schedule")

    def audience(self, campaign: CampaignDefinition) -> Audience | None:
        if campaign.audience not in self.context.book.names:
            self._known(campaign.audience, self.context.book.names, "audience", "audience")
            return None
        return self.context.book.audience(campaign.audience)

    def when(self, number: int, salt: str) -> Condition | None:
        node = self.document.at("content", number, "when")
        return self.context.book.condition(node, self.problems, f"{self.document.name}:{salt}")

    def products(self, *path: Step) -> ProductFilter:
        selection = product_filters.read_product_filter(
            self.document.at(*path), self.context.book.vocabulary.products, self.problems
        )
        return selection or ProductFilter()

    def _known(self, word: str, known: Any, what: str, *path: Step) -> None:
        if word not in known:
            self.problems.unknown(self.document.at(*path), f"unknown {what} '{word}'", word, known)

    def _add(self, message: str, remedy: str, *path: Step) -> None:
        self.problems.add(self.document.at(*path), message, remedy)
