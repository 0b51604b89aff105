"""Owns the list of all that a campaign's mail must pass for one customer, in the order of a plan; refuses to decide.

The plan's row says what was decided. This list says how each check stands, and what would have to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mailshot.audience.counterfactual import Counterfactual
from mailshot.audience.evaluate import Verdict
from mailshot.audience.nodes import Everyone
from mailshot.campaign.snapshot import Snapshot
from mailshot.profile import bucketing
from mailshot.profile.preferences import Limit
from mailshot.states import Reason
from mailshot.store import plans
from mailshot.store.eligibility import tolerance
from mailshot.store.eligibility_rows import EligibilityRows
from mailshot.store.engine import Connection


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
class EligibilityReport:
    """Checks one customer, seen through `advisor`, against one campaign; `decided` is the reason a plan has given."""

    connection: Connection
    edition: Snapshot
    advisor: Counterfactual
    obstacles: EligibilityRows
    guards: Mapping[str, Verdict]
    decided: str | None = None

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
            *self._choices(),
            *self._inbox(),
            self._holdout(),
        )

    def _audience(self) -> Check:
        changes = self.advisor.changes(self.edition.read.audience.condition)
        told = "belongs" if not changes else "does not belong"
        return Check("audience", not changes, told, "; ".join(change.words() for change in changes))

    def _address(self) -> Check:
        email = self.obstacles.email
        if email is None:
            return Check("address", False, "unknown", "an address must be imported")
        remedy = "" if email.isascii() else f"{Reason.unsupported_address.help}: another address must be imported"
        return Check("address", not remedy, email, remedy)

    def _suppression(self) -> Check:
        reason = self.obstacles.suppression
        remedy = "nothing is sent to a suppressed address" if reason else ""
        return Check("suppression", reason is None, f"suppressed: {reason}" if reason else "not suppressed", remedy)

    def _consent(self) -> Check:
        gates = self.edition.gates
        name = f"consent to '{gates.topic}'"
        given = self.advisor.judge.profile.consents.get(gates.topic)
        others = [key for topic, key in self.obstacles.withdrawn if topic == gates.topic]
        if others and given is not False:
            by = ", ".join(f"customer '{key}'" for key in others if key)
            told = f"withdrawn at this address by {by}" if by else "withdrawn for this address by an import"
            return Check(name, False, told, f"the owner of the address must consent to '{gates.topic}' again")
        passes = bool(given) if gates.needs_consent else given is not False
        told = "never asked" if given is None else "given" if given else "withdrawn"
        return Check(name, passes, told, "" if passes else f"the customer must consent to '{gates.topic}'")

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
            and self.guards[guard.name].holds
        ]
        if not barring:
            return Check("guards", True, "none forbids this content")
        changes = [change.words() for guard in barring for change in self.advisor.changes(guard.customers, False)]
        remedy = "; ".join(changes) or "another customer with this address must change their answer"
        return Check("guards", False, ", ".join(f"'{guard.name}'" for guard in barring), remedy)

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
        if self.edition.gates.cap is not None:
            yield self._limit("frequency cap", self.edition.gates.cap)

    def _choices(self) -> Iterator[Check]:
        """How often the customer, or another one at the same address, wants to be mailed."""
        for (name, value), limit in self.edition.gates.asked:
            if (name, value) in self.obstacles.answers:
                label = self.edition.rulebook.statements.by_name[name].values.get(value, value)
                yield self._limit(f"customer's choice '{label}'", limit)

    def _limit(self, name: str, limit: Limit) -> Check:
        as_of = self.advisor.judge.as_of
        since = limit.per.before(as_of)
        mails = self.obstacles.since(since, as_of, service=self.edition.gates.service)
        found = f"{len(mails)} of {limit.mails} mails in {limit.per}"
        if len(mails) < limit.mails:
            return Check(name, True, found)
        if limit.mails == 0:
            return Check(name, False, "wants no mail", "the customer must choose otherwise")
        last = mails[limit.mails - 1]
        counts_from = max(last["as_of"], last["sent_at"] - tolerance(since, as_of))
        free = limit.per.after(counts_from.astimezone(as_of.tzinfo))
        return Check(name, False, found, f"room again after {free:%Y-%m-%d %H:%M %Z}")

    def _inbox(self) -> Iterator[Check]:
        if self.obstacles.mates:
            told = f"shared with {', '.join(map(repr, self.obstacles.mates))}: one of them gets the mail"
            taken = self.decided == Reason.same_address
            yield Check("inbox", not taken, told, "the other customer is mailed" if taken else "")

    def _holdout(self) -> Check:
        campaign = self.edition.read.campaign
        part = bucketing.holdout(campaign.campaign).part(self.advisor.judge.profile.lot)
        passes = part >= campaign.holdout
        bucket = f"bucket {part / 100:.2f}%; customers below {campaign.holdout / 100:g}% are held out"
        remedy = "" if passes else "assigned at random, fixed per customer; 'holdout: 0%' holds out no customers"
        return Check("holdout", passes, bucket, remedy)
