"""The gates of eligibility over rows of the ledger: the final check right before the dot, in `ledger.commit_intent`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, exists, func, not_, or_, true

from mailshot.profile.preferences import Answer, Limit
from mailshot.states import MAY_HAVE_ARRIVED, UNSENT
from mailshot.store import dialect, inboxes, pauses, sent_mail
from mailshot.store.dialect import Clause
from mailshot.store.eligibility import (
    CONSENT,
    CUSTOMER,
    DELIVERY,
    PREFERENCE,
    RUN,
    SUPPRESSION,
    WITHDRAWAL,
    Gates,
    answered,
    counts_in_caps,
    given_since,
)
from mailshot.store.pauses import PAUSE

_ITS_CUSTOMER = CUSTOMER.c.id == DELIVERY.c.customer_id


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
            return exists(inboxes.of_delivery(PREFERENCE, answered(PREFERENCE, *answer)))

        return or_(*(and_(stated(answer), self._reached(limit)) for answer, limit in self.gates.asked))

    @property
    def paused(self) -> Clause | None:
        """A customer of the inbox asked for a pause; None for service mail, which no pause stops."""
        if self.gates.service:
            return None
        lasting = and_(PAUSE.c.until > self.as_of, pauses.is_latest(PAUSE))
        return exists(inboxes.of_delivery(PAUSE, lasting))

    def _reached(self, limit: Limit) -> Clause:
        if limit.mails == 0:
            return true()
        mail, ran = DELIVERY.alias("mail"), RUN.alias("ran")
        recent = sent_mail.counts_since(ran, mail, limit.per.before(self.as_of), self.as_of)
        counting = and_(ran.c.id == mail.c.run_id, ran.c.id != self.run_id, counts_in_caps(ran, self.gates), recent)
        mails = inboxes.of_delivery(mail, counting, mail.c.state.in_(MAY_HAVE_ARRIVED)).with_only_columns(func.count())
        return mails.scalar_subquery() >= limit.mails
