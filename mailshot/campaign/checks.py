"""Owns the list of all that a campaign's mail must pass for one customer, in the order of a plan; refuses to decide.

The plan's row says what was decided. This list says how each check stands, and what would have to change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mailshot.audience.changes import Advisor
from mailshot.audience.nodes import Everyone
from mailshot.campaign.frozen import Edition
from mailshot.profile import lot
from mailshot.store import plans
from mailshot.store.engine import Connection
from mailshot.store.obstacles import Obstacles


@dataclass(frozen=True, slots=True)
class Check:
    """One thing a mail must pass: what was found, and (where it does not) what would have to change."""

    name: str
    passes: bool
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"check": self.name, "passes": self.passes, "found": self.found, "remedy": self.remedy}


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks one customer, seen through `advisor`, against one campaign."""

    connection: Connection
    edition: Edition
    advisor: Advisor
    obstacles: Obstacles

    def all(self) -> tuple[Check, ...]:
        """Return every check, in the order of a plan's reasons."""
        content, when = self._content()
        return (
            self._audience(),
            self._address(),
            self._suppression(),
            self._consent(),
            when,
            self._guards(content),
            *self._repeat(),
            *self._cap(),
            self._holdout(),
        )

    def _audience(self) -> Check:
        changes = self.advisor.changes(self.edition.read.audience.condition)
        told = "belongs" if not changes else "does not belong"
        return Check("audience", not changes, told, "; ".join(change.words() for change in changes))

    def _address(self) -> Check:
        email = self.obstacles.email
        return Check("address", email is not None, email or "unknown", "" if email else "an address must be imported")

    def _suppression(self) -> Check:
        reason = self.obstacles.suppression
        remedy = "nothing is sent to a suppressed address" if reason else ""
        return Check("suppression", reason is None, f"suppressed: {reason}" if reason else "not suppressed", remedy)

    def _consent(self) -> Check:
        topic = self.edition.read.campaign.topic
        given = self.advisor.judge.profile.consents.get(topic)
        needed = self.edition.rulebook.topics.get(topic).requires_consent
        passes = bool(given) if needed else given is not False
        told = "never asked" if given is None else "given" if given else "withdrawn"
        remedy = "" if passes else f"the customer must consent to '{topic}'"
        return Check(f"consent to '{topic}'", passes, told, remedy)

    def _content(self) -> tuple[str | None, Check]:
        """Return the content that fits first, and the check that one does."""
        whens = self.edition.read.when
        ways = {
            item.name: self.advisor.changes(whens.get(item.name, Everyone(0)))
            for item in self.edition.read.campaign.content
        }
        fitting = next((name for name, way in ways.items() if not way), None)
        if fitting is not None:
            return fitting, Check("content", True, f"'{fitting}' fits first")
        nearest = min(ways, key=lambda name: len(ways[name]))
        wanted = "; ".join(change.words() for change in ways[nearest])
        return None, Check("content", False, "no 'when' fits", f"for '{nearest}': {wanted}")

    def _guards(self, content: str | None) -> Check:
        about = self.edition.read.about.get(content or "")
        barring = [
            guard
            for guard in self.edition.rulebook.guards
            if about is not None
            and plans.overlap(self.connection, about, guard.never)
            and self.advisor.judge.verdict(guard.customers).holds
        ]
        if not barring:
            return Check("guards", True, "none forbids this content")
        changes = [change.words() for guard in barring for change in self.advisor.changes(guard.customers, False)]
        return Check("guards", False, ", ".join(f"'{guard.name}'" for guard in barring), "; ".join(changes))

    def _repeat(self) -> Iterator[Check]:
        campaign = self.edition.read.campaign
        if campaign.repeats:
            return
        as_of = self.advisor.judge.as_of
        since = campaign.received_since(as_of, self.edition.rulebook.company.time_zone)
        mails = self.obstacles.of(campaign.campaign, since, as_of)
        lately = f" within {campaign.repeat}" if since else ""
        told = f"run {mails[0]['id']} had this customer" if mails else f"no earlier run had this customer{lately}"
        says = f"after {campaign.repeat}" if since else "no"
        yield Check("first time", not mails, told, f"the campaign says 'repeat: {says}'" if mails else "")

    def _cap(self) -> Iterator[Check]:
        cap = self.edition.read.campaign.limits.cap
        if cap is None:
            return
        as_of = self.advisor.judge.as_of
        mails = self.obstacles.since(cap.per.before(as_of))
        passes = len(mails) < cap.mails
        free = cap.per.after(mails[cap.mails - 1]["as_of"].astimezone(as_of.tzinfo)) if not passes else as_of
        remedy = "" if passes else f"room again after {free:%Y-%m-%d %H:%M %Z}"
        yield Check("frequency cap", passes, f"{len(mails)} of {cap.mails} mails in {cap.per}", remedy)

    def _holdout(self) -> Check:
        campaign = self.edition.read.campaign
        part = lot.holdout(campaign.campaign).part(self.advisor.judge.profile.lot)
        passes = part >= campaign.holdout
        told = f"stands at {part / 100:.2f}%, the first {campaign.holdout / 100:g}% are kept back"
        return Check("holdout", passes, told, "" if passes else "the lot decides; 'holdout: 0%' keeps nobody back")
