"""Who may be mailed: what a campaign requires of its recipients.

An address is one inbox, whichever of its customers is mailed. A withdrawal by any of them, a suppression, earlier mails
and caps bind all of them. So each clause tests the inbox: the customer and all others with the same `address_hash`.

Start at `eligibility_gates`, the ordered table of all gates. `plan_gates` computes them for a plan, `send_gates` for
the final check right before the dot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import (
    ColumnElement,
    FromClause,
    and_,
    true,
)

from mailshot.facts.periods import Span
from mailshot.profile.preferences import Answer, Limit
from mailshot.store import dialect, tables
from mailshot.store.audiences import SCHEMA
from mailshot.store.dialect import Clause
from mailshot.store.engine import Connection

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

    Mail on topics without consent (service mail) does not count towards `cap` and `choices`, except that a service
    campaign's own cap counts all mail. No choice stops service mail.
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
    the same time would not see each other's. At the dot, `worker_ledger.commit_intent` locks the inboxes instead.
    """
    dialect.advisory_lock(connection, "plan")


def given_since(log: FromClause, customer: ColumnElement[Any], topic: str) -> Clause:
    """The customer's own consent is newer than the withdrawal of the address."""
    own = and_(log.c.customer_id == customer, log.c.topic == topic)
    return and_(own, log.c.given.is_(True), log.c.at > WITHDRAWAL.c.at)


def answered(stated: FromClause, name: str, value: str) -> Clause:
    """The customer said so: `stated` is from `answers.stated`."""
    return and_(stated.c.name == name, stated.c.value == value, stated.c.holds.is_(True))


def counts_in_caps(run: FromClause, gates: Gates) -> Clause:
    """Service mail is not counted, unless a campaign of service mail caps itself."""
    return true() if gates.service else run.c.service.is_(False)
