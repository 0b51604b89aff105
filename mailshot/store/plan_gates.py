"""Who of a campaign's audience is mailed, in SQL: what a plan needs to know, and its gates over all candidates at once.

`eligibility_gates` puts the gates in order; `plans` writes down what they decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    and_,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    true,
    union_all,
    update,
)

from mailshot.audience.compile import Compiler, consents
from mailshot.audience.nodes import Condition
from mailshot.profile import bucketing
from mailshot.profile.preferences import Limit
from mailshot.states import RECEIVED, UNSENT, Reason
from mailshot.store import dialect, eligibility, inboxes, pauses, sent_mail
from mailshot.store.audiences import SCHEMA, bound
from mailshot.store.dialect import Clause
from mailshot.store.eligibility import CONSENT, DELIVERY, ROW, RUN, SUPPRESSION, WITHDRAWAL, Gates
from mailshot.store.engine import Connection


@dataclass(frozen=True, slots=True)
class ContentChoice:
    """One content entry of a campaign."""

    name: str
    #: Who gets it; None: all customers whom no earlier entry matches.
    when: Condition | None
    #: Customers whom a guard keeps from it.
    barred: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanSpec:
    """All that decides about one campaign as of one moment."""

    campaign: str
    audience: Condition
    gates: Gates
    #: The first that matches is the customer's content.
    choices: tuple[ContentChoice, ...]
    #: Share of customers held out, in hundredths of a percent (see `bucketing.PARTS`).
    holdout: int
    #: An earlier mail of the campaign does not matter.
    repeats: bool
    #: A mail of this campaign keeps a customer from the next one when it counts since then; None: at any time.
    received_since: datetime | None = None


def one_per_inbox(connection: Connection, plan_id: str) -> None:
    """Leave all customers of an inbox out of a plan, except the first who would get a mail or is held out."""
    inbox, first = inboxes.shared(), ROW.alias("first")

    def represents(row: FromClause) -> Clause:
        return and_(row.c.plan_id == plan_id, or_(row.c.reason.is_(None), row.c.reason == Reason.holdout))

    earlier = (
        select(inbox.c.id)
        .join(first, first.c.customer_id == inbox.c.mate)
        .where(inbox.c.mate < inbox.c.id, represents(first))
    )
    others = update(ROW).where(represents(ROW), ROW.c.customer_id.in_(earlier))
    connection.execute(others.values(reason=Reason.same_address, offers=None))


@dataclass(frozen=True, slots=True)
class PlanGates:
    """The gates as clauses over the candidates of a plan.

    When the compiler has a moment `before`, only consents, suppressions and mails until then count (a backtest).
    """

    #: The columns id, email, address_hash, lot and content of the customers in the audience.
    chosen: FromClause
    compiled: Compiler
    spec: PlanSpec
    #: From `inboxes.shared` and `inboxes.mailed`.
    inbox: CTE
    mailed: CTE

    @property
    def gates(self) -> Gates:
        return self.spec.gates

    @property
    def as_of(self) -> datetime:
        return self.compiled.as_of

    @property
    def before(self) -> datetime | None:
        return self.compiled.before

    @property
    def no_address(self) -> Clause:
        return self.chosen.c.email.is_(None)

    @property
    def unsupported_address(self) -> Clause:
        return dialect.HasNonAscii(self.chosen.c.email)

    @property
    def no_content(self) -> Clause:
        return self.chosen.c.content.is_(None)

    @property
    def guarded(self) -> Clause:
        """A guard forbids the content for this customer."""
        clauses = [
            and_(self.chosen.c.content == choice.name, self.chosen.c.id.in_(bound(self.compiled, condition)))
            for choice in self.spec.choices
            for condition in choice.barred
        ]
        return or_(*clauses) if clauses else false()

    @property
    def held_out(self) -> Clause | None:
        """The customer's bucket is in the holdout; None without a holdout."""
        if not self.spec.holdout:
            return None
        bucket: ColumnElement[int] = bucketing.holdout(self.spec.campaign).part(self.chosen.c.lot)
        return bucket < self.spec.holdout

    @property
    def suppressed(self) -> Clause:
        held = SUPPRESSION.c.address_hash == self.chosen.c.address_hash
        return exists().where(held, _by(SUPPRESSION.c.at, self.before))

    @property
    def lacks_consent(self) -> Clause:
        """No consent where it is needed; or a withdrawal by a customer of the inbox, or for the address."""
        gates, customer = self.gates, self.chosen.c.id
        entries = consents(SCHEMA, gates.topic, gates.needs_consent, self.before)
        own = entries.where(CONSENT.c.customer_id == customer).exists()
        withdrawn = consents(SCHEMA, gates.topic, False, self.before).subquery()
        mates = select(self.inbox.c.id).join(withdrawn, withdrawn.c.customer_id == self.inbox.c.mate)
        return or_(not_(own) if gates.needs_consent else own, customer.in_(mates), self._address_withdrawn)

    @property
    def _address_withdrawn(self) -> Clause:
        log = CONSENT if self.before is None else SCHEMA.consent_log
        since = and_(eligibility.given_since(log, self.chosen.c.id, self.gates.topic), _by(log.c.at, self.before))
        return exists().where(
            WITHDRAWAL.c.address_hash == self.chosen.c.address_hash,
            WITHDRAWAL.c.topic == self.gates.topic,
            _by(WITHDRAWAL.c.at, self.before),
            not_(exists().where(since).correlate(self.chosen, WITHDRAWAL)),
        )

    @property
    def already_received(self) -> Clause | None:
        """The inbox got a mail of this campaign, or is about to; None where that does not matter."""
        since, of_campaign = self.spec.received_since, RUN.c.campaign == self.spec.campaign
        if self.spec.repeats:
            return None
        if since is None:
            return self._at_least(1, of_campaign)
        window = sent_mail.window(since, self.as_of)
        recent = or_(sent_mail.counts_in(window, RUN, DELIVERY), DELIVERY.c.state.in_(UNSENT))
        return self._at_least(1, and_(of_campaign, recent))

    @property
    def capped(self) -> Clause | None:
        """The inbox got as many mails as the campaign's cap allows; None without a cap."""
        return self._reached(self.gates.cap) if self.gates.cap is not None else None

    @property
    def asked_for_less(self) -> Clause | None:
        """A customer of the inbox chose to be mailed less often; None where the campaign heeds no choice."""
        if not self.gates.asked:
            return None
        clauses, stated = [], self.compiled.schema.preference
        for answer, limit in self.gates.asked:
            chose = eligibility.answered(stated, *answer)
            own = select(stated.c.customer_id).where(chose)
            mates = select(self.inbox.c.id).join(stated, stated.c.customer_id == self.inbox.c.mate).where(chose)
            clauses.append(and_(self.chosen.c.id.in_(union_all(own, mates)), self._reached(limit)))
        return or_(*clauses)

    @property
    def paused(self) -> Clause | None:
        """A customer of the inbox asked for a pause; None for service mail, which no pause stops."""
        if self.gates.service:
            return None
        own = pauses.paused_customers(self.as_of, self.before)
        paused = own.subquery()
        mates = select(self.inbox.c.id).join(paused, paused.c.customer_id == self.inbox.c.mate)
        return self.chosen.c.id.in_(union_all(own, mates))

    def _reached(self, limit: Limit) -> Clause:
        if limit.mails == 0:
            return true()
        window = sent_mail.window(limit.per.before(self.as_of), self.as_of)
        recent = sent_mail.counts_in(window, RUN, DELIVERY)
        return self._at_least(limit.mails, and_(recent, eligibility.counts_in_caps(RUN, self.gates)))

    def _at_least(self, number: int, which: Clause) -> Clause:
        """Return the clause that `number` mails or more, of runs that match `which`, went or will go to the inbox."""
        mails = DELIVERY.join(RUN, RUN.c.id == DELIVERY.c.run_id)
        counted = and_(DELIVERY.c.state.in_(RECEIVED), which, _by(RUN.c.as_of, self.before))
        mine = select(func.count()).select_from(mails).where(DELIVERY.c.customer_id == self.chosen.c.id, counted)
        any_mail = exists(mine.with_only_columns(DELIVERY.c.run_id).correlate(self.chosen))
        own = any_mail if number == 1 else mine.correlate(self.chosen).scalar_subquery() >= number
        theirs = and_(self.mailed.c.mate == DELIVERY.c.customer_id, inboxes.was_sent(self.mailed))
        joined = mails.join(self.mailed, theirs)
        together = select(self.mailed.c.id).select_from(joined).where(counted).group_by(self.mailed.c.id)
        return or_(own, self.chosen.c.id.in_(together.having(func.count() >= number)))


def _by(moment: ColumnElement[Any], before: datetime | None) -> Clause:
    return true() if before is None else moment < before
