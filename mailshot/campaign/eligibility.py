"""Explains for one customer how each gate of a campaign decides, and what would have to change to pass it.

The plan's row says what was decided. The gates and their order are those of `store.eligibility_gates`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mailshot.audience.counterfactual import Counterfactual, NeededChange
from mailshot.audience.evaluate import Verdict
from mailshot.audience.nodes import Everyone
from mailshot.campaign.snapshot import Snapshot
from mailshot.profile import bucketing
from mailshot.profile.preferences import Limit
from mailshot.states import Reason
from mailshot.store import plans
from mailshot.store.eligibility_gates import GATES
from mailshot.store.eligibility_rows import EligibilityRows
from mailshot.store.engine import Connection
from mailshot.store.sent_mail import tolerance


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a mail must pass."""

    name: str
    passes: bool
    #: What is the case, in words.
    finding: str
    #: What would have to change; "" where the mail passes.
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"check": self.name, "passes": self.passes, "found": self.finding, "remedy": self.remedy}


@dataclass(frozen=True, slots=True)
class EligibilityReport:
    """The checks of one customer against one campaign."""

    connection: Connection
    edition: Snapshot
    #: Sees the customer as of the moment that is explained.
    advisor: Counterfactual
    rows: EligibilityRows
    #: The verdict on each guard's customers, by the guard's name.
    guards: Mapping[str, Verdict]
    #: The reason that a plan or run decided.
    decided: Reason | None = None

    def all(self) -> tuple[Check, ...]:
        """Return the checks of the audience and of all gates, in their order."""
        return (self.audience(), *(check for gate in GATES for check in EXPLANATIONS[gate.reason](self)))

    def audience(self) -> Check:
        changes = self.advisor.changes(self.edition.read.audience.condition)
        finding = "belongs" if not changes else "does not belong"
        return Check("audience", not changes, finding, "; ".join(change.words() for change in changes))

    def no_address(self) -> Iterator[Check]:
        if self.rows.email is None:
            yield Check("address", False, "unknown", "an address must be imported")

    def unsupported_address(self) -> Iterator[Check]:
        email = self.rows.email
        if email is not None:
            remedy = "" if email.isascii() else f"{Reason.unsupported_address.help}: another address must be imported"
            yield Check("address", not remedy, email, remedy)

    def suppression(self) -> Iterator[Check]:
        reason = self.rows.suppression
        remedy = "nothing is sent to a suppressed address" if reason else ""
        yield Check("suppression", reason is None, f"suppressed: {reason}" if reason else "not suppressed", remedy)

    def consent(self) -> Iterator[Check]:
        gates = self.edition.gates
        name = f"consent to '{gates.topic}'"
        given = self.advisor.judge.profile.consents.get(gates.topic)
        others = [key for topic, key in self.rows.withdrawn if topic == gates.topic]
        if others and given is not False:
            by = ", ".join(f"customer '{key}'" for key in others if key)
            finding = f"withdrawn at this address by {by}" if by else "withdrawn for this address by an import"
            yield Check(name, False, finding, f"the owner of the address must consent to '{gates.topic}' again")
            return
        passes = bool(given) if gates.needs_consent else given is not False
        finding = "never asked" if given is None else "given" if given else "withdrawn"
        yield Check(name, passes, finding, "" if passes else f"the customer must consent to '{gates.topic}'")

    def content(self) -> Iterator[Check]:
        changes = self._content_changes()
        matching = self._matching_content(changes)
        if matching is not None:
            yield Check("content", True, f"'{matching}' fits first")
            return
        nearest = min(changes, key=lambda name: len(changes[name]))
        wanted = "; ".join(change.words() for change in changes[nearest])
        yield Check("content", False, "no 'when' fits", f"for '{nearest}': {wanted}")

    def _content_changes(self) -> dict[str, tuple[NeededChange, ...]]:
        """Return by content what would have to change so that its `when` matches; nothing where it does."""
        whens = self.edition.read.when
        names = [item.name for item in self.edition.read.campaign.content]
        return {name: self.advisor.changes(whens.get(name, Everyone(0))) for name in names}

    def _matching_content(self, changes: Mapping[str, tuple[NeededChange, ...]]) -> str | None:
        return next((name for name, needed in changes.items() if not needed), None)

    def guard(self) -> Iterator[Check]:
        about = self.edition.read.about.get(self._matching_content(self._content_changes()) or "")
        barring = [
            guard
            for guard in self.edition.rulebook.guards
            if about is not None
            and plans.overlap(self.connection, about, guard.never)
            and self.guards[guard.name].holds
        ]
        if not barring:
            yield Check("guards", True, "none forbids this content")
            return
        changes = [change.words() for guard in barring for change in self.advisor.changes(guard.customers, False)]
        remedy = "; ".join(changes) or "another customer with this address must change their answer"
        yield Check("guards", False, ", ".join(f"'{guard.name}'" for guard in barring), remedy)

    def repeat(self) -> Iterator[Check]:
        campaign = self.edition.read.campaign
        if campaign.repeats:
            return
        as_of = self.advisor.judge.as_of
        since = campaign.received_since(as_of, self.edition.rulebook.company.time_zone)
        mails = self.rows.of(campaign.campaign, since, as_of)
        window = f" within {campaign.repeat}" if since else ""
        finding = f"run {mails[0].run_id} had this customer" if mails else f"no earlier run had this customer{window}"
        setting = f"after {campaign.repeat}" if since else "no"
        yield Check("first time", not mails, finding, f"the campaign says 'repeat: {setting}'" if mails else "")

    def cap(self) -> Iterator[Check]:
        if self.edition.gates.cap is not None:
            yield self._limit("frequency cap", self.edition.gates.cap)

    def choices(self) -> Iterator[Check]:
        """How often the customer, or another one at the same address, wants to be mailed."""
        for (name, value), limit in self.edition.gates.asked:
            if (name, value) in self.rows.answers:
                label = self.edition.rulebook.statements.by_name[name].values.get(value, value)
                yield self._limit(f"customer's choice '{label}'", limit)

    def pause(self) -> Iterator[Check]:
        until, as_of = self.rows.paused_until, self.advisor.judge.as_of
        if until is None or self.edition.gates.service:
            return
        passes, day = until <= as_of, f"{until.astimezone(as_of.tzinfo):%Y-%m-%d %H:%M %Z}"
        finding = f"ended on {day}" if passes else f"until {day}"
        yield Check("pause", passes, finding, "" if passes else "the customer must resume the mail, or wait until then")

    def _limit(self, name: str, limit: Limit) -> Check:
        as_of = self.advisor.judge.as_of
        since = limit.per.before(as_of)
        mails = self.rows.since(since, as_of, service=self.edition.gates.service)
        finding = f"{len(mails)} of {limit.mails} mails in {limit.per}"
        if len(mails) < limit.mails:
            return Check(name, True, finding)
        if limit.mails == 0:
            return Check(name, False, "wants no mail", "the customer must choose otherwise")
        last = mails[limit.mails - 1]
        counts_from = max(last.as_of, last.sent_at - tolerance(since, as_of))
        free = limit.per.after(counts_from.astimezone(as_of.tzinfo))
        return Check(name, False, finding, f"room again after {free:%Y-%m-%d %H:%M %Z}")

    def offers(self) -> Iterator[Check]:
        """Give nothing: which offers are left is only known when all customers are planned."""
        yield from ()

    def inbox(self) -> Iterator[Check]:
        if self.rows.mates:
            finding = f"shared with {', '.join(map(repr, self.rows.mates))}: one of them gets the mail"
            taken = self.decided == Reason.same_address
            yield Check("inbox", not taken, finding, "the other customer is mailed" if taken else "")

    def holdout(self) -> Iterator[Check]:
        campaign = self.edition.read.campaign
        part = bucketing.holdout(campaign.campaign).part(self.advisor.judge.profile.lot)
        passes = part >= campaign.holdout
        bucket = f"bucket {part / 100:.2f}%; customers below {campaign.holdout / 100:g}% are held out"
        remedy = "" if passes else "assigned at random, fixed per customer; 'holdout: 0%' holds out no customers"
        yield Check("holdout", passes, bucket, remedy)


#: How each gate is explained. Of the two about the address one gives the check.
EXPLANATIONS: Mapping[Reason, Callable[[EligibilityReport], Iterable[Check]]] = {
    Reason.no_address: EligibilityReport.no_address,
    Reason.unsupported_address: EligibilityReport.unsupported_address,
    Reason.suppressed: EligibilityReport.suppression,
    Reason.no_consent: EligibilityReport.consent,
    Reason.no_content: EligibilityReport.content,
    Reason.guard: EligibilityReport.guard,
    Reason.already_received: EligibilityReport.repeat,
    Reason.frequency_cap: EligibilityReport.cap,
    Reason.asked_for_less: EligibilityReport.choices,
    Reason.paused: EligibilityReport.pause,
    Reason.no_offers: EligibilityReport.offers,
    Reason.same_address: EligibilityReport.inbox,
    Reason.holdout: EligibilityReport.holdout,
}
