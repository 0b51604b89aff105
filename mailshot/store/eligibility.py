"""Who may be mailed: the gates that a plan, an explanation and the last check before a send have in common.

An address is one inbox, whichever of its customers is mailed. A withdrawal by any of them, a suppression, what was sent
before and how often to write bind all of them. So each gate asks about the inbox: the customer and everybody who has
the same `address_hash`.

Start at `PlanGates` (all candidates of a plan at once) and at `SendGates` (a delivery, right before its final dot).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    and_,
    exists,
    func,
    not_,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from mailshot.audience.compile import consents
from mailshot.facts.periods import Span
from mailshot.profile.preferences import Answer, Limit
from mailshot.states import MAY_HAVE_ARRIVED, RECEIVED, UNSENT, Reason
from mailshot.store import dialect, inboxes, tables
from mailshot.store.audiences import SCHEMA
from mailshot.store.column_types import Instant
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
    """What a campaign asks of everybody it mails.

    `cap` is the campaign's own, None without one. `choices` are answers of a preference with how often a
    customer who gave them may be mailed. Neither counts mail on topics that need no consent (service mail), and a
    choice never holds such mail back.
    """

    topic: str
    needs_consent: bool
    cap: Limit | None = None
    choices: Sequence[tuple[Answer, Limit]] = ()

    @property
    def service(self) -> bool:
        """Whether it is mail that may be sent until the customer says no."""
        return not self.needs_consent

    @property
    def asked(self) -> Sequence[tuple[Answer, Limit]]:
        """The choices that bind this campaign."""
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


class _SentAt(FunctionElement[datetime]):
    """When a mail was sent, on the calendar of its run: as late as it left after the launch.

    A shop may pin "today" (`as_of`), so moments of the ledger cannot be compared with those of a plan as they are.
    """

    inherit_cache = True
    type = Instant()

    def __init__(self, run: FromClause, delivery: FromClause) -> None:
        super().__init__(run.c.as_of, delivery.c.dotted_at, run.c.launched_at)


@compiles(_SentAt)
def _sent_at(element: Any, compiler: Any, **given: Any) -> str:
    as_of, dotted, launched = (compiler.process(part, **given) for part in element.clauses)
    none = "interval '0'" if compiler.dialect.name == "postgresql" else "0"
    return f"({as_of} + coalesce({dotted} - {launched}, {none}))"


#: When the mail of a row of the ledger, joined with its run, was sent.
SENT_AT = _SentAt(RUN, DELIVERY)


def tolerance(since: datetime, as_of: datetime) -> timedelta:
    """Return how late a mail may leave and still count from its launch, in a window that began `since`.

    A weekly run takes an hour: customers mailed at its end must not be skipped the week after. Only a mail that
    left much later, as after a pause, counts from when it left.
    """
    return min(timedelta(days=1), (as_of - since) / 4)


def _recent(run: FromClause, delivery: FromClause, since: datetime, as_of: datetime) -> Clause:
    late = _SentAt(run, delivery) > since + tolerance(since, as_of)
    return or_(run.c.as_of > since, late)


def one_per_inbox(connection: Connection, plan_id: str) -> None:
    """Leave out of a plan all customers of an inbox but the first who would get a mail or is held out."""
    inbox, first = inboxes.shared(), ROW.alias("first")

    def stands(row: FromClause) -> Clause:
        return and_(row.c.plan_id == plan_id, or_(row.c.reason.is_(None), row.c.reason == Reason.holdout))

    earlier = (
        select(inbox.c.id)
        .join(first, first.c.customer_id == inbox.c.mate)
        .where(inbox.c.mate < inbox.c.id, stands(first))
    )
    others = update(ROW).where(stands(ROW), ROW.c.customer_id.in_(earlier))
    connection.execute(others.values(reason=Reason.same_address, offers=None))


@dataclass(frozen=True, slots=True)
class PlanGates:
    """The gates as clauses over `chosen` (id, address_hash), the candidates of a plan as of one moment.

    `before` looks back: what was said or sent from then on does not count yet. None counts all of it.
    """

    chosen: FromClause
    gates: Gates
    as_of: datetime
    before: datetime | None
    inbox: CTE
    mailed: CTE

    @property
    def suppressed(self) -> Clause:
        held = SUPPRESSION.c.address_hash == self.chosen.c.address_hash
        return exists().where(held, _by(SUPPRESSION.c.at, self.before))

    @property
    def lacks_consent(self) -> Clause:
        """No consent where it is needed; or a withdrawal by the customer, by another one of the inbox, or for it."""
        gates, customer = self.gates, self.chosen.c.id
        said = consents(SCHEMA, gates.topic, gates.needs_consent, self.before)
        own = said.where(CONSENT.c.customer_id == customer).exists()
        withdrawn = consents(SCHEMA, gates.topic, False, self.before).subquery()
        mates = select(self.inbox.c.id).join(withdrawn, withdrawn.c.customer_id == self.inbox.c.mate)
        return or_(not_(own) if gates.needs_consent else own, customer.in_(mates), self._address_withdrawn)

    @property
    def _address_withdrawn(self) -> Clause:
        said = CONSENT if self.before is None else SCHEMA.consent_log
        since = and_(_given_since(said, self.chosen.c.id, self.gates.topic), _by(said.c.at, self.before))
        return exists().where(
            WITHDRAWAL.c.address_hash == self.chosen.c.address_hash,
            WITHDRAWAL.c.topic == self.gates.topic,
            _by(WITHDRAWAL.c.at, self.before),
            not_(exists().where(since).correlate(self.chosen, WITHDRAWAL)),
        )

    def received(self, campaign: str, since: datetime | None) -> Clause:
        """Return whether the inbox has got a mail of a campaign since a moment (None: ever), or is about to."""
        mine = RUN.c.campaign == campaign
        if since is None:
            return self._at_least(1, mine)
        recent = or_(_recent(RUN, DELIVERY, since, self.as_of), DELIVERY.c.state.in_(UNSENT))
        return self._at_least(1, and_(mine, recent))

    @property
    def capped(self) -> Clause:
        """As many mails as the campaign's cap allows."""
        assert self.gates.cap is not None
        return self._reached(self.gates.cap)

    @property
    def asked_for_less(self) -> Clause:
        """A customer of the inbox chose to be mailed less often than this mail would make it."""
        clauses = []
        for (name, value), limit in self.gates.asked:
            said = and_(_answered(name, value), _by(PREFERENCE.c.at, self.before))
            own = select(PREFERENCE.c.customer_id).where(said)
            mates = select(self.inbox.c.id).join(PREFERENCE, PREFERENCE.c.customer_id == self.inbox.c.mate).where(said)
            clauses.append(and_(self.chosen.c.id.in_(union_all(own, mates)), self._reached(limit)))
        return or_(*clauses)

    def _reached(self, limit: Limit) -> Clause:
        if limit.mails == 0:
            return true()
        recent = _recent(RUN, DELIVERY, limit.per.before(self.as_of), self.as_of)
        return self._at_least(limit.mails, and_(recent, _counted(RUN, self.gates)))

    def _at_least(self, number: int, which: Clause) -> Clause:
        """Return whether so many mails of such runs went, or will go, to the inbox."""
        mails = DELIVERY.join(RUN, RUN.c.id == DELIVERY.c.run_id)
        meant = and_(DELIVERY.c.state.in_(RECEIVED), which, _by(RUN.c.as_of, self.before))
        mine = select(func.count()).select_from(mails).where(DELIVERY.c.customer_id == self.chosen.c.id, meant)
        one = exists(mine.with_only_columns(DELIVERY.c.run_id).correlate(self.chosen))
        own = one if number == 1 else mine.correlate(self.chosen).scalar_subquery() >= number
        theirs = and_(self.mailed.c.mate == DELIVERY.c.customer_id, inboxes.was_sent(self.mailed.c.until))
        joined = mails.join(self.mailed, theirs)
        together = select(self.mailed.c.id).select_from(joined).where(meant).group_by(self.mailed.c.id)
        return or_(own, self.chosen.c.id.in_(together.having(func.count() >= number)))


