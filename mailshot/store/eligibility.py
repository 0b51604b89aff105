"""Who may be mailed: what a campaign requires, and its gates over deliveries right before their final dot.

An address is one inbox, whichever of its customers is mailed. A withdrawal by any of them, a suppression, earlier mails
and caps bind all of them. So each clause tests the inbox: the customer and all others with the same `address_hash`.

`eligibility_gates` puts all gates in order: start there. `plan_gates` has those of a plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import (
    ColumnElement,
    FromClause,
    and_,
    exists,
    func,
    not_,
    or_,
    true,
)

from mailshot.facts.periods import Span
from mailshot.profile.preferences import Answer, Limit
from mailshot.states import MAY_HAVE_ARRIVED, UNSENT
from mailshot.store import dialect, inboxes, sent_mail, tables
from mailshot.store.audiences import SCHEMA
from mailshot.store.engine import Connection

Clause = ColumnElement[bool]

RUN, DELIVERY, SUPPRESSION = (
    dialect.table(tables.Run),
    dialect.table(tables.Delivery),
    dialect.table(tables.Suppression),
)
ROW, WITHDRAWAL = dialect.table(tables.PlanRow), dialect.table(tables.AddressWithdrawal)
CUSTOMER, CONSENT, PREFERENCE = SCHEMA.customer, SCHEMA.consent, SCHEMA.preference


@dataclass(frozen=True, slots=True)
class Gates:
    """What a campaign requires of the customers it mails.

    Neither `cap` nor `choices` counts mail on topics that need no consent (service mail), and no choice stops it.
    """

    topic: str
    needs_consent: bool
    #: The campaign's own cap.
    cap: Limit | None = None
    #: Answers of a preference, as (name, value), with how often a customer who gave one may be mailed.
    choices: Sequence[tuple[Answer, Limit]] = ()

    @property
    def service(self) -> bool:
        """Whether the mail may be sent until the customer withdraws consent."""
        return not self.needs_consent

    @property
    def asked(self) -> Sequence[tuple[Answer, Limit]]:
        """The choices that apply to this campaign."""
        return () if self.service else self.choices

    @property
    def counts(self) -> bool:
        """Whether earlier mails matter."""
        return self.cap is not None or bool(self.asked)

    def freeze(self) -> dict[str, Any]:
        """Return it in types that JSON knows."""
        choices = [[*answer, limit.mails, str(limit.per)] for answer, limit in self.choices]
        cap = [self.cap.mails, str(self.cap.per)] if self.cap else None
        return {"topic": self.topic, "needs_consent": self.needs_consent, "cap": cap, "choices": choices}

    @classmethod
    def thaw(cls, body: Mapping[str, Any]) -> Self:
        """Read what `freeze` returned."""
        choices = tuple(((name, value), _limit(mails, per)) for name, value, mails, per in body["choices"])
        return cls(body["topic"], body["needs_consent"], _limit(*body["cap"]) if body["cap"] else None, choices)


def _limit(mails: int, per: str) -> Limit:
    span = Span.parse(per)
    assert span is not None, per
    return Limit(mails, span)


def lock_caps(connection: Connection) -> None:
    """Wait until no other transaction decides a plan, of whichever campaign, and keep others from doing so.

    Caps count the mails of all campaigns, also those that are only planned for a launch: two plans that are decided at
    the same time would not see each other's. At the dot, `ledger.commit_intent` locks the inboxes instead.
    """
    dialect.advisory_lock(connection, "plan")


@dataclass(frozen=True, slots=True)
class SendGates:
    """The gates as clauses over rows of the ledger: the final check before a mail leaves."""

    run_id: int
    gates: Gates
    #: The present moment on the calendar of the run (see `sent_mail`).
    as_of: datetime

    @property
    def no_address(self) -> Clause:
        return not_(exists().where(_ITS_CUSTOMER, CUSTOMER.c.email.is_not(None)))

    @property
    def unsupported_address(self) -> Clause:
        return exists().where(_ITS_CUSTOMER, dialect.HasNonAscii(CUSTOMER.c.email))

    @property
    def suppressed(self) -> Clause:
        return exists().where(_ITS_CUSTOMER, CUSTOMER.c.address_hash == SUPPRESSION.c.address_hash)

    @property
    def capped(self) -> Clause | None:
        """The inbox got as many mails as the campaign's cap allows; None without a cap."""
        return self._reached(self.gates.cap) if self.gates.cap is not None else None

    @property
    def withdrawn(self) -> Clause:
        """A customer of the inbox withdrew consent since the launch, or the address itself was withdrawn."""
        topic = self.gates.topic
        since = exists().where(given_since(CONSENT, DELIVERY.c.customer_id, topic)).correlate(DELIVERY, WITHDRAWAL)
        address = exists().where(
            _ITS_CUSTOMER,
            WITHDRAWAL.c.address_hash == CUSTOMER.c.address_hash,
            WITHDRAWAL.c.topic == topic,
            not_(since),
        )
        mates = inboxes.of_delivery(CONSENT, CONSENT.c.topic == topic, CONSENT.c.given.is_(False))
        return or_(exists(mates), address.correlate(DELIVERY))

    @property
    def doubled(self) -> Clause:
        """Another customer of the inbox got this run's mail, or comes before this one in the line for it.

        Of two that wait, the one with the smaller id is mailed. So two workers that check at the same moment cannot
        both let one pass, though neither sees what the other is about to write.
        """
        other = DELIVERY.alias("other")
        first = and_(other.c.state.in_(UNSENT), other.c.customer_id < DELIVERY.c.customer_id)
        mate = and_(other.c.run_id == self.run_id, other.c.customer_id != DELIVERY.c.customer_id)
        return exists(inboxes.of_delivery(other, mate, or_(other.c.state.in_(MAY_HAVE_ARRIVED), first)))

    @property
    def asked_for_less(self) -> Clause | None:
        """A customer of the inbox chose to be mailed less often; None where the campaign heeds no choice."""
        if not self.gates.asked:
            return None

        def stated(answer: Answer) -> Clause:
            return exists(inboxes.of_delivery(PREFERENCE, answered(*answer)))

        return or_(*(and_(stated(answer), self._reached(limit)) for answer, limit in self.gates.asked))

    def _reached(self, limit: Limit) -> Clause:
        if limit.mails == 0:
            return true()
        mail, ran = DELIVERY.alias("mail"), RUN.alias("ran")
        recent = sent_mail.recent(ran, mail, limit.per.before(self.as_of), self.as_of)
        counting = and_(ran.c.id == mail.c.run_id, ran.c.id != self.run_id, counted(ran, self.gates), recent)
        mails = inboxes.of_delivery(mail, counting, mail.c.state.in_(MAY_HAVE_ARRIVED)).with_only_columns(func.count())
        return mails.scalar_subquery() >= limit.mails


_ITS_CUSTOMER = CUSTOMER.c.id == DELIVERY.c.customer_id


def given_since(log: FromClause, customer: ColumnElement[Any], topic: str) -> Clause:
    """The customer's own consent is newer than the withdrawal of the address."""
    own = and_(log.c.customer_id == customer, log.c.topic == topic)
    return and_(own, log.c.given.is_(True), log.c.at > WITHDRAWAL.c.at)


def answered(name: str, value: str) -> Clause:
    return and_(PREFERENCE.c.name == name, PREFERENCE.c.value == value, PREFERENCE.c.holds.is_(True))


def counted(run: FromClause, gates: Gates) -> Clause:
    """Service mail is not counted, unless a campaign of service mail caps itself."""
    return true() if gates.service else run.c.service.is_(False)
