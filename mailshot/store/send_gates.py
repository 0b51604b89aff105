"""The gates of eligibility over rows of the ledger: the final check, in `worker_ledger.commit_intent`.

The clauses are built and compiled once for a campaign's gates. To build them costs more than to run them, and they run
many times a second. So the run and all moments are parameters, whose values `parameters` returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, and_, bindparam, exists, func, not_, or_, true

from mailshot.audience.compile import unindexed
from mailshot.profile.preferences import Answer, Limit
from mailshot.states import MAY_HAVE_ARRIVED, UNSENT
from mailshot.store import dialect, inboxes, pauses, sent_mail
from mailshot.store.column_types import Instant
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
from mailshot.store.sent_mail import CountedWindow

_ITS_CUSTOMER = CUSTOMER.c.id == DELIVERY.c.customer_id
RUN_ID, AS_OF = bindparam("run", type_=BigInteger()), bindparam("as_of", type_=Instant())


@dataclass(frozen=True, slots=True)
class SendGates:
    """The gates as clauses over rows of the ledger: the final check before a mail leaves."""

    gates: Gates

    def parameters(self, run_id: int, as_of: datetime) -> dict[str, Any]:
        """Return the values of the clauses' parameters; `as_of` is the present on the run's calendar (`sent_mail`)."""
        values: dict[str, Any] = {"run": run_id, "as_of": as_of}
        for limit in (self.gates.cap, *(limit for _, limit in self.gates.asked)):
            if limit is not None:
                window = sent_mail.window(limit.per.before(as_of), as_of)
                values |= dict(zip(_names(limit), window, strict=True))
        return values

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
        first = and_(dialect.is_one_of(other.c.state, UNSENT), other.c.customer_id < DELIVERY.c.customer_id)
        mate = and_(unindexed(other.c.run_id, everywhere=True) == RUN_ID, other.c.customer_id != DELIVERY.c.customer_id)
        return exists(inboxes.of_delivery(other, mate, or_(dialect.is_one_of(other.c.state, MAY_HAVE_ARRIVED), first)))

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
        lasting = and_(PAUSE.c.until > AS_OF, pauses.is_latest(PAUSE))
        return exists(inboxes.of_delivery(PAUSE, lasting))

    def _reached(self, limit: Limit) -> Clause:
        if limit.mails == 0:
            return true()
        mail, ran = DELIVERY.alias("mail"), RUN.alias("ran")
        recent = sent_mail.counts_in(_window(limit), ran, mail)
        joined = ran.c.id == unindexed(mail.c.run_id, everywhere=True)
        counting = and_(joined, ran.c.id != RUN_ID, counts_in_caps(ran, self.gates), recent)
        mails = inboxes.of_delivery(
            mail, counting, dialect.is_one_of(mail.c.state, MAY_HAVE_ARRIVED)
        ).with_only_columns(func.count())
        return mails.scalar_subquery() >= limit.mails


def _window(limit: Limit) -> CountedWindow:
    """Return the window of a limit as parameters, named after its length."""
    return CountedWindow(*(bindparam(name, type_=Instant()) for name in _names(limit)))


def _names(limit: Limit) -> tuple[str, str]:
    length = str(limit.per).replace(" ", "_")
    return f"since_{length}", f"late_since_{length}"