@dataclass(frozen=True, slots=True)
class SendGates:
    """The gates as clauses over rows of the ledger: the last look before a mail leaves.

    `as_of` is the present moment on the calendar of the run (see `_SentAt`).
    """

    run_id: int
    gates: Gates
    as_of: datetime

    def reasons(self) -> list[tuple[Clause, Reason]]:
        """Return what forbids a row its mail, in the order of a plan's reasons."""
        suppressed = CUSTOMER.c.address_hash == SUPPRESSION.c.address_hash
        found = [
            (not_(exists().where(_ITS_CUSTOMER, CUSTOMER.c.email.is_not(None))), Reason.no_address),
            (exists().where(_ITS_CUSTOMER, dialect.HasNonAscii(CUSTOMER.c.email)), Reason.unsupported_address),
            (exists().where(_ITS_CUSTOMER, suppressed), Reason.suppressed),
            (self._withdrawn, Reason.no_consent),
        ]
        if self.gates.cap is not None:
            found.append((self._reached(self.gates.cap), Reason.frequency_cap))
        if self.gates.asked:
            found.append((self._asked_for_less, Reason.asked_for_less))
        return [*found, (self._doubled, Reason.same_address)]

    @property
    def _withdrawn(self) -> Clause:
        topic = self.gates.topic
        since = exists().where(_given_since(CONSENT, DELIVERY.c.customer_id, topic)).correlate(DELIVERY, WITHDRAWAL)
        address = exists().where(
            _ITS_CUSTOMER,
            WITHDRAWAL.c.address_hash == CUSTOMER.c.address_hash,
            WITHDRAWAL.c.topic == topic,
            not_(since),
        )
        said = inboxes.of_delivery(CONSENT, CONSENT.c.topic == topic, CONSENT.c.given.is_(False))
        return or_(exists(said), address.correlate(DELIVERY))

    @property
    def _doubled(self) -> Clause:
        """Another customer of the inbox has got this run's mail, or stands before this one in the line for it.

        Of two that wait the one with the smaller id is mailed. So two workers that look at the same moment cannot both
        let one pass, though neither sees what the other is about to write.
        """
        other = DELIVERY.alias("other")
        first = and_(other.c.state.in_(UNSENT), other.c.customer_id < DELIVERY.c.customer_id)
        mate = and_(other.c.run_id == self.run_id, other.c.customer_id != DELIVERY.c.customer_id)
        return exists(inboxes.of_delivery(other, mate, or_(other.c.state.in_(MAY_HAVE_ARRIVED), first)))

    @property
    def _asked_for_less(self) -> Clause:
        def stated(answer: Answer) -> Clause:
            return exists(inboxes.of_delivery(PREFERENCE, _answered(*answer)))

        return or_(*(and_(stated(answer), self._reached(limit)) for answer, limit in self.gates.asked))

    def _reached(self, limit: Limit) -> Clause:
        if limit.mails == 0:
            return true()
        mail, ran = DELIVERY.alias("mail"), RUN.alias("ran")
        recent = _recent(ran, mail, limit.per.before(self.as_of), self.as_of)
        meant = and_(ran.c.id == mail.c.run_id, ran.c.id != self.run_id, _counted(ran, self.gates), recent)
        mails = inboxes.of_delivery(mail, meant, mail.c.state.in_(MAY_HAVE_ARRIVED)).with_only_columns(func.count())
        return mails.scalar_subquery() >= limit.mails


_ITS_CUSTOMER = CUSTOMER.c.id == DELIVERY.c.customer_id


def _given_since(said: FromClause, customer: ColumnElement[Any], topic: str) -> Clause:
    """The customer's own consent is newer than the withdrawal of the address."""
    own = and_(said.c.customer_id == customer, said.c.topic == topic)
    return and_(own, said.c.given.is_(True), said.c.at > WITHDRAWAL.c.at)


def _answered(name: str, value: str) -> Clause:
    return and_(PREFERENCE.c.name == name, PREFERENCE.c.value == value, PREFERENCE.c.holds.is_(True))


def _counted(run: FromClause, gates: Gates) -> Clause:
    """Service mail is not counted, unless a campaign of service mail caps itself."""
    return true() if gates.service else run.c.service.is_(False)


def _by(moment: ColumnElement[Any], before: datetime | None) -> Clause:
    return true() if before is None else moment < before
